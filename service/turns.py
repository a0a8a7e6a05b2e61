"""What people say of a turn, and reading turns back. Answered only after the commit."""

from __future__ import annotations

import asyncio
from typing import TypeVar

import msgspec
from litestar import get, post
from litestar.params import FromPath, FromQuery

from feedback.annotations import Annotation, AnnotationInput, check_annotation
from feedback.errors import Forbidden, InvalidAnnotation, InvalidInput, InvalidRating, MalformedBody
from feedback.mint import new_id, now
from feedback.ratings import Rating, RatingInput, check_rating
from feedback.store.database import Store
from feedback.store.writer import unknown_turn
from feedback.turns import Turn
from service.callers import Caller, caller_of
from service.commits import committed
from service.corrections import words_in_annotation, words_in_rating
from service.parts import AnyRequest, parts_of

PAGE_LIMIT = 500
"""Most turns in one page."""

Kind = TypeVar("Kind", bound=msgspec.Struct)


class TurnWithVerdicts(msgspec.Struct, frozen=True, kw_only=True):
    """A turn and everything that was said of it, oldest first."""

    turn: Turn
    ratings: list[Rating]
    annotations: list[Annotation]


@post("/turns/{turn_id:str}/ratings", summary="Rate a turn", allow="user", scope="rate")
async def rate(request: AnyRequest, turn_id: FromPath[str]) -> dict[str, str]:
    """A user's verdict: up or down, or stars. Rating again appends; the latest counts."""
    given, caller = decode(await request.body(), RatingInput, InvalidRating), caller_of(request)
    check_rating(given)
    if caller.subject:
        given = msgspec.structs.replace(given, rater=caller.subject)
        await asyncio.to_thread(_seen, parts_of(request).store, turn_id, caller)
    given = words_in_rating(parts_of(request).words, given, turn_id)
    rating = Rating(rating_id=new_id("rating"), turn_id=turn_id, created_at=now(), **msgspec.structs.asdict(given))
    await committed(parts_of(request).store.add_rating(rating))
    return {"rating_id": rating.rating_id, "turn_id": turn_id}


@post("/turns/{turn_id:str}/annotations", summary="Annotate a turn", allow="annotator")
async def annotate(request: AnyRequest, turn_id: FromPath[str]) -> dict[str, str]:
    """A trained person's verdict, in one of three tiers."""
    given = decode(await request.body(), AnnotationInput, InvalidAnnotation)
    check_annotation(given)
    caller = caller_of(request)
    if not caller.may(given.tier):
        raise Forbidden(
            f"The tier {given.tier} is for its own role, and this key has {caller.role}.", "Send your tier."
        )
    if caller.subject:
        given = msgspec.structs.replace(given, annotator=caller.subject)
    given = words_in_annotation(parts_of(request).words, given, turn_id)
    annotation = Annotation(
        annotation_id=new_id("annotation"), turn_id=turn_id, created_at=now(), **msgspec.structs.asdict(given)
    )
    await committed(parts_of(request).store.add_annotation(annotation))
    return {"annotation_id": annotation.annotation_id, "turn_id": turn_id}


@get("/turns/{turn_id:str}", summary="One turn with its ratings and annotations", allow="user", scope="read")
async def read_turn(request: AnyRequest, turn_id: FromPath[str]) -> TurnWithVerdicts:
    """The turn as it was stored."""
    return await asyncio.to_thread(_with_verdicts, parts_of(request).store, turn_id, caller_of(request))


@get("/turns", summary="Turns, oldest first", allow="annotator", scope="read")
async def read_turns(request: AnyRequest, after: FromQuery[str] = "", limit: FromQuery[int] = 50) -> list[Turn]:
    """Up to `limit` (1 to 500) turns behind the id `after`; pass the last one's id to go on."""
    if not 1 <= limit <= PAGE_LIMIT:
        raise InvalidInput(
            f"limit is {limit}, outside 1 to {PAGE_LIMIT}.", "Ask for less, and go on with after=<last id>."
        )
    return await asyncio.to_thread(parts_of(request).store.turns, after, limit)


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
