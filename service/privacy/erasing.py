"""Erasing one person's data, or one conversation or turn: every step, in an order that survives a kill anywhere.

    write down what is wanted ─► the person's API keys ─► rows, a batch at a time, each written down first
      ─► attachments ─► the file, anew ─► wait for a running cycle ─► reports, evaluations ─► snapshots
      ─► mark versions ─► write down that it is done

Each step may be done again, so a restart simply begins anew with what is wanted. Nobody is told that it is done before
it is. Two things may keep it waiting, both for a while: readers that hold the old file open, and a cycle, which reads
snapshots and writes reports; the rows themselves never wait. What is out of reach is told, not passed over: backups,
and the weights of versions.

Must never: remove a turn that was not written down; hold up the writer for more than a batch.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

import duckdb
import msgspec

from feedback.erasure import Erasure, ErasureBook, Gone, Kind, Wanted
from feedback.errors import InvalidInput, RatchetError
from feedback.expired import ExpiredBook
from feedback.files import sync_folder
from feedback.mint import new_id, now
from feedback.store.database import Store
from feedback.store.removal import Doomed, Removed, Whose
from service.keys.ring import KeyRing
from service.labelling.drafts import clear_drafts
from service.privacy.in_use import InUse
from service.privacy.logged import blank_logs

log = logging.getLogger(__name__)


def nobody(turn_ids: Sequence[str], person: str) -> None:
    """Where nobody keeps anything of the store in memory."""


class Waiting(Exception):
    """The erasure can't go on now; the text says what for."""


class Dropped(msgspec.Struct, frozen=True, kw_only=True):
    """Attachments that were deleted, and that could not be since somebody's chat under way has them, too."""

    gone: int
    held: int


