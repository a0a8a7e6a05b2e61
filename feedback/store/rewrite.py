"""Writing the database file anew, without what was deleted from it, while it serves.

DuckDB gives the blocks of deleted rows back to itself, and what stood in them stays there, readable by anybody who has
the file, until it happens to be written over; it neither blanks nor trims them. So after an erasure everything that
lives is copied into a fresh file, which takes the old one's place.

    copy, while writers go on ─► in the writer's thread: what came meanwhile ─► readers leave ─► replace ─► go on

Writers wait for the second half only: the newest rows and one rename. Killed anywhere, one whole file is there, the old
or the fresh. Must never: replace a file whose log is not folded in, since that log would be replayed into the new one.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

import duckdb

from feedback.errors import StoreUnavailable
from feedback.store.backup import fill_copy, row_counts
from feedback.store.connection import DATABASE, Connection, attach_sql
from feedback.store.tables import GUIDELINES, KEYED, KEYS, REVOCATIONS, TABLES

SMALL = (GUIDELINES, KEYS, REVOCATIONS, KEYED)
"""Tables of which rows may be changed, or go by themselves, while the first copy is made: copied again whole."""
GROWN_ONLY = {table.name: table.columns[0] for table in TABLES if table not in SMALL} | {"facets": "turn_id"}
"""Tables that only grew since the first copy, as removals wait for its end: the column that tells one row from another.
Of these writers wait for the newest rows only."""
READERS_PATIENCE_S = 2.0
"""How long new readers wait for those under way to leave, in one try."""


def fresh_file(connection: Connection) -> Path:
    """Where the fresh file is made; always the same name, so that what a kill left behind is written over."""
    return connection.file.with_name(f".{connection.file.name}.fresh")


def drop_leftovers(connection: Connection) -> None:
    """Remove what a kill left beside the file: a fresh one, and what queries had put aside. Right after opening."""
    drop_fresh(fresh_file(connection))
    shutil.rmtree(f"{connection.file}.tmp", ignore_errors=True)


def drop_fresh(file: Path) -> None:
    """Remove a fresh file that a kill left behind."""
    for leftover in (file, file.with_name(f"{file.name}.wal")):
        leftover.unlink(missing_ok=True)


def copy_living(connection: Connection, fresh: Path) -> None:
    """The first half: copy what lives, beside the writer. Raises duckdb.Error, OSError."""
    drop_fresh(fresh)
    with connection.cursor() as cursor:
        fill_copy(cursor, fresh)


def take_place(connection: Connection, fresh: Path) -> bool:
    """The second half, in the writer's thread: catch up, and let the fresh file take the old one's place.

    False where readers did not leave in time: the old file serves on, and this may be tried again. Raises duckdb.Error,
    StoreUnavailable.
    """
    with connection.cursor() as cursor:
        _catch_up(cursor, fresh)
        with contextlib.suppress(duckdb.TransactionException):  # readers are about: closing folds the log in
            cursor.execute("CHECKPOINT")
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    return connection.replace_with(fresh, READERS_PATIENCE_S)


def _catch_up(cursor: duckdb.DuckDBPyConnection, fresh: Path) -> None:
    alias = f"fresh_{os.urandom(8).hex()}"
    cursor.execute(attach_sql(fresh, alias))
    try:
        cursor.begin()
        try:
            counts = row_counts(cursor, DATABASE)
            for name in counts:
                _copy_rest(cursor, alias, name)
            found = row_counts(cursor, alias)
            if found != counts:
                raise StoreUnavailable(f"The fresh file holds {found} rows, not {counts}.", "Look at the disk.")
            cursor.commit()
        finally:
            with contextlib.suppress(duckdb.TransactionException):  # none is active after the commit
                cursor.rollback()
        cursor.execute(f"CHECKPOINT {alias}")
    finally:
        cursor.execute(f"DETACH {alias}")


def _copy_rest(cursor: duckdb.DuckDBPyConnection, alias: str, name: str) -> None:
    ours, theirs = f'"{DATABASE}".main."{name}"', f'"{alias}".main."{name}"'
    own_id = GROWN_ONLY.get(name)
    if own_id is None:
        cursor.execute(f"DELETE FROM {theirs}")
        cursor.execute(f"INSERT INTO {theirs} SELECT * FROM {ours}")
        return
    cursor.execute(f"INSERT INTO {theirs} SELECT * FROM {ours} WHERE {own_id} NOT IN (SELECT {own_id} FROM {theirs})")
