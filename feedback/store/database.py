"""The store's door: append a turn, a rating or an annotation, and read them back.

One process owns the file and one thread in it writes (`writer`). An `add_*` gives a future at once; it is resolved when
the row is on disk, and only then may anybody be told that it is stored. Readers have cursors of their own: a reader
sees one committed state for as long as it reads, and neither blocks the writer nor is disturbed by it.

Rows are only ever added, and never changed. Erasure and retention alone take some out, whole turns with all that was
said of them (`removal`), and `compact` then takes their text out of the file (`rewrite`).

Must never: acknowledge before the commit; update; delete for any other reason; open the file twice.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import duckdb

from feedback.annotations import Annotation
from feedback.errors import Conflict, RatchetError, StoreUnavailable
from feedback.facets import Facets
from feedback.keyed import KeyedAnswer
from feedback.keys import KeyCreated, KeyRevoked
from feedback.mint import now
from feedback.ratings import Rating
from feedback.settings import StoreSettings
from feedback.store.admission import unknown_turn
from feedback.store.backup import copy_database
from feedback.store.connection import Connection
from feedback.store.facet_rows import add_facets
from feedback.store.migrations import MIGRATIONS, Migration, migrate
from feedback.store.removal import (
    Doomed,
    Removed,
    Whose,
    end_keys,
    keys_of,
    next_turns,
    referenced,
    remove_keyed,
    remove_turns,
    remove_verdicts,
    verdicts_of,
    written_into,
)
from feedback.store.rewrite import copy_living, drop_fresh, drop_leftovers, fresh_file, take_place
from feedback.store.session import Write
from feedback.store.table import Kind, Table
from feedback.store.tables import ANNOTATIONS, KEYED, KEYS, RATINGS, REVOCATIONS, TURNS
from feedback.store.writer import Writer
from feedback.turns import Turn

FILE_NAME = "ratchet.duckdb"
Beside = tuple[Table[Any], Any]
"""A table and an item for it."""
COMPACT_TRIES = 5
"""How often `compact` waits for readers to leave, before it gives up for now."""


class Store:
    """The open store. Thread-safe; close it to leave one whole file behind (not closing it loses nothing)."""

    def __init__(self, connection: Connection, settings: StoreSettings) -> None:
        self._connection = connection
        self._writer = Writer(connection, settings)
        self._backups = threading.Lock()

    @classmethod
    def open(cls, settings: StoreSettings, migrations: Sequence[Migration] = MIGRATIONS) -> Store:
        """Open the store in `settings.data_dir`, making the folder and the tables where they are missing.

        Raises StoreLocked, naming the process that owns the file; StoreUnavailable where the file can't be opened, was
        written by a newer release or can't be migrated.
        """
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        connection = Connection(settings.data_dir.resolve() / FILE_NAME, settings)
        try:
            drop_leftovers(connection)
            with connection.cursor() as cursor:
                migrate(cursor, connection.file, migrations)
            return cls(connection, settings)
        except BaseException:  # interrupted as well: a store that nobody holds must not keep the file
            connection.close()
            raise

    def add(self, table: Table[Kind], item: Kind, *beside: Beside) -> Future[None]:
        """Append an item to a table, and others to theirs: all of them durably, or none.

        The future fails with UnknownTurn where a table is about turns and the item's is not stored; of what is
        `beside` it that is not looked at. Else as `add_turn`.
        """
        rows = tuple((other, other.row(one)) for other, one in beside)
        return self._writer.submit(Write(table, table.row(item), beside=rows))

    def rows(self, table: Table[Kind], rest: str = "", values: Sequence[Any] = ()) -> list[Kind]:
        """Items of a table; `rest` is what follows `SELECT … FROM table`, with a mark for each of the `values`."""
        with self.reader() as cursor:
            return [table.item(row) for row in cursor.execute(f"{table.select} {rest}", list(values)).fetchall()]

    def add_turn(self, turn: Turn, keyed: KeyedAnswer | None = None) -> Future[None]:
        """Append a turn, and with it the key that it answers. The future is resolved once both are durable.

        Raises at once: InvalidInput for text or numbers that can't be stored, StoreBusy where too many writes wait,
        StoreUnavailable after `close`. The future fails with: Conflict where a recent row has the same id,
        StoreUnavailable where the disk refuses, InvalidInput where DuckDB does.
        """
        return self.add(TURNS, turn, *_keyed(keyed))

    def add_rating(self, rating: Rating, keyed: KeyedAnswer | None = None) -> Future[None]:
        """Append a rating, as `add_turn`; the future fails with UnknownTurn where its turn is not stored."""
        return self.add(RATINGS, rating, *_keyed(keyed))

    def add_annotation(self, annotation: Annotation, keyed: KeyedAnswer | None = None) -> Future[None]:
        """Append an annotation, as `add_turn`; the future fails with UnknownTurn where its turn is not stored."""
        return self.add(ANNOTATIONS, annotation, *_keyed(keyed))

    def add_key(self, key: KeyCreated) -> Future[None]:
        """Append an API key, as `add_turn`."""
        return self.add(KEYS, key)

    def add_revocation(self, revocation: KeyRevoked) -> Future[None]:
        """Append that a key holds no longer, as `add_turn`."""
        return self.add(REVOCATIONS, revocation)

    def api_keys(self) -> list[KeyCreated]:
        """Every API key that was ever made, oldest first; also those that were revoked."""
        return self.rows(KEYS, "ORDER BY key_id")

    def revocations(self) -> list[KeyRevoked]:
        """Every revocation of a key, oldest first."""
        return self.rows(REVOCATIONS, "ORDER BY revocation_id")

    def turn(self, turn_id: str) -> Turn:
        """The turn of that id. Raises UnknownTurn."""
        found = self.rows(TURNS, "WHERE turn_id = ? LIMIT 1", [turn_id])
        if not found:
            raise unknown_turn(turn_id)
        return found[0]

    def ratings(self, turn_id: str) -> list[Rating]:
        """Every rating of a turn, oldest first; none for a turn that is not stored."""
        return self.rows(RATINGS, "WHERE turn_id = ? ORDER BY created_at, rating_id", [turn_id])

    def annotations(self, turn_id: str) -> list[Annotation]:
        """Every annotation of a turn, oldest first; none for a turn that is not stored."""
        return self.rows(ANNOTATIONS, "WHERE turn_id = ? ORDER BY created_at, annotation_id", [turn_id])

    def keyed(self, key_hash: str, since: dt.datetime) -> KeyedAnswer | None:
        """What was answered to a request with this key since then, if anything was."""
        moment = since.astimezone(dt.UTC).replace(tzinfo=None)
        found = self.rows(
            KEYED, "WHERE created_at >= ? AND key_hash = ? ORDER BY created_at DESC LIMIT 1", [moment, key_hash]
        )
        return found[0] if found else None

    def turns(self, after: str = "", limit: int = 50) -> list[Turn]:
        """The next `limit` turns behind the id `after`, by id, which is by time. Pass the last one's id to go on.

        For browsing, not for following: an id is minted when its turn begins, so a long reply's turn is stored behind
        the ids of turns that began later.
        """
        return self.rows(TURNS, "WHERE turn_id > ? ORDER BY turn_id LIMIT ?", [after, limit])

    @property
    def queued(self) -> int:
        """Writes that wait for the disk, not counting those being committed."""
        return self._writer.waiting

    def tell_commits(self, told: Callable[[int, float], None]) -> None:
        """Call `told` in the writer's thread after each commit, with its rows and its seconds. It must not raise."""
        self._writer.on_commit = told

    @property
    def trouble(self) -> RatchetError | None:
        """Why a write would most likely not become durable now; none while the disk takes them. Costs nothing."""
        return self._writer.trouble

    def counts(self) -> dict[str, int]:
        """How many turns, ratings and annotations are stored, and how many writes wait (`queued`)."""
        with self.reader() as cursor:
            stored = {table.name: _count(cursor, table.name) for table in (TURNS, RATINGS, ANNOTATIONS)}
        return {**stored, "queued": self._writer.waiting}

    @contextlib.contextmanager
    def reader(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of the caller's own that sees one committed state until it is left, and can't write.

        Use it in one thread. Tables and columns are those of `migrations`; times are UTC without a zone.
        """
        try:
            with self._connection.cursor() as cursor:
                cursor.execute("BEGIN TRANSACTION READ ONLY")
                yield cursor
        except duckdb.FatalException as error:
            raise StoreUnavailable("The database failed while it was read.", "Try again; look at the disk.") from error

    def backup(self, target: Path) -> Path:
        """Copy the whole store while it serves; everything acknowledged before the call is in the copy.

        `target` is a file, or a folder in which the copy is named by the time. Gives the file's path; see
        `feedback.store.backup` for restoring. One backup at a time: a second one waits. Raises StoreUnavailable where
        the copy can't be made or verified.
        """
        if target.is_dir():
            target = target / f"ratchet-{now():%Y%m%dT%H%M%SZ}.duckdb"
        if target.resolve() == self._connection.file:
            raise Conflict(f"{target} is the live database.", "Name another file for the backup.")
        with self._backups, self._connection.cursor() as cursor:
            return copy_database(cursor, target)

    def next_turns(self, whose: Whose) -> list[Doomed]:
        """The next few turns that are meant, for `remove_turns`; none when all are gone."""
        with self.reader() as cursor:
            return next_turns(cursor, whose)

    def verdicts_of(self, subject: str) -> Removed:
        """How many ratings and annotations a person gave."""
        with self.reader() as cursor:
            return verdicts_of(cursor, subject)

    def written_into(self, subject: str) -> list[str]:
        """Ids of the turns that may be learnt with this person's words, whosever they are."""
        with self.reader() as cursor:
            return written_into(cursor, subject)

    def remove_turns(self, turn_ids: Sequence[str]) -> Removed:
        """Take turns out for good, with all that was said of them: all of it, durably, or nothing. A few at a time:
        writes wait meanwhile. Raises StoreUnavailable."""
        return self._writer.act(lambda connection: remove_turns(connection, turn_ids)).result()

    def remove_verdicts(self, subject: str) -> Removed:
        """Take out every rating and annotation that a person gave, as `remove_turns`."""
        return self._writer.act(lambda connection: remove_verdicts(connection, subject)).result()

    def add_facets(self, facets: Sequence[Facets]) -> int:
        """Keep what turns are about, those that are still stored and have none yet; gives how many. As `remove_turns`:
        a few hundred at a time."""
        return self._writer.act(lambda connection: add_facets(connection, facets)).result()

    def keys_of(self, subject: str) -> list[str]:
        """Ids of a person's API keys, also of those that hold no longer."""
        with self.reader() as cursor:
            return keys_of(cursor, subject)

    def end_keys(self, key_ids: Sequence[str], revocations: Sequence[KeyRevoked]) -> None:
        """Store the revocations, and blank name and subject of the keys, as `remove_turns`."""
        self._writer.act(lambda connection: end_keys(connection, key_ids, revocations)).result()

    def remove_keyed(self, before: dt.datetime) -> int:
        """Take out the answers to keys that are older, which are given no more; gives how many."""
        return self._writer.act(lambda connection: remove_keyed(connection, before)).result()

    def referenced(self, attachments: Sequence[str]) -> set[str]:
        """Those of the attachments that some turn still has."""
        with self.reader() as cursor:
            return referenced(cursor, attachments)

    def compact(self) -> bool:
        """Write the file anew, without a trace of what was removed; chat goes on meanwhile. See `rewrite`.

        False where readers would not leave: the file is as it was, ask again. Raises StoreUnavailable; then too. No
        rows may be removed until it ends.
        """
        fresh = fresh_file(self._connection)
        try:
            with self._backups:
                copy_living(self._connection, fresh)
                return any(
                    self._writer.act(lambda connection: take_place(connection, fresh)).result()
                    for _ in range(COMPACT_TRIES)
                )
        except (duckdb.Error, OSError) as error:
            raise StoreUnavailable(
                f"The database could not be written anew ({type(error).__name__}).",
                "Free as much space as it takes; the text of what was removed is still in the old file.",
            ) from error
        finally:
            with contextlib.suppress(OSError):  # the next one begins with it
                drop_fresh(fresh)

    def close(self) -> None:
        """Commit what is queued, fold the log into the file, release it once the last reader has left.

        Whatever is called afterwards raises StoreUnavailable.
        """
        self._writer.close()
        self._connection.close()


def _count(cursor: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(cursor.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def _keyed(keyed: KeyedAnswer | None) -> tuple[Beside, ...]:
    return () if keyed is None else ((KEYED, keyed),)
