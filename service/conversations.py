"""What somebody chatted about: their own conversations, newest first, and one of them as it can be gone on with.

Clients send the whole history with each turn and may edit it, so a conversation is a tree of which only the way to its
latest turn is shown: that turn's messages and its reply, each reply with the turn that it came of. Must never show
anybody but whose they are.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Sequence

import msgspec
from litestar import get
from litestar.params import FromPath, FromQuery

from feedback.errors import NotFound
from feedback.preferences import Preference
from feedback.ratings import Rating
from feedback.store.database import Store
from feedback.store.tables import PREFERENCES, RATINGS, TURNS
from feedback.turns import Message, Turn
from service.callers import Caller, caller_of, said_person
from service.labelling.people import NoPerson
from service.paging import Page, check_limit, key_of, page_of
from service.parts import AnyRequest, parts_of

TITLE_LIMIT = 120
"""Characters of a conversation's title."""
TURNS_LIMIT = 500
"""The latest turns of a conversation that are looked at."""


class UnknownConversation(NotFound):
    code = "unknown-conversation"


class ConversationListed(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation in the list."""

    conversation_id: str
    title: str
    """How it begins: the first message of whoever asked."""
    alias: str
    turns: int
    began_at: dt.datetime
    last_at: dt.datetime
    last_turn_id: str


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a conversation."""

    role: str
    content: str
    turn_id: str = ""
    """Of a reply: the turn that it is the reply of; empty where a client made it up, or it was changed."""
    version: str = ""
    status: str = ""
    rating: Rating | None = None
    """What this person last said of it."""


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A conversation, as far as its latest turn."""

    conversation_id: str
    alias: str
    messages: list[Said]
    attachments: int
    """How many images its latest turn had before it."""


@get("/conversations", summary="One's own conversations, newest first", allow="user", scope="read")
async def read_conversations(
    request: AnyRequest, cursor: FromQuery[str] = "", limit: FromQuery[int] = 50
) -> Page[ConversationListed]:
    """A page of `limit` (1 to 500); pass `next_cursor` back as `cursor` to go on. Without keys: of `X-Person`."""
    person, before = person_of(request), key_of("conversations", cursor)
    found = await asyncio.to_thread(listed, parts_of(request).store, person, before, check_limit(limit) + 1)
    return page_of("conversations", found, limit, lambda one: one.last_turn_id)


@get("/conversations/{conversation_id:str}", summary="One of one's own conversations", allow="user", scope="read")
async def read_conversation(request: AnyRequest, conversation_id: FromPath[str]) -> Conversation:
    """Its messages up to the latest turn, each reply with its turn and with what one said of it."""
    return await asyncio.to_thread(_conversation, parts_of(request).store, conversation_id, person_of(request))


def person_of(request: AnyRequest) -> str:
    """Whose conversations are meant: the key's owner, or whom `X-Person` names where there are no keys.

    Raises NoPerson where nobody says it.
    """
    caller: Caller = caller_of(request)
    person = caller.subject or said_person(caller, dict(request.scope["headers"]))
    if not person:
        raise NoPerson(
            "Nobody says whose conversations.",
            "This key has no subject: ask for one that has." if caller.key_id else "Send X-Person, as with each chat.",
        )
    return person


def listed(store: Store, person: str, before: str, limit: int) -> list[ConversationListed]:
    """A person's conversations whose latest turn is older than `before` (empty: all), newest first."""
    with store.reader() as cursor:
        rows = cursor.execute(
            "SELECT conversation_id, max(turn_id) AS last, min(turn_id), count(*), min(created_at), max(created_at), "
            "arg_max(alias, turn_id) FROM turns WHERE subject = ? AND status <> 'raw' GROUP BY conversation_id "
            "HAVING ? = '' OR max(turn_id) < ? ORDER BY last DESC LIMIT ?",
            [person, before, before, limit],
        ).fetchall()
        firsts = [first for _, _, first, *_ in rows]
        opened = cursor.execute(
            "SELECT turn_id, messages FROM turns WHERE turn_id IN (SELECT unnest(?::VARCHAR[]))", [firsts]
        ).fetchall()
    titles = {turn_id: title_of(msgspec.json.decode(messages, type=list[Message])) for turn_id, messages in opened}
    return [
        ConversationListed(
            conversation_id=conversation_id, title=titles.get(first, ""), alias=alias, turns=turns,
            began_at=began.replace(tzinfo=dt.UTC), last_at=ended.replace(tzinfo=dt.UTC), last_turn_id=last,
        )
        for conversation_id, last, first, turns, began, ended, alias in rows
    ]  # fmt: skip


def title_of(messages: Sequence[Message]) -> str:
    """How a conversation begins, on one line."""
    opening = next((message.content for message in messages if message.role == "user"), "")
    line = " ".join(opening.split())
    return line if len(line) <= TITLE_LIMIT else line[: TITLE_LIMIT - 1].rstrip() + "…"


def _conversation(store: Store, conversation_id: str, person: str) -> Conversation:
    turns = store.rows(
        TURNS,
        "WHERE conversation_id = ? AND subject = ? AND status <> 'raw' ORDER BY turn_id DESC LIMIT ?",
        [conversation_id, person, TURNS_LIMIT],
    )
    if not turns:
        raise UnknownConversation("You have no such conversation.", "GET /conversations lists yours.")
    ids = [turn.turn_id for turn in turns]
    about = "WHERE turn_id IN (SELECT unnest(?::VARCHAR[])) AND rater = ?"
    ratings = store.rows(RATINGS, f"{about} ORDER BY created_at, rating_id", [ids, person])
    preferences = store.rows(PREFERENCES, f"{about} ORDER BY created_at, preference_id", [ids, person])
    return conversation_of(turns[::-1], ratings, preferences)


def conversation_of(
    turns: Sequence[Turn], ratings: Sequence[Rating], preferences: Sequence[Preference]
) -> Conversation:
    """A conversation out of its turns (at least one), oldest first, and what its person said of them."""
    last = _latest(turns, preferences)
    latest_rating = {rating.turn_id: rating for rating in ratings}
    by_reply = {(len(turn.messages), turn.reply): turn for turn in turns}

    def said(message: Message, place: int) -> Said:
        turn = by_reply.get((place, message.content)) if message.role == "assistant" else None
        if turn is None or turn.messages != last.messages[:place]:
            return Said(role=message.role, content=message.content)
        return _reply(turn, latest_rating)

    return Conversation(
        conversation_id=last.conversation_id,
        alias=last.alias,
        messages=[*(said(message, place) for place, message in enumerate(last.messages)), _reply(last, latest_rating)],
        attachments=len(last.attachments),
    )


def _reply(turn: Turn, ratings: dict[str, Rating]) -> Said:
    return Said(
        role="assistant",
        content=turn.reply,
        turn_id=turn.turn_id,
        version=turn.version,
        status=turn.status,
        rating=ratings.get(turn.turn_id),
    )


def _latest(turns: Sequence[Turn], preferences: Sequence[Preference]) -> Turn:
    """The turn that the conversation has come to: of two drafts the one that was preferred, or the first."""
    last = next((turn for turn in reversed(turns) if turn.status != "cut"), turns[-1])
    known = {turn.turn_id: turn for turn in turns}
    for one in reversed(preferences):
        if last.turn_id in (one.turn_id, one.other_turn_id):
            return known.get(one.other_turn_id if one.preferred == "second" else one.turn_id, last)
    return last
