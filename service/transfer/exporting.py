"""Exporting turns with what was said of them, a page at a time: the next page is read once the last one is on its way.

Each page is one state of the store and holds no cursor between pages, so a slow reader keeps nobody from folding in or
compacting the file. Turns come by id, which is by time; one that is stored while an export runs may be in it or not.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import duckdb
import msgspec

from feedback.formats.entries import Compared, Format, Judged, Which
from feedback.store.database import Store
from feedback.store.table import Table
from feedback.store.tables import ANNOTATIONS, PREFERENCES, RATINGS, TURNS

PAGE_TURNS = 256
IN = "IN (SELECT unnest(?::VARCHAR[]))"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which turns."""

    which: Which
    project: str = ""
    """The alias that people chatted with; empty: all."""
    version: str = ""
    """That answered; empty: all."""
    since: dt.datetime | None = None
    until: dt.datetime | None = None
    """Begun from `since` on, and before `until`."""

    def condition(self) -> tuple[str, list[Any]]:
        """SQL, and its values."""
        parts: list[tuple[str, Any]] = []
        if self.project:
            parts.append(("alias = ?", self.project))
        if self.version:
            parts.append(("version = ?", self.version))
        if self.since is not None:
            parts.append(("created_at >= ?", self.since.astimezone(dt.UTC).replace(tzinfo=None)))
        if self.until is not None:
            parts.append(("created_at < ?", self.until.astimezone(dt.UTC).replace(tzinfo=None)))
        if self.which != "all":
            said = " UNION ".join(f"SELECT turn_id FROM {table.name}" for table in (RATINGS, ANNOTATIONS, PREFERENCES))
            parts.append((f"turn_id IN ({said}) AND ?", True))
        return " AND ".join(["turn_id > ?", *(sql for sql, _ in parts)]), [value for _, value in parts]


async def exported(store: Store, form: Format, wanted: Wanted) -> AsyncIterator[bytes]:
    """The file, in pieces."""
    after: str | None = ""
    began = False
    while after is not None:
        after, records = await asyncio.to_thread(_page, store, form, wanted, after)
        lines = [msgspec.json.encode(one) for one in records]
        if form.array:
            lines = [(b",\n" if began or at else b"[\n") + line for at, line in enumerate(lines)]
        else:
            lines = [line + b"\n" for line in lines]
        began = began or bool(lines)
        if lines:
            yield b"".join(lines)
    if form.array:
        yield b"\n]\n" if began else b"[]\n"


def _page(store: Store, form: Format, wanted: Wanted, after: str) -> tuple[str | None, list[Any]]:
    """The records of the next turns, and the id to go on behind; none where there are no more."""
    condition, values = wanted.condition()
    with store.reader() as cursor:
        found = _rows(cursor, TURNS, f"WHERE {condition} ORDER BY turn_id LIMIT {PAGE_TURNS}", [after, *values])
        judged = _with_verdicts(cursor, found)
    records = [record for one in judged for record in form.write(one, wanted.which)]
    return (found[-1].turn_id if len(found) == PAGE_TURNS else None), records


def _with_verdicts(cursor: duckdb.DuckDBPyConnection, turns: list[Any]) -> list[Judged]:
    ids = [turn.turn_id for turn in turns]
    if not ids:
        return []
    said = {
        table: _rows(cursor, table, f"WHERE turn_id {IN} ORDER BY created_at, {table.columns[0]}", [ids])
        for table in (RATINGS, ANNOTATIONS, PREFERENCES)
    }
    others = [one.other_turn_id for one in said[PREFERENCES]]
    replies = dict(cursor.execute(f"SELECT turn_id, reply FROM turns WHERE turn_id {IN}", [others]).fetchall())
    return [
        Judged(
            turn=turn,
            ratings=[one for one in said[RATINGS] if one.turn_id == turn.turn_id],
            annotations=[one for one in said[ANNOTATIONS] if one.turn_id == turn.turn_id],
            preferences=[
                Compared(preference=one, other_reply=replies.get(one.other_turn_id))
                for one in said[PREFERENCES]
                if one.turn_id == turn.turn_id
            ],
        )
        for turn in turns
    ]


def _rows(cursor: duckdb.DuckDBPyConnection, table: Table[Any], rest: str, values: list[Any]) -> list[Any]:
    return [table.item(row) for row in cursor.execute(f"{table.select} {rest}", values).fetchall()]
