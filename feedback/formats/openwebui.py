"""Open WebUI's export of its feedback: one JSON array, with a snapshot of the chat beside each rating.

    {"id": "…", "user_id": "…", "type": "rating", "data": {"rating": 1, "model_id": "…", "reason": "…",
     "comment": "…", "details": {"rating": 8}}, "meta": {"message_id": "…", "chat_id": "…", "arena": false},
     "snapshot": {"chat": {"chat": {"history": {"messages": {ID: {"parentId": …, "role": …, "content": …}}}}}},
     "created_at": 1760434499, "updated_at": 1760434499}

The rated message is the turn; what it answers is found by its parents. The 1 to 10 of the details is kept as a reason,
not as stars: there, a thumb up goes with 6 as well, which three stars would turn into a thumb down. In the arena a
rating compares with the other model's answer to the same message, and becomes a preference too.
"""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from feedback.annotations import Tier
from feedback.formats.entries import (
    Entry,
    Format,
    InvalidRecord,
    Judged,
    RatingRead,
    Rival,
    Which,
    message,
    moment,
    part,
    text_of,
)
from feedback.preferences import Preferred
from feedback.ratings import Rating, RatingInput
from feedback.turns import Message

DEPTH_LIMIT = 1000
"""Messages of one chat's branch."""
PREFERRED: dict[int, Preferred] = {1: "first", -1: "second", 0: "tie"}


def read(record: Any, tier: Tier) -> list[Entry]:
    """One feedback."""
    if part(record, "type", str, "rating") != "rating":
        raise InvalidRecord("The feedback is no rating.", "Only those of type rating are taken.")
    data, meta = part(record, "data", dict, {}), part(record, "meta", dict, {})
    history, rated = _history(record), text_of(meta, "message_id")
    said = history.get(rated)
    if not isinstance(said, dict) or said.get("role") != "assistant":
        raise InvalidRecord("meta.message_id names no reply of the snapshot.", "Export with the chats' snapshots.")
    vote, person = _vote(data), part(record, "user_id", str, "")
    at = moment(record.get("created_at"))
    rival = (
        _rival(history, said, data, vote, person, at) if meta.get("arena") or data.get("sibling_model_ids") else None
    )
    if vote == 0 and rival is None:
        raise InvalidRecord("data.rating is neither 1 nor -1.", "Only a rating in the arena may be a draw.")
    given = RatingInput(
        verdict="up" if vote > 0 else "down",
        comment=part(data, "comment", str, ""),
        reasons=_reasons(data),
        rater=person,
    )
    return [
        Entry(
            messages=_before(history, said),
            reply=text_of(said, "content"),
            turn_id=part(meta, "turn_id", str, ""),
            record_id=part(record, "id", str, "")[:200],
            model=part(said, "model", str, part(data, "model_id", str, "")),
            subject=_subject(record) or person,
            at=moment(said.get("timestamp")) or at,
            ratings=[RatingRead(given=given, at=at, rating_id=_ours(record, meta))] if vote else [],
            rival=rival,
        )
    ]


def write(judged: Judged, which: Which) -> list[Any]:
    """A feedback for each rating of the turn."""
    return [_feedback(judged, one) for one in judged.ratings]


def _history(record: Any) -> dict[str, Any]:
    """The chat's messages by id, wherever the snapshot has them: as a map, or as a list."""
    snapshot = part(record, "snapshot", dict, {})
    outer = part(snapshot, "chat", dict, {})
    for chat in (part(outer, "chat", dict, {}), outer, snapshot):
        found = part(chat, "history", dict, {}).get("messages") or chat.get("messages")
        if isinstance(found, list):
            found = {one["id"]: one for one in found if isinstance(one, dict) and isinstance(one.get("id"), str)}
        if isinstance(found, dict) and found:
            return found
    raise InvalidRecord("The feedback has no snapshot of its chat.", "Export it from the admin's page of feedback.")


def _before(history: dict[str, Any], said: Any) -> list[Message]:
    """What the reply answers, oldest first."""
    found: list[Message] = []
    above = said.get("parentId")
    while isinstance(one := history.get(above) if isinstance(above, str) else None, dict):
        found.append(message(part(one, "role", str, ""), one.get("content")))
        above = one.get("parentId")
        if len(found) > DEPTH_LIMIT:
            raise InvalidRecord("The snapshot's messages go round in a circle.", "Export it again.")
    if not any(one.role == "user" for one in found):
        raise InvalidRecord("No user's message stands before the reply.", "A turn needs a prompt and its reply.")
    return found[::-1]


