"""The queue over HTTP: the next item, its draft, and what somebody says of it. What is sent twice is stored once.

A person is given a reviewer's or an expert's item at that desk only, which asks for the role; with the item in their
hands they may send what its stage takes.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec
from litestar import get, post, put
from litestar.params import FromPath, FromQuery
from litestar.types import ControllerRouterHandler

from feedback.annotations import Annotation
from feedback.errors import Forbidden, InvalidAnnotation, InvalidInput
from feedback.labelling.decisions import InvalidReview
from feedback.labelling.records import Review, Stage
from feedback.labelling.task import Desk, Draft, ReviewInput, SkipInput, Task, Today
from feedback.mint import now
from service.callers import Allow, caller_of
from service.labelling import gold, guidelines, profiles
from service.labelling.inputs import (
    Asked,
    AskInput,
    DraftKept,
    DraftShown,
    GradesInput,
    ItemState,
    Next,
    NextInput,
    Queue,
    Settled,
)
from service.labelling.people import person_of
from service.paging import Page, page_behind
from service.parts import AnyRequest, parts_of
from service.turns import decode

ROLE_OF: dict[Desk, Allow] = {"annotate": "annotator", "review": "reviewer", "expert": "expert"}
Shift = Literal["", "annotate", "review", "return", "expert"]


@post("/queue/next", status_code=200, summary="The next item for you", allow="annotator")
async def next_item(request: AnyRequest) -> Next:
    """The one that you have at this desk, or the next one, which is yours for `labelling.lease_minutes`."""
    given = decode(await request.body(), NextInput, InvalidInput)
    caller = caller_of(request)
    if not caller.may(ROLE_OF[given.desk]):
        raise Forbidden(f"The desk {given.desk!r} is for its own role, and this key has {caller.role}.", "Name yours.")
    return Next(task=await parts_of(request).desk.next(person_of(request), given.desk, given.filters))


@get("/queue", summary="How much waits", allow="annotator")
async def read_queue(request: AnyRequest) -> Queue:
    """Items by desk: those that you could be given, and all."""
    desk = parts_of(request).desk
    return Queue(yours=await desk.waiting(person_of(request)), all=await desk.waiting())


@get("/queue/items", summary="Open items, by id", allow="operator")
async def read_items(
    request: AnyRequest, stage: FromQuery[Shift] = "", cursor: FromQuery[str] = "", limit: FromQuery[int] = 50
) -> Page[ItemState]:
    """A page of `limit` (1 to 500) open items with where they stand and who has them; of one `stage`, or of all."""
    named: Stage | None = stage or None
    found = parts_of(request).desk.items(named)
    return page_behind("items", found, cursor, limit, lambda one: one.item.item_id)


@post("/queue", status_code=201, summary="Ask for turns to be looked at", allow="operator")
async def ask(request: AnyRequest) -> Asked:
    """The turns as items of the queue; those that wait already stay as they are."""
    given = decode(await request.body(), AskInput, InvalidInput)
    desk = parts_of(request).desk
    return Asked(items=await desk.ask_for(given.turn_ids, annotators=given.annotators, review=given.review))


@get("/queue/today", summary="What you did today", allow="annotator")
async def read_today(request: AnyRequest, since: FromQuery[str] = "") -> Today:
    """Since midnight UTC, or since the time that is named (RFC 3339)."""
    return await parts_of(request).desk.today(person_of(request), _moment(since))


@get("/queue/{item_id:str}", summary="An item that you have", allow="annotator")
async def read_item(request: AnyRequest, item_id: FromPath[str]) -> Task:
    """The item, if it is yours, or was until your lease ran out and nobody has taken it."""
    return await parts_of(request).desk.task(person_of(request), item_id)


@get("/queue/{item_id:str}/draft", summary="What you had filled in", allow="annotator")
async def read_draft(request: AnyRequest, item_id: FromPath[str]) -> DraftShown:
    """Also where the item is no longer yours; null where there is nothing."""
    return DraftShown(draft=await parts_of(request).desk.draft(person_of(request), item_id))


@put("/queue/{item_id:str}/draft", summary="Keep what is filled in", allow="annotator")
async def put_draft(request: AnyRequest, item_id: FromPath[str]) -> DraftKept:
    """The item is yours for as long again. With 409 it is no longer yours, and the draft is kept all the same."""
    draft = decode(await request.body(), Draft, InvalidInput)
    until = await parts_of(request).desk.autosave(person_of(request), item_id, draft)
    return DraftKept(saved_at=now(), expires_at=until)


@post("/queue/{item_id:str}/annotation", status_code=201, summary="Annotate an item", allow="annotator")
async def annotate_item(request: AnyRequest, item_id: FromPath[str]) -> Annotation:
    """Your grades, and what else you have to say of the reply."""
    given, person = decode(await request.body(), GradesInput, InvalidAnnotation), person_of(request)
    return await parts_of(request).desk.annotate(person, item_id, given.by(person))


@post("/queue/{item_id:str}/skip", status_code=201, summary="Rather not", allow="annotator")
async def skip_item(request: AnyRequest, item_id: FromPath[str]) -> Settled:
    """You aren't given it again."""
    given = decode(await request.body(), SkipInput, InvalidInput)
    await parts_of(request).desk.skip(person_of(request), item_id, given)
    return Settled(item_id=item_id)


@post("/queue/{item_id:str}/decision", status_code=201, summary="Decide about an item", allow="annotator")
async def decide_item(request: AnyRequest, item_id: FromPath[str]) -> Review:
    """A reviewer's or an expert's decision; or an annotator's objection to what was returned to them."""
    given = decode(await request.body(), ReviewInput, InvalidReview)
    return await parts_of(request).desk.decide(person_of(request), item_id, given)


@post("/queue/{item_id:str}/release", status_code=200, summary="Let an item go", allow="annotator")
async def release_item(request: AnyRequest, item_id: FromPath[str]) -> Settled:
    """Somebody else may have it. Your draft is kept."""
    await parts_of(request).desk.release(person_of(request), item_id)
    return Settled(item_id=item_id)


def _moment(text: str) -> dt.datetime | None:
    """Raises InvalidInput unless it is a time with its zone."""
    if not text:
        return None
    try:
        found = msgspec.convert(text, dt.datetime)
    except msgspec.ValidationError:
        found = None
    if found is None or found.utcoffset() is None:
        raise InvalidInput("since is no time.", "Write 2026-11-24T00:00:00+08:00, percent-encoded.")
    return found


ROUTES: list[ControllerRouterHandler] = [
    next_item,
    read_queue,
    read_items,
    ask,
    read_today,
    read_item,
    read_draft,
    put_draft,
    annotate_item,
    skip_item,
    decide_item,
    release_item,
    *guidelines.ROUTES,
    *gold.ROUTES,
    *profiles.ROUTES,
]
