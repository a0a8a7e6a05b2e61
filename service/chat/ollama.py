"""Ollama's dialect: `POST /api/chat`, NDJSON. What the gateway does not know goes to the upstream as it came."""

from __future__ import annotations

from typing import Any

import msgspec

from feedback.errors import MalformedBody
from feedback.mint import now
from service.chat.asked import Asked, Ended, Piece, Sender, decode_object, folded
from service.chat.attachments import images_of
from service.chat.memory import checked_keep_alive
from service.errors import Failure

OURS = frozenset({"model", "messages", "stream", "store", "logprobs", "top_logprobs", "keep_alive"})
"""Fields that are not passed on as they are."""
TOP_LOGPROBS = 20
NUMBERS = (
    "total_duration", "load_duration", "prompt_eval_count", "prompt_eval_duration", "eval_count", "eval_duration",
)  # fmt: skip
"""A last line's, in the order in which Ollama has them."""


class OllamaMessage(msgspec.Struct):
    """What of a message must be right for the gateway; the rest is the upstream's to judge."""

    role: str
    content: str | None = None


class OllamaChat(msgspec.Struct):
    model: str
    messages: list[OllamaMessage] | None = None
    stream: bool | None = None
    options: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


def read(body: bytes, sender: Sender) -> Asked:
    """A request's body; no messages ask for loading only. Raises MalformedBody."""
    given = folded(decode_object(body))
    if isinstance(listed := given.get("messages"), list):
        given["messages"] = [folded(one) if isinstance(one, dict) else one for one in listed]
    chat = converted(given, OllamaChat, "POST /api/chat")
    messages = [{**message, "content": message.get("content") or ""} for message in given.get("messages") or ()]
    passed, unload = passed_on(given, OURS, sender)
    return Asked(
        dialect="ollama",
        model=chat.model,
        messages=messages,
        stream=chat.stream is not False,
        upstream=passed,
        unload=unload,
        images=[image for message in messages for image in images_of(message.get("images"))],
        logprobs=chat.logprobs is True,
        store=sender.store and given.get("store") is not False,
        conversation_id=sender.conversation_id,
        draft=sender.draft,
        subject=sender.subject,
    )


def converted(given: dict[str, Any], kind: type[Any], route: str) -> Any:
    """The fields that the gateway must understand. Raises MalformedBody."""
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as error:
        raise MalformedBody(f"The body is not in Ollama's shape: {error}.", f"See Ollama's API, {route}.") from error


def passed_on(given: dict[str, Any], ours: frozenset[str], sender: Sender) -> tuple[dict[str, Any], bool]:
    """What goes to the upstream as it came, and whether `keep_alive` says to let the model go.

    Raises MalformedBody for a bad `keep_alive` or `top_logprobs`.
    """
    found = {key: value for key, value in given.items() if key not in ours and value is not None and key[:1] != "_"}
    keep, unload = checked_keep_alive(given, operator=sender.operator)
    if keep:
        found["keep_alive"] = given["keep_alive"]
    if given.get("logprobs") is True:
        found["logprobs"] = True
        if top := given.get("top_logprobs"):
            if not 0 <= top <= TOP_LOGPROBS:
                raise MalformedBody(f"top_logprobs must be between 0 and {TOP_LOGPROBS}.", "Ask for fewer.")
            found["top_logprobs"] = top
    return found, unload


class OllamaVoice:
    """Lines of JSON; the last one carries the numbers and the turn's id."""

    stream_type = "application/x-ndjson"

    def __init__(self, model: str) -> None:
        self._model = model

    def piece(self, piece: Piece) -> bytes:
        said = self._said(piece)
        said["done"] = False
        if piece.logprobs:
            said["logprobs"] = piece.logprobs
        return msgspec.json.encode(said) + b"\n"

    def last(self, ended: Ended) -> bytes:
        return self.whole(Piece(), ended) + b"\n"

    def whole(self, said: Piece, ended: Ended) -> bytes:
        found = {**ended.durations, "prompt_eval_count": ended.prompt_tokens, "eval_count": ended.reply_tokens}
        return msgspec.json.encode(
            {
                **self._said(said),
                "done": True,
                "done_reason": ended.done_reason,
                **_logprobs(said),
                **self._context(ended),
                **{name: found[name] for name in NUMBERS if found.get(name) is not None},
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

    def _context(self, ended: Ended) -> dict[str, Any]:
        return {}


def _logprobs(piece: Piece) -> dict[str, Any]:
    return {"logprobs": piece.logprobs} if piece.logprobs else {}