def _vote(data: Any) -> int:
    value = data.get("rating")
    try:
        number = int(value) if isinstance(value, str | int) else 0
    except ValueError:
        number = 0
    return (number > 0) - (number < 0)


def _reasons(data: Any) -> list[str]:
    finer = part(data, "details", dict, {}).get("rating")
    reason = part(data, "reason", str, "")
    return [one for one in (reason, f"{finer}-of-10" if isinstance(finer, int) else "") if one]


def _subject(record: Any) -> str:
    chat = part(part(record, "snapshot", dict, {}), "chat", dict, {})
    found: str = part(chat, "user_id", str, "")
    return found


def _ours(record: Any, meta: Any) -> str:
    """The id of ours that a feedback was exported under; empty for one of theirs."""
    try:
        return f"rating-{uuid.UUID(record['id']).hex}" if meta.get("turn_id") else ""
    except (KeyError, ValueError, AttributeError):
        return ""


def _rival(
    history: dict[str, Any], said: Any, data: Any, vote: int, person: str, at: dt.datetime | None
) -> Rival | None:
    """The other answer to the same message; none where there is not exactly one."""
    siblings = [
        one
        for one in history.values()
        if isinstance(one, dict) and one is not said and one.get("role") == "assistant"
        and one.get("parentId") == said.get("parentId") and _says(one.get("content"))
    ]  # fmt: skip
    if len(siblings) != 1:
        return None
    names = part(data, "sibling_model_ids", list, [])
    model = part(siblings[0], "model", str, "") or next((one for one in names if isinstance(one, str)), "")
    return Rival(reply=siblings[0]["content"], preferred=PREFERRED[vote], model=model, rater=person, at=at)


def _says(content: Any) -> bool:
    return isinstance(content, str) and bool(content.strip())


def _feedback(judged: Judged, rating: Rating) -> dict[str, Any]:
    turn = judged.turn
    ids = [str(uuid.uuid5(uuid.NAMESPACE_OID, f"{turn.turn_id}/{at}")) for at in range(len(turn.messages) + 1)]
    roles = [*((one.role, one.content) for one in turn.messages), ("assistant", turn.reply)]
    seconds, model = int(turn.created_at.timestamp()), judged.model
    messages = {
        name: {
            "id": name,
            "parentId": ids[at - 1] if at else None,
            "childrenIds": ids[at + 1 : at + 2],
            "role": role,
            "content": content,
            "timestamp": seconds,
            **({"model": model} if role == "assistant" else {"models": [model]}),
        }
        for at, (name, (role, content)) in enumerate(zip(ids, roles, strict=True))
    }
    finer = [one for one in rating.reasons if one.endswith("-of-10") and one[:-6].isdigit()]
    reason = next((one for one in rating.reasons if one not in finer), "")
    number = int(finer[0][:-6]) if finer else rating.stars * 2 if rating.stars is not None else None
    at, title = int(rating.created_at.timestamp()), "Ratchet"
    chat = {"title": title, "models": [model], "history": {"messages": messages, "currentId": ids[-1]}}
    return {
        "id": _uuid_of(rating.rating_id),
        "user_id": rating.rater,
        "version": 0,
        "type": "rating",
        "data": {
            "rating": 1 if rating.good else -1,
            "model_id": model,
            "sibling_model_ids": None,
            "reason": reason,
            "comment": rating.comment,
            "tags": [],
            "details": {"rating": number},
        },
        "meta": {
            "arena": False,
            "model_id": model,
            "message_id": ids[-1],
            "message_index": len(turn.messages),
            "chat_id": turn.conversation_id,
            "turn_id": turn.turn_id,
        },
        "snapshot": {"chat": {"id": turn.conversation_id, "user_id": turn.subject, "title": title, "chat": chat}},
        "created_at": at,
        "updated_at": at,
    }


def _uuid_of(rating_id: str) -> str:
    """An id of ours in the shape that the format has; its digits are a UUID's."""
    digits = rating_id.rpartition("-")[2]
    try:
        return str(uuid.UUID(hex=digits))
    except ValueError:
        return str(uuid.uuid5(uuid.NAMESPACE_OID, rating_id))


FORMAT = Format(name="openwebui", read=read, write=write, which="judged", array=True)
