"""Giving an answer again: the stored turn in the dialect that asks, whole or as a stream of one piece.

What a turn does not keep (thinking, calls of tools) lies beside the key. Times that the upstream measured are gone, as
it was not asked.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import msgspec
from litestar.response.base import ASGIResponse

from feedback.keyed import KeyedAnswer
from feedback.store.database import Store
from feedback.turns import Turn
from learner.alias import Served
from service.chat.asked import Asked, Ended, Piece, Voice
from service.idempotency import REPLAYED

JSON = "application/json"


class Telling(Protocol):
    """What a voice needs to know of the answer that it gives."""

    asked: Asked
    turn_id: str
    served: Served


class Told(msgspec.Struct, kw_only=True):
    """An answer that was given before."""

    asked: Asked
    turn_id: str
    served: Served


def beside_the_text(said: Piece) -> str:
    """What is kept with the key of what was shown; empty where the turn's text is all."""
    rest = msgspec.structs.replace(said, text="")
    return msgspec.json.encode(rest).decode() if rest else ""


async def replayed(
    store: Store, known: KeyedAnswer, asked: Asked, voice_of: Callable[[Telling], Voice]
) -> ASGIResponse:
    """The answer again. Raises UnknownTurn where its turn was erased meanwhile."""
    turn = await asyncio.to_thread(store.turn, known.turn_id)
    told = Told(asked=asked, turn_id=turn.turn_id, served=Served(version=turn.version, tag=turn.model_tag))
    voice, said, ended = voice_of(told), _said(turn, known), _ended(turn)
    body = voice.piece(said) + voice.last(ended) if asked.stream else voice.whole(said, ended)
    headers = {
        "x-turn-id": turn.turn_id,
        **({} if asked.draft is not None else {"x-model-version": turn.version}),
        "x-conversation-id": turn.conversation_id,
        "cache-control": "no-store",
        **REPLAYED,
    }
    media_type = voice.stream_type.partition(";")[0] if asked.stream else JSON  # Litestar adds the charset to texts
    return ASGIResponse(body=body, headers=headers, media_type=media_type)


def _said(turn: Turn, known: KeyedAnswer) -> Piece:
    rest = msgspec.json.decode(known.said, type=Piece) if known.said else Piece()
    return msgspec.structs.replace(rest, text=turn.reply)


def _ended(turn: Turn) -> Ended:
    return Ended(
        turn_id=turn.turn_id,
        model_tag=turn.model_tag,
        done_reason=turn.done_reason,
        prompt_tokens=turn.prompt_tokens,
        reply_tokens=turn.reply_tokens,
    )
