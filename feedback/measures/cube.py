"""All weeks' counts, kept in memory and kept up: only weeks about which something new was said are counted anew.

What is new is told by row ids: rows are only added, so whatever lies behind the last one that was seen is new, and
names its turns. Where rows went (somebody was erased, the file was written anew) every week is counted again. New items
alone touch no week: a turn's first one is there before its annotation is.

Must never be refreshed by two threads at once; it may be read by any, also meanwhile. Each week is read by a reader of
its own, so that none is held long.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import NamedTuple

import duckdb
import numpy as np

from feedback.measures.weeks import FIRST_DRAFT, HELD, Counts, Week, read_rounds, read_week, week_sql
from feedback.mint import now
from feedback.store.database import Store

OF = {
    "turns": ("turn_id", "turn_id"),
    "ratings": ("rating_id", "turn_id"),
    "annotations": ("annotation_id", "turn_id"),
    "preferences": ("preference_id", FIRST_DRAFT),
    "facets": ("turn_id", "turn_id"),
}
"""The tables that are counted: the column that tells one row from another, and the turn whose week a row is in."""
WRITTEN_BY = {"ratings": "rater", "annotations": "annotator", "preferences": "rater"}

Held = frozenset[tuple[str, str]]


class Place(NamedTuple):
    """How far a table was seen."""

    rows: int
    last: int
    """The greatest row id; -1 where there is none."""
    last_id: str


class Cube:
    """The counts of every week. Empty until the first `refresh`."""

    def __init__(self) -> None:
        self.as_of: dt.datetime | None = None
        """The counts hold what was stored until then; none until every week was counted once."""
        self._weeks: dict[int, Week] = {}
        self._places: dict[str, Place] = {}
        self._held: Held = frozenset()
        self._rounds = np.empty(0)
        self._stale: set[int] = set()

    @property
    def counts(self) -> Counts:
        """The counts of the weeks that have turns. What was given is never changed."""
        return Counts(self._weeks, self._rounds)

    def refresh(self, store: Store, go_on: Callable[[float], bool] = lambda seconds: True) -> None:
        """Count what is new. `go_on` is asked after each week, told how many seconds it took; where it says no the rest
        waits for the next time.

        Raises StoreUnavailable, duckdb.Error.
        """
        began = now()
        with store.reader() as cursor:
            self._look(cursor)
        while self._stale:
            week = max(self._stale)  # the newest first
            looked = now()
            with store.reader() as cursor:
                counted = read_week(cursor, week)
            others = {number: other for number, other in self._weeks.items() if number != week}
            self._weeks = {**others, week: counted} if counted.keys else others
            self._stale.discard(week)
            if not go_on((now() - looked).total_seconds()):
                break
        if not self._stale:
            self.as_of = began

    def _look(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Find the weeks that are to be counted, and remember how far the tables go now."""
        places = {table: _place(cursor, table) for table in OF}
        held: Held = frozenset(cursor.execute(HELD).fetchall())
        touched: set[int] | None = set()
        for table, place in places.items():
            fresh = _touched(cursor, table, self._places.get(table), place)
            touched = None if fresh is None or touched is None else touched | fresh
        if touched is None:
            touched = set(self._weeks) | _weeks_of(cursor, "turns", "turn_id", "true")
        else:
            touched |= _touched_by(cursor, held ^ self._held)
        self._stale |= touched
        self._places, self._held, self._rounds = places, held, read_rounds(cursor)


def _place(cursor: duckdb.DuckDBPyConnection, table: str) -> Place:
    ((rows, last),) = cursor.execute(f"SELECT count(*), coalesce(max(rowid), -1) FROM {table}").fetchall()
    return Place(rows, last, _id_at(cursor, table, last))


def _id_at(cursor: duckdb.DuckDBPyConnection, table: str, row: int) -> str:
    found = cursor.execute(f"SELECT {OF[table][0]} FROM {table} WHERE rowid = ?", [row]).fetchall()
    return str(found[0][0]) if found else ""


def _touched(cursor: duckdb.DuckDBPyConnection, table: str, before: Place | None, here: Place) -> set[int] | None:
    """Weeks of the rows that are new since `before`; none where it can't be told which they are."""
    if before is None:
        return None
    if before == here:
        return set()
    ((fresh,),) = cursor.execute(f"SELECT count(*) FROM {table} WHERE rowid > ?", [before.last]).fetchall()
    if fresh != here.rows - before.rows or _id_at(cursor, table, before.last) != before.last_id:
        return None
    return _weeks_of(cursor, table, OF[table][1], "rowid > ?", [before.last])


def _touched_by(cursor: duckdb.DuckDBPyConnection, changed: Held) -> set[int]:
    """Weeks in which something counts that did not, or no longer does."""
    raters = [target for kind, target in changed if kind == "rater"]
    ids = [target for kind, target in changed if kind != "rater"]
    touched: set[int] = set()
    for table, by in WRITTEN_BY.items() if changed else ():
        condition = f"{by} IN (SELECT unnest(?::VARCHAR[])) OR {OF[table][0]} IN (SELECT unnest(?::VARCHAR[]))"
        touched |= _weeks_of(cursor, table, OF[table][1], condition, [raters, ids])
    return touched


def _weeks_of(
    cursor: duckdb.DuckDBPyConnection, table: str, turn_id: str, condition: str, values: list[object] | None = None
) -> set[int]:
    query = f"SELECT DISTINCT {week_sql(turn_id)} FROM {table} WHERE {condition}"
    return {week for (week,) in cursor.execute(query, values or []).fetchall()}
