"""Shapes that exist in the documentation only: what goes out in each dialect, and the three shapes of an error.

Answers in the dialects are put together field by field where they are spoken; these structs say what comes of it. They
leave open what the upstream adds. Requests need none: they are decoded into structs of their own.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

import msgspec


class OllamaError(msgspec.Struct):
    """An error in Ollama's dialect."""

    error: str
    """What is wrong, and how to mend it, in one or two sentences."""
    code: str | None = None
    """The code: see the guide to errors. Ollama's own errors, passed on to operators, have none."""
    mend: str | None = None


class OpenAIErrorInside(msgspec.Struct):
    message: str
    type: str
    param: str | None
    code: str
    mend: str


class OpenAIError(msgspec.Struct):
    """An error in OpenAI's dialect."""

    error: OpenAIErrorInside


class OurErrorInside(msgspec.Struct):
    code: str
    """In kebab-case: see the guide to errors."""
    message: str
    mend: str


class OurError(msgspec.Struct):
    """An error of our own routes."""

    error: OurErrorInside


class AnswerMessage(msgspec.Struct):
    role: str
    content: str
    thinking: str | None = None
    tool_calls: list[Any] | None = None


class OllamaChatAnswer(msgspec.Struct):
    """A chat's answer, or the last line of its stream. Durations are nanoseconds."""

    model: str
    created_at: dt.datetime
    done: bool
    message: AnswerMessage | None = None
    done_reason: str | None = None
    prompt_eval_count: int | None = None
    eval_count: int | None = None
    total_duration: int | None = None
    turn_id: str | None = None
    """By which the answer is rated; absent where nothing is recorded."""


class OllamaGenerateAnswer(msgspec.Struct):
    """A generation's answer, or the last line of its stream."""

    model: str
    created_at: dt.datetime
    done: bool
    response: str
    done_reason: str | None = None
    turn_id: str | None = None


class Usage(msgspec.Struct):
    prompt_tokens: int
    total_tokens: int
    completion_tokens: int | None = None


class ChatChoice(msgspec.Struct):
    index: int
    message: dict[str, Any]
    finish_reason: str


class OpenAIChatAnswer(msgspec.Struct):
    """A chat's answer. A stream sends `chat.completion.chunk` objects as server-sent events, and `[DONE]`."""

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[ChatChoice]
    usage: Usage
    turn_id: str | None = None


class CompletionChoice(msgspec.Struct):
    index: int
    text: str
    finish_reason: str


class OpenAICompletionAnswer(msgspec.Struct):
    """A completion's answer; a stream sends such objects as server-sent events, and `[DONE]`."""

    id: str
    object: Literal["text_completion"]
    created: int
    model: str
    choices: list[CompletionChoice]
    usage: Usage
    turn_id: str | None = None


class OpenAIEmbedding(msgspec.Struct):
    object: Literal["embedding"]
    index: int
    embedding: list[float] | str


class OpenAIEmbeddings(msgspec.Struct):
    object: Literal["list"]
    data: list[OpenAIEmbedding]
    model: str
    usage: Usage


class OpenAIModel(msgspec.Struct):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str
    version: str
    """Which version answers now."""


class OpenAIModels(msgspec.Struct):
    object: Literal["list"]
    data: list[OpenAIModel]


class OllamaModel(msgspec.Struct):
    name: str
    model: str


class OllamaModels(msgspec.Struct):
    models: list[OllamaModel]


class ModelName(msgspec.Struct):
    """Which model; Ollama takes further fields."""

    model: str


class CopyNames(msgspec.Struct):
    source: str
    destination: str


class Kept(msgspec.Struct):
    """What was put."""

    sha256: str


class BackedUp(msgspec.Struct):
    """Where the copy lies, on the gateway's own disk."""

    file: str
    bytes: int


class Status(msgspec.Struct):
    status: str


class SignedIn(msgspec.Struct):
    role: str
    subject: str


class SignedOut(msgspec.Struct):
    status: str
