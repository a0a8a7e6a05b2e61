"""The store's door: append a turn, a rating or an annotation, and read them back.

One process owns the file and one thread in it writes (`writer`). An `add_*` gives a future at once; it is resolved when
the row is on disk, and only then may anybody be told that it is stored. Rows are only ever added. Readers have cursors
of their own: a reader sees one committed state for as long as it reads, and neither blocks the writer nor is
disturbed by it.

Must never: acknowledge before the commit; update or delete; open the file twice.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import duckdb

from feedback.annotations import Annotation
from feedback.errors import Conflict, StoreLocked, StoreUnavailable
from feedback.mint import now
from feedback.ratings import Rating
from feedback.settings import StoreSettings
from feedback.store.backup import copy_database
from feedback.store.migrations import MIGRATIONS, Migration, migrate
from feedback.store.tables import ANNOTATIONS, RATINGS, TURNS, Kind, Table
from feedback.store.writer import Write, Writer, unknown_turn
from feedback.turns import Turn

log = logging.getLogger(__name__)

FILE_NAME = "ratchet.duckdb"
_open_here: set[Path] = set()
_open_here_gate = threading.Lock()
"""DuckDB lets one process open a file twice, which would be two writers: the files that this process has open."""


class Store:
    """The open store. Thread-safe; close it to leave one whole file behind (not closing it loses nothing)."""

    def __init__(self, file: Path, con: duckdb.DuckDBPyConnection, settings: StoreSettings) -> None:
        self.file = file
        self._con = con
        self._writer = Writer(con.cursor(), settings)

    @classmethod
    def open(cls, settings: StoreSettings, migrations: Sequence[Migration] = MIGRATIONS) -> Store:
        """Open the store in `settings.data_dir`, making the folder and the tables where they are missing.

        Raises StoreLocked, naming the process that owns the file; StoreUnavailable where the file can't be opened, was
        written by a newer release or can't be migrated.
        """
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        file = settings.data_dir.resolve() / FILE_NAME
        _claim(file)
        try:
            con = _connect(file, settings)
            try:
                migrate(con, file, migrations)
                return cls(file, con, settings)
            except BaseException:
                con.close()
                raise
        except BaseException:
            _release(file)
            raise

    def add_turn(self, turn: Turn) -> Future[None]:
        """Append a turn. The future is resolved once it is durable.

        Raises at once: InvalidInput for text or numbers that can't be stored, StoreBusy where too many writes wait,
        StoreUnavailable after `close`. The future fails with: Conflict where a recent row has the same id,
        StoreUnavailable where the disk refuses, InvalidInput where DuckDB does.
        """
        return self._add(TURNS, turn)

    def add_rating(self, rating: Rating) -> Future[None]:
        """Append a rating, as `add_turn`; the future fails with UnknownTurn where its turn is not stored."""
        return self._add(RATINGS, rating)

    def add_annotation(self, annotation: Annotation) -> Future[None]:
        """Append an annotation, as `add_turn`; the future fails with UnknownTurn where its turn is not stored."""
        return self._add(ANNOTATIONS, annotation)

    def turn(self, turn_id: str) -> Turn:
        """The turn of that id. Raises UnknownTurn."""
        found = self._select(TURNS, "WHERE turn_id = ? LIMIT 1", [turn_id])
        if not found:
            raise unknown_turn(turn_id)
        return found[0]

    def ratings(self, turn_id: str) -> list[Rating]:
        """Every rating of a turn, oldest first; none for a turn that is not stored."""
        return self._select(RATINGS, "WHERE turn_id = ? ORDER BY created_at, rating_id", [turn_id])

    def annotations(self, turn_id: str) -> list[Annotation]:
        """Every annotation of a turn, oldest first; none for a turn that is not stored."""
        return self._select(ANNOTATIONS, "WHERE turn_id = ? ORDER BY created_at, annotation_id", [turn_id])

    def turns(self, after: str = "", limit: int = 50) -> list[Turn]:
        """The next `limit` turns behind the id `after`, by id, which is by time. Pass the last one's id to go on."""
        return self._select(TURNS, "WHERE turn_id > ? ORDER BY turn_id LIMIT ?", [after, limit])

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
            cursor = self._con.cursor()
            cursor.execute("BEGIN TRANSACTION READ ONLY")
        except duckdb.Error as error:
            raise StoreUnavailable("The store can't be read.", "It is closed, or its disk fails.") from error
        try:
            yield cursor
        finally:
            cursor.close()  # ends the transaction

    def backup(self, target: Path) -> Path:
        """Copy the whole store while it serves; everything acknowledged before the call is in the copy.

        `target` is a file, or a folder in which the copy is named by the time. Gives the file's path; see
        `feedback.store.backup` for restoring. Raises StoreUnavailable where the copy can't be made or verified.
        """
        if target.is_dir():
            target = target / f"ratchet-{now():%Y%m%dT%H%M%SZ}.duckdb"
        if target.resolve() == self.file:
            raise Conflict(f"{target} is the live database.", "Name another file for the backup.")
        try:
            cursor = self._con.cursor()
        except duckdb.Error as error:
            raise StoreUnavailable("The store is closed.", "Start the gateway again.") from error
        with cursor:
            return copy_database(cursor, target)

    def close(self) -> None:
        """Commit what is queued, fold the log into the file, release it. Further `add_*` raise StoreUnavailable."""
        self._writer.close()
        self._con.close()
        _release(self.file)

    def _add(self, table: Table[Kind], item: Kind) -> Future[None]:
        return self._writer.submit(Write(table, table.row(item)))

    def _select(self, table: Table[Kind], rest: str, values: list[Any]) -> list[Kind]:
        with self.reader() as cursor:
            return [table.item(row) for row in cursor.execute(f"{table.select} {rest}", values).fetchall()]


def _count(cursor: duckdb.DuckDBPyConnection, table: str) -> int:
    return int(cursor.execute(f"SELECT count(*) FROM {table}").fetchall()[0][0])


def _connect(file: Path, settings: StoreSettings) -> duckdb.DuckDBPyConnection:
    config = {
        "memory_limit": f"{settings.memory_limit_mib}MiB",
        "wal_autocheckpoint": f"{settings.wal_autocheckpoint_mib}MiB",
        "autoinstall_known_extensions": "false",  # what a query may need is built in; nothing is fetched
    }
    try:
        con = duckdb.connect(str(file), config=config)
        con.execute("SET GLOBAL TimeZone = 'UTC'")  # so that now() in a reader's query is comparable with our times
        return con
    except duckdb.IOException as error:
        owner = re.search(r"\(PID (\d+)\)", str(error))
        if owner is None:
            raise StoreUnavailable(f"{file} can't be opened: {error}", "Restore a backup, or mend the disk.") from error
        raise StoreLocked(
            f"{file} is open in process {owner[1]}.", "Stop that gateway first, or name another data folder."
        ) from error
    except duckdb.Error as error:
        raise StoreUnavailable(f"{file} can't be opened: {error}", "Restore a backup, or mend the disk.") from error


def _claim(file: Path) -> None:
    with _open_here_gate:
        if file in _open_here:
            raise StoreLocked(f"{file} is open in this process ({os.getpid()}) already.", "Use the store that is open.")
        _open_here.add(file)


def _release(file: Path) -> None:
    with _open_here_gate:
        _open_here.discard(file)
