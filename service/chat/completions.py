"""OpenAI's `POST /v1/completions`: Ollama's generate in OpenAI's words, as Ollama itself has it."""

from __future__ import annotations

from typing import Any

from feedback.errors import MalformedBody, Unsupported
from service.chat.asked import Asked, Sender
from service.chat.openai import Sampling, converted, logprobs_of


class OpenAICompletion(Sampling, kw_only=True):
    prompt: str | list[Any]
    suffix: str | None = None
    logprobs: int | None = None
    echo: bool | None = None
    best_of: int | None = None

    def text(self) -> str:
        """The one prompt. Raises MalformedBody, Unsupported."""
        prompt = self.prompt[0] if isinstance(self.prompt, list) and len(self.prompt) == 1 else self.prompt
        if not isinstance(prompt, str):
            raise Unsupported("prompt is not one text.", "Send one text, and ask once for each; tokens can't be read.")
        if not prompt:
            raise MalformedBody("prompt is empty.", "Send a text.")
        return prompt


def read(body: bytes, sender: Sender) -> Asked:
    """A request's body. Raises MalformedBody, Unsupported."""
    asked: OpenAICompletion = converted(body, OpenAICompletion, "POST /v1/completions")
    asked.refuse_unsupported()
    if asked.echo or (asked.best_of or 1) != 1:
        raise Unsupported("echo and best_of are not to be had.", "Leave them out.")
    upstream: dict[str, Any] = {"options": asked.options()}
    if asked.suffix:
        upstream["suffix"] = asked.suffix
    if asked.logprobs is not None:
        upstream |= logprobs_of(asked.logprobs)
    return Asked(
        dialect="openai",
        route="generate",
        model=asked.model,
        messages=[{"role": "user", "content": asked.text()}],
        stream=asked.stream is True,
        upstream=upstream,
        raw=bool(asked.suffix),
        logprobs=asked.logprobs is not None,
        conversation_id=sender.conversation_id,
        subject=sender.subject or asked.user or "",
        usage_wanted=asked.usage_wanted,
        store=sender.store and asked.store is not False,
    )
