"""What the board begins with: the items that are open, with all that was said of them, and the leases that hold.

Most items of a store are closed, and are left out by the database: those that somebody decided finally, and those that
one person was to annotate and did, without a reason for a look. The few others of which only `workflow` can tell are
read and dropped here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import duckdb

from feedback.labelling.board import Board
from feedback.labelling.records import Lease
from feedback.labelling.workflow import LOOKED_AT, Case
from feedback.mint import now
from feedback.settings import LabellingSettings
from feedback.store.database import Store
from feedback.store.table import Kind, Table
from feedback.store.tables import ANNOTATIONS, ITEMS, LEASES, REVIEWS, SKIPS

OPEN = f"""
    WHERE annotators > 0
    AND item_id NOT IN (SELECT item_id FROM reviews WHERE decision IN ('accept', 'mend', 'decide', 'drop'))
    AND NOT (annotators = 1 AND NOT review AND item_id IN (
        SELECT item_id FROM annotations WHERE tier = 'annotator' AND item_id <> ''
        GROUP BY item_id HAVING NOT bool_or({" OR ".join(f"contains(flags, '{flag}')" for flag in sorted(LOOKED_AT))})))
"""
GOLD = """
    WHERE annotators = 0 AND item_id NOT IN (
        SELECT item_id FROM gold GROUP BY item_id HAVING arg_max(retired, created_at))
"""
OF_ITEMS = "WHERE item_id IN (SELECT unnest(?::VARCHAR[])) ORDER BY created_at"
LEASES_SINCE = dt.timedelta(days=2)
"""How far back leases are read: what was given out before then has run out, if it was not renewed since."""
About = TypeVar("About", bound="_About")


class _About(Protocol):
    @property
    def item_id(self) -> str: ...


def load_board(store: Store, rules: LabellingSettings) -> Board:
    """The board as the store's rows make it. Raises StoreUnavailable."""
    board = Board(rules)
    with store.reader() as cursor:
        for case in _cases(cursor, OPEN):
            board.put(case)
        gold = _rows(cursor, ITEMS, GOLD)
        met = _met(cursor, [item.item_id for item in gold]) if gold else {}
        for item in gold:
            board.put(Case(item=item), met=met.get(item.item_id, ()))
        since = (now() - LEASES_SINCE).replace(tzinfo=None)
        leases = _rows(cursor, LEASES, "WHERE created_at >= ? ORDER BY created_at, lease_id", [since])
    _hold(board, leases)
    return board


def cases_of(store: Store, item_ids: Sequence[str]) -> list[Case]:
    """Items, open or not, with all that was said of them. Raises StoreUnavailable."""
    with store.reader() as cursor:
        return _cases(cursor, "WHERE item_id IN (SELECT unnest(?::VARCHAR[]))", [list(item_ids)])


def _cases(cursor: duckdb.DuckDBPyConnection, which: str, values: Sequence[Any] = ()) -> list[Case]:
    items = _rows(cursor, ITEMS, which, values)
    ids = [[item.item_id for item in items]]
    annotations = _by_item(_rows(cursor, ANNOTATIONS, OF_ITEMS, ids) if items else [])
    reviews = _by_item(_rows(cursor, REVIEWS, OF_ITEMS, ids) if items else [])
    skips = _by_item(_rows(cursor, SKIPS, OF_ITEMS, ids) if items else [])
    return [
        Case(
            item=item,
            annotations=tuple(annotations.get(item.item_id, ())),
            reviews=tuple(reviews.get(item.item_id, ())),
            skips=tuple(skips.get(item.item_id, ())),
        )
        for item in items
    ]


def _by_item(rows: list[About]) -> dict[str, list[About]]:
    found: dict[str, list[About]] = {}
    for row in rows:
        found.setdefault(row.item_id, []).append(row)
    return found


def _rows(cursor: duckdb.DuckDBPyConnection, table: Table[Kind], rest: str, values: Sequence[Any] = ()) -> list[Kind]:
    return [table.item(row) for row in cursor.execute(f"{table.select} {rest}", list(values)).fetchall()]


def _met(cursor: duckdb.DuckDBPyConnection, item_ids: list[str]) -> dict[str, list[str]]:
    """Who has annotated or skipped each of these."""
    asked = "item_id IN (SELECT unnest($1::VARCHAR[]))"
    query = f"""
        SELECT item_id, list(DISTINCT person) FROM (
            SELECT item_id, annotator AS person FROM annotations WHERE {asked}
            UNION ALL SELECT item_id, person FROM skips WHERE {asked}) GROUP BY item_id
    """
    return dict(cursor.execute(query, [item_ids]).fetchall())


def _hold(board: Board, leases: Sequence[Lease]) -> None:
    """Those that still hold: the latest row of each person and item, where they have said nothing since."""
    begun: dict[tuple[str, str], dt.datetime] = {}
    latest: dict[tuple[str, str], Lease] = {}
    for lease in leases:
        key = lease.item_id, lease.person
        before = latest.get(key)
        if before is None or before.expires_at < lease.created_at or before.expires_at <= before.created_at:
            begun[key] = lease.created_at
        latest[key] = lease
    at = now()
    for key, lease in latest.items():
        case = board.case(lease.item_id)
        if case is None or lease.expires_at <= at or board.stage(lease.item_id) != lease.stage:
            continue
        said = [
            *(one.created_at for one in case.annotations if one.annotator == lease.person),
            *(one.created_at for one in case.reviews if one.person == lease.person),
            *(one.created_at for one in case.skips if one.person == lease.person),
        ]
        if all(moment < lease.created_at for moment in said) and board.free(lease.person, lease.item_id):
            board.leases.hold(lease, begun[key])
