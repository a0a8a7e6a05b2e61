"""Saying which of two drafts one would rather have had. Who made which is told once the choice is on disk."""

from __future__ import annotations

import asyncio

import msgspec
from litestar import Response, post

from feedback.mint import new_id, now
from feedback.preferences import InvalidPreference, Preference, PreferenceInput, check_preference
from feedback.store.admission import unknown_turn
from feedback.store.database import Store
from feedback.store.tables import KEYED, PREFERENCES
from feedback.turns import Turn
from service.callers import Caller, caller_of, said_person
from service.commits import committed
from service.corrections import words_in_preference
from service.idempotency import REPLAYED
from service.parts import AnyRequest, Parts, parts_of
from service.turns import decode


class PreferenceStored(msgspec.Struct, frozen=True, kw_only=True):
    """A preference is on disk."""

    preference_id: str
    first: str
    second: str
    first_version: str
    """The version that made the first draft; empty for another model of the upstream's."""
    second_version: str


@post("/preferences", summary="Choose between two drafts", allow="user", scope="rate")
async def prefer(request: AnyRequest) -> Response[PreferenceStored]:
    """Of two turns that answer the same prompt: first, second, tie or neither. Choosing again appends; the latest of
    each rater counts."""
    parts, body, caller = parts_of(request), await request.body(), caller_of(request)
    given = decode(body, PreferenceInput, InvalidPreference)
    check_preference(given)
    with await parts.replays.claim(request, body) as once:
        first, second = await asyncio.to_thread(_drafts, parts.store, given, caller)
        if (known := once.known) is not None:
            return Response(_stored(known.answer_id, first, second), headers=REPLAYED)
        rater = caller.subject or given.rater or said_person(caller, dict(request.scope["headers"]))
        preference = _preference(parts, given, rater)
        keyed = once.row(preference.preference_id, first.turn_id)
        beside = () if keyed is None else ((KEYED, keyed),)
        await committed(once.until(parts.store.add(PREFERENCES, preference, *beside)))
    return Response(_stored(preference.preference_id, first, second))


def _preference(parts: Parts, given: PreferenceInput, rater: str) -> Preference:
    """The preference as it may be stored."""
    given = words_in_preference(parts.words, given)
    return Preference(
        preference_id=new_id("preference"),
        turn_id=given.first,
        other_turn_id=given.second,
        created_at=now(),
        rater=rater,
        preferred=given.preferred,
        reasons=given.reasons,
        comment=given.comment,
    )


def _drafts(store: Store, given: PreferenceInput, caller: Caller) -> tuple[Turn, Turn]:
    """The two turns. Raises UnknownTurn, also for somebody else's; InvalidPreference unless both answer one prompt."""
    first, second = store.turn(given.first), store.turn(given.second)
    for turn in (first, second):
        if not caller.may_see(turn.subject):
            raise unknown_turn(turn.turn_id)
    same = ("messages", "alias", "subject", "attachments")
    if any(getattr(first, name) != getattr(second, name) for name in same):
        raise InvalidPreference(
            "The two turns are not drafts of one prompt.", "Name two turns with the same messages, asked of one name."
        )
    return first, second


def _stored(preference_id: str, first: Turn, second: Turn) -> PreferenceStored:
    return PreferenceStored(
        preference_id=preference_id,
        first=first.turn_id,
        second=second.turn_id,
        first_version=first.version,
        second_version=second.version,
    )
