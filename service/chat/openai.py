"""OpenAI's dialect: `POST /v1/chat/completions`, SSE. Translated to Ollama's fields, and back."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from feedback.errors import MalformedBody, Unsupported
from service.chat.asked import Asked, Ended, Piece, decode_object
from service.errors import Failure

FINISH = {"stop": "stop", "length": "length", "content_filter": "content_filter"}
"""Ollama's done reason → OpenAI's finish reason; anything else is a stop."""
ROLES = {"developer": "system"}


class ContentPart(msgspec.Struct):
    type: str
    text: str = ""


class OpenAIMessage(msgspec.Struct):
    role: str
    content: str | list[ContentPart] | None = None
    tool_calls: list[Any] | None = None


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class OpenAIChat(msgspec.Struct):
    """The fields that have a meaning here; others are OpenAI's own business and are left out."""

    model: str
    messages: list[OpenAIMessage]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    response_format: dict[str, Any] | None = None
    n: int | None = None
    tools: list[Any] | None = None
    logprobs: bool | None = None
    user: str | None = None
    store: bool | None = None
    """Recorded unless false is said: a client that says nothing has OpenAI's default, which means another store."""

    def options(self) -> dict[str, Any]:
        """Sampling options in Ollama's names."""
        limit = self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens
        options = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "num_predict": limit,
            "stop": [self.stop] if isinstance(self.stop, str) else self.stop,
            "seed": self.seed,
            "frequency_penalty": self.frequency_penalty,
            "presence_penalty": self.presence_penalty,
        }
        return {key: value for key, value in options.items() if value is not None}

    def format(self) -> Any:
        """Ollama's `format`: none, `"json"` or a JSON schema."""
        wanted = self.response_format or {}
        if wanted.get("type") == "json_object":
            return "json"
        if wanted.get("type") == "json_schema" and isinstance(wanted.get("json_schema"), dict):
            return wanted["json_schema"].get("schema")
        return None


def read(body: bytes, conversation_id: str) -> Asked:
    """A request's body. Raises MalformedBody, Unsupported."""
    given = decode_object(body)
    try:
        chat = msgspec.convert(given, OpenAIChat)
    except msgspec.ValidationError as error:
        raise MalformedBody(
            f"The chat is not in OpenAI's shape: {error}.", "See OpenAI's API, POST /v1/chat/completions."
        ) from error
    if not chat.messages:
        raise MalformedBody("messages is empty.", "Send at least one message with role and content.")
    _refuse_unsupported(chat)
    upstream: dict[str, Any] = {"options": chat.options()}
    if chat.format() is not None:
        upstream["format"] = chat.format()
    return Asked(
        dialect="openai",
        model=chat.model,
        messages=[
            {"role": ROLES.get(message.role, message.role), "content": _text(message)} for message in chat.messages
        ],
        stream=chat.stream is True,
        upstream=upstream,
        conversation_id=conversation_id,
        subject=chat.user or "",
        usage_wanted=bool(chat.stream_options and chat.stream_options.include_usage),
        store=chat.store is not False,
    )


def _refuse_unsupported(chat: OpenAIChat) -> None:
    if chat.n is not None and chat.n != 1:
        raise Unsupported(f"n is {chat.n}: one reply at a time.", "Leave n out, and ask once for each reply.")
    if chat.logprobs:
        raise Unsupported("This gateway gives no logprobs.", "Leave logprobs out.")
    if chat.tools or any(message.tool_calls for message in chat.messages):
        raise Unsupported(
            "This gateway takes no tools in OpenAI's dialect yet.", "Use POST /api/chat, or leave them out."
        )


def _text(message: OpenAIMessage) -> str:
    """The text of a message; text parts joined. Raises Unsupported for any other part."""
    if not isinstance(message.content, list):
        return message.content or ""
    for part in message.content:
        if part.type != "text":
            raise Unsupported(f"This gateway takes no {part.type[:40]!r} parts yet.", "Send text parts only.")
    return "".join(part.text for part in message.content)


class OpenAIVoice:
    """Server-sent events; the finishing chunk carries the turn's id."""

    stream_type = "text/event-stream; charset=utf-8"

    def __init__(self, asked: Asked, turn_id: str, model_tag: str) -> None:
        self._usage_wanted = asked.usage_wanted
        self._first = True
        self._head = {
            "id": f"chatcmpl-{turn_id.removeprefix('turn-')}",
            "created": int(time.time()),
            "model": asked.model,
            "system_fingerprint": model_tag,
        }

    def piece(self, piece: Piece) -> bytes:
        delta = _message(piece)
        if self._first:
            self._first = False
            delta = {"role": "assistant", **delta}
        return self._event([{"index": 0, "delta": delta, "finish_reason": None}])

    def last(self, ended: Ended) -> bytes:
        finish = FINISH.get(ended.done_reason, "stop")
        events = self._event(
            [{"index": 0, "delta": {}, "finish_reason": finish}],
            **({"turn_id": ended.turn_id} if ended.turn_id else {}),
        )
        if self._usage_wanted:
            events += self._event([], usage=_usage(ended))
        return events + b"data: [DONE]\n\n"

    def whole(self, said: Piece, ended: Ended) -> bytes:
        finish = FINISH.get(ended.done_reason, "stop")
        choice = {"index": 0, "message": {"role": "assistant", **_message(said)}, "finish_reason": finish}
        return msgspec.json.encode(
            {
                **self._head,
                "object": "chat.completion",
                "choices": [choice],
                "usage": _usage(ended),
                **({"turn_id": ended.turn_id} if ended.turn_id else {}),
            }
        )

    def broken(self, failure: Failure) -> bytes:
        return b"data: " + msgspec.json.encode(failure.body("openai")) + b"\n\n"

    def _event(self, choices: list[dict[str, Any]], **more: Any) -> bytes:
        chunk = {**self._head, "object": "chat.completion.chunk", "choices": choices, **more}
        return b"data: " + msgspec.json.encode(chunk) + b"\n\n"


def _message(piece: Piece) -> dict[str, Any]:
    return {"content": piece.text, **({"reasoning": piece.thinking} if piece.thinking else {})}


def _usage(ended: Ended) -> dict[str, int]:
    prompt, reply = ended.prompt_tokens or 0, ended.reply_tokens or 0
    return {"prompt_tokens": prompt, "completion_tokens": reply, "total_tokens": prompt + reply}
