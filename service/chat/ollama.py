"""Ollama's dialect: `POST /api/chat`, NDJSON. What the gateway does not know goes to the upstream as it came."""

from __future__ import annotations

from typing import Any

import msgspec

from feedback.errors import MalformedBody, Unsupported
from feedback.mint import now
from service.chat.asked import Asked, Ended, Piece, decode_object
from service.errors import Failure

OURS = frozenset({"model", "messages", "stream", "logprobs", "top_logprobs", "store"})
"""Fields that are not passed on as they are. Logprobs name the tokens that a filter may hide, so none are asked for."""


class OllamaMessage(msgspec.Struct):
    """What of a message must be right for the gateway; the rest is the upstream's to judge."""

    role: str
    content: str = ""
    images: list[Any] | None = None


class OllamaChat(msgspec.Struct):
    model: str
    messages: list[OllamaMessage] = []
    stream: bool | None = None
    options: dict[str, Any] | None = None


def read(body: bytes, conversation_id: str) -> Asked:
    """A request's body. Raises MalformedBody, Unsupported."""
    given = decode_object(body)
    try:
        chat = msgspec.convert(given, OllamaChat)
    except msgspec.ValidationError as error:
        raise MalformedBody(
            f"The chat is not in Ollama's shape: {error}.", "See Ollama's API, POST /api/chat."
        ) from error
    if not chat.messages:
        raise MalformedBody("messages is empty.", "Send at least one message with role and content.")
    if any(message.images for message in chat.messages):
        raise Unsupported("This gateway takes no images yet.", "Send text only.")
    return Asked(
        dialect="ollama",
        model=chat.model,
        messages=[{**message, "content": message.get("content", "")} for message in given["messages"]],
        stream=chat.stream is not False,
        upstream={
            key: value for key, value in given.items() if key not in OURS and value is not None and key[:1] != "_"
        },
        conversation_id=conversation_id,
        store=given.get("store") is not False,
    )


class OllamaVoice:
    """Lines of JSON; the last one carries the numbers and the turn's id."""

    stream_type = "application/x-ndjson"

    def __init__(self, model: str) -> None:
        self._model = model

    def piece(self, piece: Piece) -> bytes:
        return msgspec.json.encode({**self._said(piece), "done": False}) + b"\n"

    def last(self, ended: Ended) -> bytes:
        return self.whole(Piece(), ended) + b"\n"

    def whole(self, said: Piece, ended: Ended) -> bytes:
        counts = {"prompt_eval_count": ended.prompt_tokens, "eval_count": ended.reply_tokens}
        return msgspec.json.encode(
            {
                **self._said(said),
                "done": True,
                "done_reason": ended.done_reason,
                **ended.durations,
                **{key: count for key, count in counts.items() if count is not None},
                **({"turn_id": ended.turn_id} if ended.turn_id else {}),
            }
        )

    def broken(self, failure: Failure) -> bytes:
        return msgspec.json.encode(failure.body("ollama")) + b"\n"

    def _said(self, piece: Piece) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": piece.text}
        if piece.thinking:
            message["thinking"] = piece.thinking
        if piece.tool_calls:
            message["tool_calls"] = piece.tool_calls
        return {"model": self._model, "created_at": now(), "message": message}
