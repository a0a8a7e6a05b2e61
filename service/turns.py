"""What people say of a turn, and reading turns back. Answered only after the commit."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery

from feedback.annotations import Annotation, AnnotationInput, check_annotation
from feedback.errors import Forbidden, InvalidAnnotation, InvalidInput, InvalidRating, MalformedBody
from feedback.mint import new_id, now
from feedback.ratings import Rating, RatingInput, check_rating
from feedback.store.admission import unknown_turn
from feedback.store.database import Store
from feedback.turns import Turn
from service.callers import Caller, caller_of
from service.commits import committed
from service.corrections import words_in_annotation, words_in_rating
from service.idempotency import REPLAYED
from service.paging import Page, check_limit, key_of, page_of
from service.parts import AnyRequest, Parts, parts_of

Kind = TypeVar("Kind", bound=msgspec.Struct)


class RatingStored(msgspec.Struct, frozen=True, kw_only=True):
    """A rating is on disk."""

    rating_id: str
    turn_id: str


class AnnotationStored(msgspec.Struct, frozen=True, kw_only=True):
    """An annotation is on disk."""

    annotation_id: str
    turn_id: str


class TurnWithVerdicts(msgspec.Struct, frozen=True, kw_only=True):
    """A turn and everything that was said of it, oldest first."""

    turn: Turn
    ratings: list[Rating]
    annotations: list[Annotation]


@post("/turns/{turn_id:str}/ratings", summary="Rate a turn", allow="user", scope="rate")
async def rate(request: AnyRequest, turn_id: FromPath[str]) -> Response[RatingStored]:
    """A user's verdict: up or down, or stars. Rating again appends; the latest counts."""
    parts, body = parts_of(request), await request.body()
    with await parts.replays.claim(request, body) as once:
        if (known := once.known) is not None:
            return Response(RatingStored(rating_id=known.answer_id, turn_id=known.turn_id), headers=REPLAYED)
        rating = await _rating(parts, body, turn_id, caller_of(request))
        await committed(once.until(parts.store.add_rating(rating, once.row(rating.rating_id, turn_id))))
    return Response(RatingStored(rating_id=rating.rating_id, turn_id=turn_id))


@post("/turns/{turn_id:str}/annotations", summary="Annotate a turn", allow="annotator")
async def annotate(request: AnyRequest, turn_id: FromPath[str]) -> Response[AnnotationStored]:
    """A trained person's verdict, in one of three tiers."""
    parts, body = parts_of(request), await request.body()
    with await parts.replays.claim(request, body) as once:
        if (known := once.known) is not None:
            again = AnnotationStored(annotation_id=known.answer_id, turn_id=known.turn_id)
            return Response(again, headers=REPLAYED)
        annotation = _annotation(parts, body, turn_id, caller_of(request))
        await committed(once.until(parts.store.add_annotation(annotation, once.row(annotation.annotation_id, turn_id))))
    return Response(AnnotationStored(annotation_id=annotation.annotation_id, turn_id=turn_id))


async def _rating(parts: Parts, body: bytes, turn_id: str, caller: Caller) -> Rating:
    """The rating as it may be stored."""
    given = decode(body, RatingInput, InvalidRating)
    check_rating(given)
    if caller.subject:
        given = msgspec.structs.replace(given, rater=caller.subject)
        await asyncio.to_thread(_seen, parts.store, turn_id, caller)
    given = words_in_rating(parts.words, given, turn_id)
    return Rating(rating_id=new_id("rating"), turn_id=turn_id, created_at=now(), **msgspec.structs.asdict(given))


def _annotation(parts: Parts, body: bytes, turn_id: str, caller: Caller) -> Annotation:
    """The annotation as it may be stored."""
    given = decode(body, AnnotationInput, InvalidAnnotation)
    check_annotation(given)
    if not caller.may(given.tier):
        raise Forbidden(
            f"The tier {given.tier} is for its own role, and this key has {caller.role}.", "Send your tier."
        )
    if caller.subject:
        given = msgspec.structs.replace(given, annotator=caller.subject)
    given = words_in_annotation(parts.words, given, turn_id)
    return Annotation(
        annotation_id=new_id("annotation"), turn_id=turn_id, created_at=now(), **msgspec.structs.asdict(given)
    )


@get("/turns/{turn_id:str}", summary="One turn with its ratings and annotations", allow="user", scope="read")
async def read_turn(request: AnyRequest, turn_id: FromPath[str]) -> TurnWithVerdicts:
    """The turn as it was stored."""
    return await asyncio.to_thread(_with_verdicts, parts_of(request).store, turn_id, caller_of(request))


@get("/turns", summary="Turns, oldest first", allow="annotator", scope="read")
async def read_turns(request: AnyRequest, cursor: FromQuery[str] = "", limit: FromQuery[int] = 50) -> Page[Turn]:
    """A page of `limit` (1 to 500) turns; pass `next_cursor` back as `cursor` to go on."""
    after = key_of("turns", cursor)
    found = await asyncio.to_thread(parts_of(request).store.turns, after, check_limit(limit) + 1)
    return page_of("turns", found, limit, lambda turn: turn.turn_id)


def decode(body: bytes, kind: type[Kind], error: type[InvalidInput]) -> Kind:
    """A body in the shape of `kind`. Raises MalformedBody where it is not JSON, `error` where the shape is wrong."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as problem:
        fields = ", ".join(field.encode_name for field in msgspec.structs.fields(kind))
        raise error(f"The body is not in shape: {problem}.", f"Its fields are {fields}.") from problem
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise MalformedBody("The body is not JSON in UTF-8.", "Send one JSON object.") from problem


def _seen(store: Store, turn_id: str, caller: Caller) -> Turn:
    """The turn, if it is this caller's to see. Raises UnknownTurn, also where it is somebody else's."""
    turn = store.turn(turn_id)
    if not caller.may_see(turn.subject):
        raise unknown_turn(turn_id)
    return turn


def _with_verdicts(store: Store, turn_id: str, caller: Caller) -> TurnWithVerdicts:
    turn = _seen(store, turn_id, caller)
    return TurnWithVerdicts(turn=turn, ratings=store.ratings(turn_id), annotations=store.annotations(turn_id))
