"""An erasure on disk: first what is wanted, at the end that it was done. Formats only.

    erasures/<id>.wanted.json    whose data, while it is being erased: a restart goes on from it
    erasures/<id>.turns.jsonl    which turns, each written down before it is removed, since snapshots and runs name them
    erasures/<id>.json           what came of it, kept for ever: when, how much, and a salted hash in place of the name

The first two go when the third is complete. Must never: keep what was erased, or a name, once the erasure is done.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from feedback.errors import NotFound
from feedback.files import drop_cut_line, replace_file, sync_folder, whole_lines

Kind = Literal["subject", "conversation", "turn"]


class UnknownErasure(NotFound):
    code = "unknown-erasure"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Whose data is to go. The name stands here until the erasure is done, and nowhere after."""

    erasure_id: str
    asked_at: dt.datetime
    kind: Kind
    whose: str
    """The subject, or the id of a conversation or a turn."""
    note: str = ""
    keys: list[str] = []
    """Ids of the person's API keys, written down before the first of them was ended: names them and nobody."""
    compacted: bool = False
    """Whether the database file was written anew since the last row was removed."""


class Gone(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `<id>.turns.jsonl`."""

    turn_id: str
    """Empty: what the person said of others' turns, which stay."""
    attachments: list[str] = []
    ratings: int = 0
    annotations: int = 0
    own: bool = True
    """Whether the turn goes; else only what was learnt from it in their words does."""


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an erasure. Holds no name and no text."""

    erasure_id: str
    asked_at: dt.datetime
    kind: Kind
    salt: str
    whose_sha256: str
    """SHA-256 of salt and name: whoever knows the name can find the erasure; nobody reads the name from it, unless it
    can be guessed."""
    note: str = ""
    """The operator's, as given."""
    state: Literal["running", "waiting", "done"] = "running"
    waits_for: str = ""
    """While it waits: for what. It goes on by itself."""
    finished_at: dt.datetime | None = None
    turns: int = 0
    ratings: int = 0
    annotations: int = 0
    keys: int = 0
    """Of the person's API keys; they open nothing any more, and say neither name nor subject."""
    attachments: int = 0
    """Files that no other turn has."""
    snapshots: dict[str, int] = {}
    """Snapshot → rows that were taken out of it."""
    answers: int = 0
    """Answers of evaluations, and examples in reports, that were taken out of the learner's runs."""
    logged_texts: int = 0
    """Texts of word hits that were blanked in logs."""
    versions: list[str] = []
    """Versions that were trained on what was erased, as `<model>:<version>`. Train anew to be rid of what they know."""
    copies_not_reached: list[str] = []
    """Copies of the database, from before, that lie in the data folder: delete them, or they keep it all."""


class ErasureBook:
    """The folder `erasures/`."""

    def __init__(self, data_dir: Path) -> None:
        self.folder = data_dir / "erasures"

    def tidy(self) -> None:
        """Remove half-written files that a kill left behind: they may hold a name. Once, before anything else."""
        for part in self.folder.glob(".*.part"):
            part.unlink()

    def begin(self, wanted: Wanted) -> Erasure:
        """Write down what is wanted; from then on it will be done, whatever happens."""
        return self.known(self.change(wanted))

    def known(self, wanted: Wanted) -> Erasure:
        """The record of what is wanted; it is made where a kill came before it."""
        if self._file(wanted.erasure_id).exists():
            return self.read(wanted.erasure_id)
        salt = os.urandom(16).hex()
        erasure = Erasure(
            erasure_id=wanted.erasure_id, asked_at=wanted.asked_at, kind=wanted.kind, salt=salt,
            whose_sha256=hash_of(salt, wanted.whose), note=wanted.note,
        )  # fmt: skip
        self.keep(erasure)
        return erasure

    def wanted(self) -> list[Wanted]:
        """Erasures that are not done, oldest first; what a kill left of those that are is cleared away."""
        found = []
        for file in sorted(self.folder.glob("*.wanted.json")):
            wanted = msgspec.json.decode(file.read_bytes(), type=Wanted)
            if self._file(wanted.erasure_id).exists() and self.read(wanted.erasure_id).state == "done":
                self._clear(wanted.erasure_id)
            else:
                found.append(wanted)
        return found

    def change(self, wanted: Wanted) -> Wanted:
        """Replace what is wanted, durably."""
        replace_file(self._wanted(wanted.erasure_id), msgspec.json.encode(wanted))
        return wanted

    def note_gone(self, erasure_id: str, lines: Iterable[Gone]) -> None:
        """Write turns down, durably, before they are removed."""
        file = self._turns(erasure_id)
        drop_cut_line(file)
        with file.open("ab") as out:
            out.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
            out.flush()
            os.fsync(out.fileno())
        sync_folder(self.folder)

    def gone(self, erasure_id: str) -> list[Gone]:
        """The turns that were written down, each once: as it was found first, which is before anything was removed."""
        found: dict[str, Gone] = {}
        for line in whole_lines(self._turns(erasure_id)):
            gone = msgspec.json.decode(line, type=Gone)
            if gone.turn_id not in found or (gone.own and not found[gone.turn_id].own):
                found[gone.turn_id] = gone
        return list(found.values())

    def keep(self, erasure: Erasure) -> Erasure:
        """Write what is known of it; once it is done, nothing else is left."""
        replace_file(self._file(erasure.erasure_id), msgspec.json.format(msgspec.json.encode(erasure), indent=2))
        if erasure.state == "done":
            self._clear(erasure.erasure_id)
        return erasure

    def read(self, erasure_id: str) -> Erasure:
        """What is known of it. Raises UnknownErasure."""
        try:
            return msgspec.json.decode(self._file(erasure_id).read_bytes(), type=Erasure)
        except (FileNotFoundError, ValueError) as error:
            raise UnknownErasure(f"There is no erasure {erasure_id[:100]!r}.", "GET /erasures lists them.") from error

    def all(self) -> list[Erasure]:
        """Every erasure there ever was, newest first."""
        files = self.folder.glob("erasure-*.json")
        names = sorted((file.stem for file in files if not file.name.endswith(".wanted.json")), reverse=True)
        return [self.read(name) for name in names]

    def _clear(self, erasure_id: str) -> None:
        self._turns(erasure_id).unlink(missing_ok=True)
        self._wanted(erasure_id).unlink(missing_ok=True)  # last: with it, what is left above would be forgotten
        sync_folder(self.folder)

    def _file(self, erasure_id: str) -> Path:
        return self.folder / f"{erasure_id}.json"

    def _wanted(self, erasure_id: str) -> Path:
        return self.folder / f"{erasure_id}.wanted.json"

    def _turns(self, erasure_id: str) -> Path:
        return self.folder / f"{erasure_id}.turns.jsonl"


def hash_of(salt: str, whose: str) -> str:
    """How a name stands in an erasure's record."""
    return hashlib.sha256(f"{salt}{whose}".encode()).hexdigest()
