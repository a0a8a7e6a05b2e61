"""The queue as operators see it, and turns that they want looked at."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from feedback.errors import InvalidInput
from feedback.facets import Topics, facets_of
from feedback.labelling.board import Board
from feedback.labelling.records import Item, Stage
from feedback.mint import new_id, now
from feedback.settings import LabellingSettings
from feedback.store.admission import unknown_turn
from feedback.store.database import Store
from feedback.store.tables import ITEMS, TURNS
from feedback.turns import Turn
from service.commits import committed
from service.labelling.inputs import ItemState
from service.paging import PAGE_LIMIT


def items(board: Board, stage: Stage | None) -> list[ItemState]:
    """Open items, by id; of one stage, where one is named."""
    at, found = now(), []
    for case in board.cases():
        item_id = case.item.item_id
        if stage in (None, board.stage(item_id)):
            state = ItemState(
                item=case.item,
                stage=board.standing(item_id).stage,
                annotations=len(case.first_hand),
                people=sorted(held.person for held in board.leases.holders(item_id, at)),
            )
            found.append(state)
    return sorted(found, key=lambda one: one.item.item_id)


async def ask_for(
    store: Store, board: Board, rules: LabellingSettings, turn_ids: Sequence[str], annotators: int, review: bool
) -> list[Item]:
    """Items for these turns. Raises InvalidInput, UnknownTurn; then nothing was asked for."""
    if not 1 <= annotators <= 2:
        raise InvalidInput(f"annotators is {annotators}.", "Send 1 or 2.")
    if not 1 <= len(turn_ids) <= PAGE_LIMIT:
        raise InvalidInput(f"{len(turn_ids)} turns are named.", f"Name 1 to {PAGE_LIMIT}.")
    waiting = _waiting(board, turn_ids)
    wanted = [turn_id for turn_id in dict.fromkeys(turn_ids) if turn_id not in waiting]
    turns = await asyncio.to_thread(store.rows, TURNS, "WHERE turn_id IN (SELECT unnest(?::VARCHAR[]))", [list(wanted)])
    known = {turn.turn_id: turn for turn in turns}
    for turn_id in wanted:
        if turn_id not in known:
            raise unknown_turn(turn_id)
    topics = Topics(rules.topics or None)
    waiting = _waiting(board, turn_ids)  # while the turns were read somebody else may have asked
    fresh = [_item(known[one], topics, annotators, review) for one in wanted if one not in waiting]
    if fresh:
        first, *others = fresh
        board.add(fresh)  # before the commit, so that the same request again finds them; it is undone where that fails
        try:
            await committed(store.add(ITEMS, first, *((ITEMS, one) for one in others)))
        except Exception:  # whatever it is: an item that is not stored must not be given out
            board.forget([one.item_id for one in fresh])
            raise
    found = waiting | {one.turn_id: one for one in fresh}
    return [found[turn_id] for turn_id in dict.fromkeys(turn_ids)]


def _waiting(board: Board, turn_ids: Sequence[str]) -> dict[str, Item]:
    """Items of these turns that are open, but for gold."""
    found = {turn_id: [one for one in board.of_turn(turn_id) if one.annotators] for turn_id in turn_ids}
    return {turn_id: items[0] for turn_id, items in found.items() if items}


def _item(turn: Turn, topics: Topics, annotators: int, review: bool) -> Item:
    facets = facets_of(turn.turn_id, turn.messages, turn.reply, topics)
    return Item(
        item_id=new_id("item"),
        turn_id=turn.turn_id,
        created_at=now(),
        project=turn.alias,
        choice="asked",
        probability=1.0,
        annotators=annotators,
        review=review,
        language=facets.language,
        topic=facets.topic,
        version=turn.version,
    )