class Eraser:
    """Erases, one at a time, in whatever thread asks."""

    def __init__(
        self,
        store: Store,
        data_dir: Path,
        ring: KeyRing | None = None,
        told: Callable[[Sequence[str], str], None] = nobody,
    ) -> None:
        """`ring` is the one that lets people in, where there is one; it must hear at once which keys have ended. `told`
        hears which turns, and whose words, the store has no longer."""
        self._store = store
        self._told = told
        self._ring = ring or KeyRing(store)
        self._data_dir = data_dir
        self._one = threading.Lock()
        self.book = ErasureBook(data_dir)
        self.book.tidy()
        self.expired = ExpiredBook(data_dir)
        self.in_use = InUse()
        self.freezing = threading.Lock()
        """To be held while the pool is frozen: a freeze that began before the rows went must end before snapshots are
        looked through, or it would bring them back."""

    def begin(self, kind: Kind, whose: str, note: str = "") -> Erasure:
        """Write down that it is wanted: from now on it happens. Raises InvalidInput for an empty name."""
        if not whose.strip():
            raise InvalidInput(f"No {kind} is named.", "Turns without a subject are erased by conversation or turn.")
        return self.book.begin(Wanted(erasure_id=new_id("erasure"), asked_at=now(), kind=kind, whose=whose, note=note))

    def go_on(self) -> list[Erasure]:
        """Do what is wanted, all of it, oldest first; gives what came of each. Those that wait are tried again next
        time. Never raises for one: it stays wanted, and says what it waits for."""
        with self.alone():
            return [self._go_on(wanted) for wanted in self.book.wanted()]

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While nobody else removes anything: writing the file anew relies on it."""
        with self._one:
            yield

    def remove(self, whose: Whose, note: Callable[[Sequence[Doomed]], None]) -> list[Doomed]:
        """Take the rows out of the store, a batch at a time, each noted first; gives them. Raises StoreUnavailable."""
        removed: list[Doomed] = []
        while batch := self._store.next_turns(whose):
            note(batch)
            self._store.remove_turns([turn.turn_id for turn in batch])
            self._told([turn.turn_id for turn in batch], "")
            removed += batch
        return removed

    def drop_attachments(self, names: list[str]) -> Dropped:
        """Delete those of the files that no turn has any more."""
        folder, gone, held = self._data_dir / "attachments", 0, 0
        for some in _batches(sorted(set(names)), 1000):
            for name in set(some) - self._store.referenced(some):
                file = folder / Path(name).name
                if file.exists():
                    unlinked = self.in_use.unlink(file)
                    gone, held = gone + unlinked, held + (not unlinked)
        if gone:
            sync_folder(folder)
        return Dropped(gone=gone, held=held)

    def sweep_attachments(self) -> Dropped:
        """Delete attachments that no turn has, unless they came within a day: a turn under way may name them."""
        folder, old = self._data_dir / "attachments", time.time() - 86_400.0
        return self.drop_attachments([file.name for file in folder.glob("*") if file.stat().st_mtime < old])

    def _go_on(self, wanted: Wanted) -> Erasure:
        try:
            return self._erase(wanted, self.book.known(wanted))
        except Waiting as reason:
            why = str(reason)
        except (RatchetError, OSError, duckdb.Error) as error:
            why = error.message if isinstance(error, RatchetError) else f"the disk ({_trouble(error)})"
            log.error("erasure-hindered", extra={"fields": {"erasure": wanted.erasure_id, "reason": why}})
        return self.book.keep(msgspec.structs.replace(self.book.known(wanted), state="waiting", waits_for=why))

    def _erase(self, wanted: Wanted, erasure: Erasure) -> Erasure:
        wanted = self._remove_rows(self._end_keys(wanted))
        gone = self.book.gone(wanted.erasure_id)
        dropped = self.drop_attachments([name for one in gone for name in one.attachments])
        erasure = self.book.keep(
            msgspec.structs.replace(
                erasure,
                turns=sum(bool(one.turn_id) and one.own for one in gone),
                ratings=sum(one.ratings for one in gone),
                annotations=sum(one.annotations for one in gone),
                keys=len(wanted.keys),
                attachments=erasure.attachments + dropped.gone,
                copies_not_reached=self._copies(),
            )
        )
        if dropped.held:
            raise Waiting("chats under way that were sent the same pictures")
        if wanted.keys or any(one.own or one.ratings or one.annotations for one in gone):
            if not (wanted.compacted or self._store.compact()):
                raise Waiting("readers of the database, which keep the old file open")
            self.book.change(msgspec.structs.replace(wanted, compacted=True))
        with _no_cycle(self._data_dir / "journal", wanted.erasure_id), self.freezing:
            erasure = self._clear_files(wanted, erasure, {one.turn_id for one in gone} - {""})
        if wanted.kind == "subject":
            self.expired.forget(wanted.whose)
        return self.book.keep(msgspec.structs.replace(erasure, state="done", waits_for="", finished_at=now()))

    def _end_keys(self, wanted: Wanted) -> Wanted:
        """Before anything else, so that nothing more comes in by the person's own keys."""
        if wanted.kind != "subject" or not (named := self._store.keys_of(wanted.whose)):
            return wanted
        keys = sorted({*wanted.keys, *named})
        wanted = self.book.change(msgspec.structs.replace(wanted, keys=keys, compacted=False))
        self._ring.end(named)
        return wanted

    def _remove_rows(self, wanted: Wanted) -> Wanted:
        """Rows first, with no waiting: what is left is copies. Says anew whether the file is free of them."""
        whose = msgspec.convert({wanted.kind: wanted.whose}, Whose)
        person = wanted.whose if wanted.kind == "subject" else ""
        said = Removed()
        if person:
            named = {*self._store.written_into(person), *self.expired.of(person)}
            self.book.note_gone(wanted.erasure_id, [Gone(turn_id=one, own=False) for one in sorted(named)])
            said = self._store.verdicts_of(person)
        if wanted.compacted and (said != Removed() or self._store.next_turns(whose)):
            wanted = self.book.change(msgspec.structs.replace(wanted, compacted=False))
        self.remove(whose, lambda batch: self.book.note_gone(wanted.erasure_id, map(_gone, batch)))
        said = self._store.verdicts_of(person) if person else said
        if said != Removed():
            line = Gone(turn_id="", ratings=said.ratings, annotations=said.annotations, own=False)
            self.book.note_gone(wanted.erasure_id, [line])
            self._store.remove_verdicts(person)
            self._told([], person)
        return wanted

    def _clear_files(self, wanted: Wanted, erasure: Erasure, turn_ids: set[str]) -> Erasure:
        from service.privacy.copies import clear_copies, named_in  # pyarrow takes a second to import: not at start-up

        if wanted.kind != "subject":  # snapshots have what the store may have forgotten, and name both
            turn_ids |= named_in(self._data_dir, wanted.kind, wanted.whose)
        clear_drafts(self._data_dir, turn_ids, wanted.whose if wanted.kind == "subject" else "")
        blanked = blank_logs(self._data_dir / "logs", turn_ids)
        cleared = clear_copies(self._data_dir, turn_ids, erasure.erasure_id)
        return msgspec.structs.replace(
            erasure,
            answers=erasure.answers + cleared.answers,
            logged_texts=erasure.logged_texts + blanked,
            snapshots=cleared.snapshots,
            versions=cleared.versions,
        )

    def _copies(self) -> list[str]:
        """Copies of the database that lie in the data folder: backups, and what updates kept."""
        found = [*self._data_dir.glob("*.duckdb"), *self._data_dir.glob("backups/*")]
        live = self._data_dir / "ratchet.duckdb"
        return sorted(str(file.relative_to(self._data_dir)) for file in found if file != live)


@contextlib.contextmanager
def _no_cycle(journal_dir: Path, erasure_id: str) -> Iterator[None]:
    """Hold the lock that a cycle holds (`learner.cycle`): none begins meanwhile. Raises Waiting where one runs."""
    journal_dir.mkdir(parents=True, exist_ok=True)
    with (journal_dir / "cycle.lock").open("a+b") as file:
        if not _locked(file):
            raise Waiting("the end of the cycle that runs, which reads snapshots")
        file.truncate(0)
        file.write(msgspec.json.encode({"pid": os.getpid(), "cycle": erasure_id}))
        file.flush()
        yield


def _locked(file: IO[bytes]) -> bool:
    """Whether the lock was had, within a second: the daemon, which only looks whether a cycle runs, holds it for an
    instant."""
    for _ in range(20):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


def _gone(turn: Doomed) -> Gone:
    """Without whose it is."""
    return Gone(turn_id=turn.turn_id, attachments=turn.attachments, ratings=turn.ratings, annotations=turn.annotations)


def _batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _trouble(error: OSError | duckdb.Error) -> str:
    """DuckDB's words may quote what it read."""
    return str(error.strerror) if isinstance(error, OSError) else type(error).__name__
