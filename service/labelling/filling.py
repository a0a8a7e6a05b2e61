"""What keeps the queue filled by itself: works out what turns are about, and chooses turns to look at when few wait.

Both in threads beside the gateway's requests, a little at a time. Must never end the gateway: what fails is logged, and
tried again. Must never give out an item before it is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

import duckdb

from feedback.errors import RatchetError, UnknownTurn
from feedback.facets import OTHER, Facets, Topics, facets_of
from feedback.labelling.board import Board
from feedback.labelling.estimates import turn_ms
from feedback.labelling.frame import cells_of
from feedback.labelling.records import Item
from feedback.labelling.selection import Chosen, choose, lots_needed
from feedback.mint import new_id, now
from feedback.settings import LabellingSettings
from feedback.store.database import Store
from feedback.store.facet_rows import without_facets
from feedback.store.tables import ITEMS, TURNS
from learner.alias import read_aliases
from service.commits import committed

log = logging.getLogger(__name__)

FIRST_LOOK_S, LOOK_EVERY_S = 5.0, 30.0
BACKLOG = 4_096
"""Turns without facets that are looked for at a time."""
BATCH = 256
"""Turns whose facets are worked out and stored at a time."""
REST_S = 0.05
"""Between two batches: the gateway's own work goes first."""
LOW_WATER = 0.5
"""New items are chosen when fewer than this share of `open_items` wait: a round looks at every turn there is, which for
a million of them takes two cores some seconds in which a chat's own cost doubles."""
BEHIND_MS = 3_600_000
"""How far behind the last turn that has its facets later looks begin: a long reply is stored behind newer ones."""
PAUSE_TIMES = 20
"""A round is followed by a pause of at least so many times as long as it took: on average a twentieth of a core."""
_LOTS = random.SystemRandom()


class Filling:
    """The work itself. For one task at a time."""

    def __init__(self, store: Store, rules: LabellingSettings, board: Board, alias_file: Path) -> None:
        self._store, self._rules, self._board, self._alias_file = store, rules, board, alias_file
        self._topics = Topics(rules.topics or None)
        self._after = ""
        """Turns up to this id have their facets."""
        self._rest_until = 0.0

    async def fill_facets(self) -> int:
        """Work out the facets of some turns that have none; gives how many: fewer than BACKLOG when all are done."""
        missing = await asyncio.to_thread(self._without)
        for first in range(0, len(missing), BATCH):
            batch = missing[first : first + BATCH]
            await asyncio.to_thread(self._fill, batch)
            self._after = _behind(batch[-1])
            await asyncio.sleep(REST_S)
        return len(missing)

    async def fill_queue(self) -> list[Item]:
        """Choose new items if fewer wait than should; those that are stored and on the board now."""
        waiting, clock = self._board.unannotated, time.monotonic
        if waiting >= self._rules.open_items * LOW_WATER or clock() < self._rest_until:
            return []
        began = clock()
        fresh = await asyncio.to_thread(self._choose, self._rules.open_items - waiting)
        self._rest_until = clock() + PAUSE_TIMES * (clock() - began)
        fresh = [item for item in fresh if not self._board.of_turn(item.turn_id)]  # asked for meanwhile
        failures = await asyncio.gather(*(self._keep(item) for item in fresh), return_exceptions=True)
        stored = [item for item, failure in zip(fresh, failures, strict=True) if failure is None]
        self._board.add(stored)
        if stored:
            log.info("items-chosen", extra={"fields": {"items": len(stored)}})
        for failure in failures:
            if failure is not None and not isinstance(failure, UnknownTurn):  # such a turn was erased meanwhile
                raise failure
        return stored

    async def _keep(self, item: Item) -> None:
        await committed(self._store.add(ITEMS, item))

    def _without(self) -> list[str]:
        with self._store.reader() as cursor:
            return without_facets(cursor, self._after, BACKLOG)

    def _fill(self, turn_ids: Sequence[str]) -> None:
        self._store.add_facets(self._facets(turn_ids))

    def _facets(self, turn_ids: Sequence[str]) -> list[Facets]:
        """Of turns whose ids lie close together."""
        if not turn_ids:
            return []
        values = [min(turn_ids), max(turn_ids), list(turn_ids)]
        near = "WHERE turn_id BETWEEN ? AND ? AND turn_id IN (SELECT unnest(?::VARCHAR[]))"
        turns = self._store.rows(TURNS, near, values)
        return [facets_of(turn.turn_id, turn.messages, turn.reply, self._topics) for turn in turns]

    def _choose(self, wanted: int) -> list[Item]:
        at, seed = now(), _LOTS.getrandbits(64)
        with self._store.reader() as cursor:
            cells = cells_of(cursor, at, self._challengers(), seed, lots_needed(wanted))
            chosen = {one.turn_id: one for one in choose(cells, wanted, self._rules)}
            found = cursor.execute(_DETAILS, [list(chosen)]).fetchall()
        known = {row[0]: Facets(turn_id=row[0], language=row[3], topic=row[4]) for row in found if row[3] is not None}
        known |= {one.turn_id: one for one in self._facets([row[0] for row in found if row[3] is None])}
        nothing = Facets(turn_id="", language=OTHER, topic=OTHER)
        rows = {row[0]: row for row in found}
        return [
            Item(
                item_id=new_id("item"),
                turn_id=turn_id,
                created_at=at,
                project=rows[turn_id][1],
                choice=one.choice,
                probability=one.probability,
                annotators=2 if _LOTS.random() < self._rules.second_share else 1,
                review=_LOTS.random() < self._rules.review_share,
                language=known.get(turn_id, nothing).language,
                topic=known.get(turn_id, nothing).topic,
                version=rows[turn_id][2],
            )
            for turn_id, one in _ordered(chosen)
            if turn_id in rows
        ]

    def _challengers(self) -> dict[str, str]:
        """Alias → the version that it tries out. Raises AliasCorrupt."""
        aliases = read_aliases(self._alias_file).aliases
        return {name: alias.challenger.version for name, alias in aliases.items() if alias.challenger is not None}


_DETAILS = """
    SELECT turn_id, alias, version, language, topic
    FROM (SELECT turn_id, alias, version FROM turns WHERE turn_id IN (SELECT unnest(?::VARCHAR[])) AND reply <> '')
    LEFT JOIN facets USING (turn_id)
"""


@contextlib.asynccontextmanager
async def filling(store: Store, rules: LabellingSettings, board: Board, data_dir: Path) -> AsyncIterator[None]:
    """`async with`: keep the queue filled; what is under way at the end is waited for."""
    stop = asyncio.Event()
    task = asyncio.create_task(_keep_filled(stop, Filling(store, rules, board, data_dir / "alias.json")))
    try:
        yield
    finally:
        stop.set()
        await task


async def _keep_filled(stop: asyncio.Event, work: Filling) -> None:
    pause = FIRST_LOOK_S
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)
        if stop.is_set():
            return
        pause = LOOK_EVERY_S
        try:
            if await work.fill_facets() == BACKLOG:
                pause = REST_S
            await work.fill_queue()
        except (RatchetError, OSError, duckdb.Error) as error:  # DuckDB's own where a round finds no room to spill
            log.error("filling-failed", extra={"fields": {"reason": getattr(error, "code", "disk")}})
            pause = LOOK_EVERY_S


def _behind(turn_id: str) -> str:
    """An id BEHIND_MS before that one's."""
    return f"turn-{max(0, turn_ms(turn_id) - BEHIND_MS):012x}"


def _ordered(chosen: Mapping[str, Chosen]) -> list[tuple[str, Chosen]]:
    return sorted(chosen.items())
