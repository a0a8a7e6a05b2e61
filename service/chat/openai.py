"""OpenAI's dialect: `POST /v1/chat/completions`, translated to Ollama's fields. `openai_voice` has the way back.

What can't be done is refused and never left out in silence: a client that asks for two replies or a forced tool must
not take what it gets for that.
"""

from __future__ import annotations

from typing import Any

import msgspec

from feedback.errors import MalformedBody, Unsupported
from service.chat.asked import Asked, Sender, decode_object
from service.chat.openai_messages import OpenAIMessage, messages_of

TOP_LOGPROBS = 20
EFFORTS = {"none": False, "minimal": "low", "low": "low", "medium": "medium", "high": "high", "xhigh": "high"}
"""OpenAI's reasoning_effort → Ollama's `think`."""


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class Sampling(msgspec.Struct):
    """What chats and completions have in common."""

    model: str
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    max_tokens: int | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    n: int | None = None
    logit_bias: dict[str, Any] | None = None
    user: str | None = None
    store: bool | None = None
    """Recorded unless false is said: a client that says nothing has OpenAI's default, which means another store."""

    def options(self, limit: int | None = None) -> dict[str, Any]:
        """Sampling options in Ollama's names. `limit` of tokens wins over max_tokens."""
        options = {
            "temperature": self.temperature,
            "top_p": self.top_p,
            "num_predict": limit if limit is not None else self.max_tokens,
            "stop": [self.stop] if isinstance(self.stop, str) else self.stop,
            "seed": self.seed,
            "frequency_penalty": self.frequency_penalty,
            "presence_penalty": self.presence_penalty,
        }
        return {key: value for key, value in options.items() if value is not None}

    def refuse_unsupported(self) -> None:
        """Raise Unsupported for what no upstream can do."""
        if self.n is not None and self.n != 1:
            raise Unsupported(f"n is {self.n}: one reply at a time.", "Leave n out, and ask once for each reply.")
        if self.logit_bias:
            raise Unsupported("Ollama has no logit_bias.", "Leave logit_bias out.")

    @property
    def usage_wanted(self) -> bool:
        return bool(self.stream_options and self.stream_options.include_usage)


class OpenAIChat(Sampling, kw_only=True):
    """The fields that have a meaning here; others are OpenAI's own business and are left out."""

    messages: list[OpenAIMessage]
    max_completion_tokens: int | None = None
    response_format: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    tool_choice: str | dict[str, Any] | None = None
    functions: list[Any] | None = None
    modalities: list[str] | None = None
    web_search_options: dict[str, Any] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    reasoning_effort: str | None = None

    def upstream(self) -> dict[str, Any]:
        """Everything for the upstream beside messages. Raises MalformedBody, Unsupported."""
        self.refuse_unsupported()
        if self.modalities not in (None, ["text"]) or self.web_search_options is not None:
            raise Unsupported("Answers are text, and nobody searches the web.", "Leave that out.")
        found: dict[str, Any] = {"options": self.options(self.max_completion_tokens)}
        if (wanted := self._format()) is not None:
            found["format"] = wanted
        if tools := self._tools():
            found["tools"] = tools
        if self.reasoning_effort is not None:
            if self.reasoning_effort not in EFFORTS:
                raise MalformedBody("reasoning_effort is none that exists.", f"Send one of {', '.join(EFFORTS)}.")
            found["think"] = EFFORTS[self.reasoning_effort]
        if self.logprobs:
            found |= logprobs_of(self.top_logprobs or 0)
        return found

    def _format(self) -> Any:
        """Ollama's `format`: none, `"json"` or a JSON schema."""
        wanted = self.response_format or {}
        match wanted.get("type", "text"):
            case "text":
                return None
            case "json_object":
                return "json"
            case "json_schema":
                schema = wanted.get("json_schema")
                if not isinstance(schema, dict) or not isinstance(schema.get("schema"), dict):
                    raise MalformedBody(
                        "response_format has no schema.", 'Send {"json_schema": {"name": …, "schema": {…}}}.'
                    )
                return schema["schema"]
            case _:
                raise Unsupported("This response_format is unknown.", "Send text, json_object or json_schema.")

    def _tools(self) -> list[dict[str, Any]]:
        if self.functions:
            raise Unsupported("functions were replaced by tools.", "Send tools, and read tool_calls.")
        if self.tool_choice == "none":
            return []
        if self.tool_choice not in (None, "auto"):
            raise Unsupported("Ollama can't be made to call a tool.", 'Send tool_choice "auto" or "none".')
        if any(tool.get("type", "function") != "function" for tool in self.tools or ()):
            raise Unsupported("Tools are functions here.", 'Send {"type": "function", "function": {…}}.')
        if any(not isinstance(tool.get("function"), dict) for tool in self.tools or ()):
            raise MalformedBody("A tool has no function.", 'Send {"type": "function", "function": {…}}.')
        return self.tools or []


def read(body: bytes, sender: Sender) -> Asked:
    """A request's body. Raises MalformedBody, Unsupported."""
    chat: OpenAIChat = converted(body, OpenAIChat, "POST /v1/chat/completions")
    if not chat.messages:
        raise MalformedBody("messages is empty.", "Send at least one message with role and content.")
    messages = messages_of(chat.messages)
    return Asked(
        dialect="openai",
        model=chat.model,
        messages=messages,
        stream=chat.stream is True,
        upstream=chat.upstream(),
        images=[image for message in messages for image in message.get("images", ())],
        logprobs=chat.logprobs is True,
        conversation_id=sender.conversation_id,
        draft=sender.draft,
        subject=sender.subject or chat.user or "",
        usage_wanted=chat.usage_wanted,
        store=sender.store and chat.store is not False,
    )


def converted(body: bytes, kind: type[Any], route: str) -> Any:
    """A body in the shape of `kind`. Raises MalformedBody."""
    try:
        return msgspec.convert(decode_object(body), kind)
    except msgspec.ValidationError as error:
        raise MalformedBody(f"The body is not in OpenAI's shape: {error}.", f"See OpenAI's API, {route}.") from error


def logprobs_of(top: int) -> dict[str, Any]:
    """Ollama's fields for logprobs with so many alternatives. Raises MalformedBody."""
    if not 0 <= top <= TOP_LOGPROBS:
        raise MalformedBody(f"top_logprobs is outside 0 to {TOP_LOGPROBS}.", "Ask for fewer.")
    return {"logprobs": True, **({"top_logprobs": top} if top else {})}
