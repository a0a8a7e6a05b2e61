"""Gold: turns whose right grades are known, given to everybody once among the others, to see how well they grade.

An expert makes an annotated turn gold. It gets an item of its own, which never goes to a reviewer; making it gold again
changes the grades, retiring it takes the item away. Only experts see which turns are gold: who knew would grade them
with care.
"""

from __future__ import annotations

import asyncio

import msgspec
from litestar import delete, get, post
from litestar.params import FromPath, FromQuery
from litestar.types import ControllerRouterHandler

from feedback.annotations import TIERS, Annotation, AnnotationInput, check_annotation
from feedback.errors import Conflict, InvalidInput, NotFound
from feedback.facets import Topics, facets_of
from feedback.labelling.loading import cases_of
from feedback.labelling.records import Gold, Item
from feedback.labelling.workflow import Case
from feedback.mint import new_id, now
from feedback.store.database import Store
from feedback.store.tables import GOLD, ITEMS
from feedback.turns import Turn
from service.commits import committed
from service.corrections import words_in_note
from service.labelling.people import name_of
from service.paging import Page, check_limit, key_of, page_of
from service.parts import AnyRequest, Parts, parts_of
from service.turns import decode

LATEST = "QUALIFY row_number() OVER (PARTITION BY turn_id ORDER BY created_at DESC, gold_id DESC) = 1"


class UnknownGold(NotFound):
    code = "unknown-gold"


class GoldInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an expert sends to make a turn gold."""

    turn_id: str
    accuracy: int | None = None
    """1 to 4; both grades left out: those of its deciding annotation, the highest tier's latest."""
    fluency: int | None = None
    """1 to 3."""
    note: str = ""
    """Why these grades: for other experts."""


@post("/gold", status_code=201, summary="Make a turn gold", allow="expert")
async def make_gold(request: AnyRequest) -> Gold:
    """The turn, which somebody has annotated, is given to every annotator once from now on."""
    given, parts = decode(await request.body(), GoldInput, InvalidInput), parts_of(request)
    async with parts.deciding:
        turn, annotations, before = await asyncio.to_thread(_known, parts.store, given.turn_id)
        accuracy, fluency = _grades(given, annotations)
        note = words_in_note(parts.words, given.note, "note", turn.turn_id)
        if before is not None and not before.retired and _says_the_same(before, accuracy, fluency, note):
            return before
        item = _item(turn, Topics(parts.labelling.topics or None), before)
        gold = Gold(
            gold_id=new_id("gold"),
            turn_id=turn.turn_id,
            item_id=item.item_id,
            created_at=now(),
            author=name_of(request),
            accuracy=accuracy,
            fluency=fluency,
            note=note,
            retired=False,
        )
        await committed(parts.store.add(GOLD, gold, *(((ITEMS, item),) if before is None else ())))
        await _put_on_board(parts, item)
    return gold


@get("/gold", summary="Turns that are gold", allow="expert")
async def read_gold(request: AnyRequest, cursor: FromQuery[str] = "", limit: FromQuery[int] = 50) -> Page[Gold]:
    """A page of `limit` (1 to 500), by turn."""
    after, count = key_of("gold", cursor), check_limit(limit) + 1
    found = await asyncio.to_thread(_page, parts_of(request).store, after, count)
    return page_of("gold", found, limit, lambda one: one.turn_id)


@delete("/gold/{turn_id:str}", status_code=200, summary="Retire a gold turn", allow="expert")
async def retire_gold(request: AnyRequest, turn_id: FromPath[str]) -> Gold:
    """Nobody is given it any more; what was said of it stays."""
    parts = parts_of(request)
    async with parts.deciding:
        before = await asyncio.to_thread(_latest, parts.store, turn_id)
        if before is None or before.retired:
            raise UnknownGold("This turn is not gold.", "GET /gold lists those that are.")
        author = name_of(request)
        gold = msgspec.structs.replace(before, gold_id=new_id("gold"), created_at=now(), author=author, retired=True)
        await committed(parts.store.add(GOLD, gold))
        parts.desk.board.forget([gold.item_id])
    return gold


async def _put_on_board(parts: Parts, item: Item) -> None:
    """Unless it is there; whoever graded it before it was retired is not given it again."""
    if parts.desk.board.case(item.item_id) is None:
        (known,) = await asyncio.to_thread(cases_of, parts.store, [item.item_id])
        parts.desk.board.put(Case(item=known.item), met=known.people)


def _known(store: Store, turn_id: str) -> tuple[Turn, list[Annotation], Gold | None]:
    return store.turn(turn_id), store.annotations(turn_id), _latest(store, turn_id)


def _latest(store: Store, turn_id: str) -> Gold | None:
    found = store.rows(GOLD, "WHERE turn_id = ? ORDER BY created_at DESC, gold_id DESC LIMIT 1", [turn_id])
    return found[0] if found else None


def _page(store: Store, after: str, count: int) -> list[Gold]:
    """Those that are gold now, behind that turn's id."""
    rest = f"WHERE turn_id > ? {LATEST}"
    with store.reader() as cursor:
        query = f"SELECT * FROM ({GOLD.select} {rest}) WHERE NOT retired ORDER BY turn_id LIMIT ?"
        return [GOLD.item(row) for row in cursor.execute(query, [after, count]).fetchall()]


def _grades(given: GoldInput, annotations: list[Annotation]) -> tuple[int, int]:
    """Raises Conflict where nobody has annotated the turn, InvalidInput, InvalidAnnotation for grades out of range."""
    if not annotations:
        raise Conflict("Nobody has annotated this turn.", "Annotate it first: gold is what a trained person has seen.")
    if given.accuracy is None and given.fluency is None:
        deciding = max(annotations, key=lambda one: (TIERS.index(one.tier), one.created_at, one.annotation_id))
        return deciding.accuracy, deciding.fluency
    if given.accuracy is None or given.fluency is None:
        raise InvalidInput("One grade is missing.", "Send accuracy and fluency, or neither.")
    check_annotation(AnnotationInput(annotator="gold", accuracy=given.accuracy, fluency=given.fluency))
    return given.accuracy, given.fluency


def _says_the_same(gold: Gold, accuracy: int, fluency: int, note: str) -> bool:
    return (gold.accuracy, gold.fluency, gold.note) == (accuracy, fluency, note)


def _item(turn: Turn, topics: Topics, before: Gold | None) -> Item:
    """The turn's item as gold; it has the same id however often it is made gold."""
    facets = facets_of(turn.turn_id, turn.messages, turn.reply, topics)
    return Item(
        item_id=new_id("item") if before is None else before.item_id,
        turn_id=turn.turn_id,
        created_at=now(),
        project=turn.alias,
        choice="gold",
        probability=1.0,
        annotators=0,
        review=False,
        language=facets.language,
        topic=facets.topic,
        version=turn.version,
    )


ROUTES: list[ControllerRouterHandler] = [make_gold, read_gold, retire_gold]
