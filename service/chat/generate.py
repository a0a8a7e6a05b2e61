"""Ollama's `POST /api/generate`: one prompt, in the model's template or bare.

It is a turn like a chat's, its system text and prompt as messages, so that it can be rated. What the template of the
model did not go around (`raw`, `template`, `suffix`) or what has its history in tokens (`context`) is no conversation:
it is recorded, and never learnt from.
"""

from __future__ import annotations

from typing import Any

import msgspec

from feedback.mint import now
from service.chat.asked import Asked, Ended, Piece, Sender, decode_object, folded
from service.chat.attachments import images_of
from service.chat.contexts import Contexts
from service.chat.ollama import OURS, OllamaVoice, converted, passed_on

OURS_TOO = OURS | {"prompt", "system"}
BARE = ("raw", "template", "suffix", "context")


class OllamaGenerate(msgspec.Struct):
    model: str
    prompt: str | None = None
    system: str | None = None
    suffix: str | None = None
    template: str | None = None
    context: list[int] | None = None
    raw: bool | None = None
    stream: bool | None = None
    options: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None


def read(body: bytes, sender: Sender, contexts: Contexts) -> Asked:
    """A request's body; no prompt asks for loading only. Raises MalformedBody, InvalidInput for a strange context."""
    given = folded(decode_object(body))
    asked = converted(given, OllamaGenerate, "POST /api/generate")
    contexts.check(asked.context)
    passed, unload = passed_on(given, OURS_TOO, sender)
    system = [{"role": "system", "content": asked.system}] if asked.system else []
    return Asked(
        dialect="ollama",
        route="generate",
        model=asked.model,
        messages=[*system, {"role": "user", "content": asked.prompt}] if asked.prompt else [],
        stream=asked.stream is not False,
        upstream=passed,
        unload=unload,
        images=images_of(given.get("images")),
        raw=any(given.get(field) for field in BARE),
        logprobs=asked.logprobs is True,
        store=sender.store and given.get("store") is not False,
        conversation_id=sender.conversation_id,
        subject=sender.subject,
    )


class GenerateVoice(OllamaVoice):
    """Lines of JSON with `response` where a chat has a message."""

    def __init__(self, model: str, contexts: Contexts) -> None:
        super().__init__(model)
        self._contexts = contexts

    def _said(self, piece: Piece) -> dict[str, Any]:
        said: dict[str, Any] = {"model": self._model, "created_at": now(), "response": piece.text}
        if piece.thinking:
            said["thinking"] = piece.thinking
        if piece.tool_calls:
            said["tool_calls"] = piece.tool_calls
        return said

    def _context(self, ended: Ended) -> dict[str, Any]:
        if ended.context is None:
            return {}
        self._contexts.give(ended.context)
        return {"context": ended.context}
