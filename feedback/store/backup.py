"""A whole, consistent copy of the database, made while it serves.

DuckDB copies from one transaction's view into a second file, so the copy holds everything that was acknowledged before
it began and nothing in part; writers go on meanwhile. The copy is opened and counted before it gets its name.
To restore: stop the gateway, put the copy in the place of `ratchet.duckdb` (and remove a `ratchet.duckdb.wal` beside
it: that log belongs to the old file), start the gateway.

The live file must never be copied by reading it from this process: closing any handle on it would drop the lock that
DuckDB holds (POSIX locks belong to the process), and a second process could then open it.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import duckdb

from feedback.errors import StoreUnavailable
from feedback.files import sync_folder
from feedback.store.connection import DATABASE, attach_sql


def copy_database(con: duckdb.DuckDBPyConnection, target: Path) -> Path:
    """Copy the database that `con` is on to `target`, atomically and durably, over what may lie there.

    `con` must be a cursor of the caller's own, outside a transaction, and no other copy to `target` be under way.
    Raises StoreUnavailable, and leaves `target` as it was, where the copy can't be made or lacks rows.
    """
    part = target.with_name(f".{target.name}.part")  # always the same name: what a kill left behind is overwritten
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove(part)
        counts = fill_copy(con, part)
        if (found := _counts_in(part)) != counts:
            raise OSError(f"the copy holds {found} rows, not {counts}")
        with part.open("rb") as copy:
            os.fsync(copy.fileno())
        os.replace(part, target)
        sync_folder(target.parent)
    except (duckdb.Error, OSError) as error:
        with contextlib.suppress(OSError):  # the first trouble is the one to tell
            _remove(part)
        raise StoreUnavailable(
            f"The database could not be copied to {target}: {error}",
            "Free space, or name a folder that can be written.",
        ) from error
    return target


def fill_copy(con: duckdb.DuckDBPyConnection, part: Path) -> dict[str, int]:
    """Fill `part` from one transaction's view of the live database; how many rows each table had in that view."""
    alias = f"copy_{os.urandom(8).hex()}"
    con.execute(attach_sql(part, alias))
    try:
        con.begin()
        try:
            counts = row_counts(con, DATABASE)
            con.execute(f"COPY FROM DATABASE {DATABASE} TO {alias}")
            con.commit()
        finally:
            with contextlib.suppress(duckdb.TransactionException):  # none is active after the commit
                con.rollback()
        con.execute(f"CHECKPOINT {alias}")
    finally:
        con.execute(f"DETACH {alias}")
    return counts


def _counts_in(part: Path) -> dict[str, int]:
    with duckdb.connect(str(part), read_only=True, config={"memory_limit": "256MiB", "threads": 1}) as copy:
        (name,) = copy.execute("SELECT current_database()").fetchall()[0]
        return row_counts(copy, name)


def row_counts(con: duckdb.DuckDBPyConnection, database: str) -> dict[str, int]:
    """Table → rows, of every table of a database that is attached."""
    names = con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = ?", [database]).fetchall()
    return {name: con.execute(f'SELECT count(*) FROM "{database}".main."{name}"').fetchall()[0][0] for (name,) in names}


def _remove(part: Path) -> None:
    for leftover in (part, part.with_name(f"{part.name}.wal")):
        leftover.unlink(missing_ok=True)
