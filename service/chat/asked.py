"""What both dialects have in common: what was asked, what is said piece by piece, how it ends.

A dialect reads a request into an `Asked` and gives a `Voice` that turns pieces into its own bytes. Nothing else in the
gateway knows the dialects' shapes.
"""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from feedback.errors import MalformedBody
from feedback.turns import Dialect
from service.errors import Failure

ID_LIMIT = 128
"""Characters of a conversation id that a client gives; it goes into headers, so ASCII only."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt, whichever dialect it came in."""

    dialect: Dialect
    model: str
    """The name as the client wrote it; answers repeat it."""
    messages: list[dict[str, Any]]
    """As the upstream takes them; each has `role` and a text `content`."""
    stream: bool
    upstream: dict[str, Any]
    """Whatever else goes to the upstream: options, format, keep_alive, tools."""
    conversation_id: str = ""
    """As the client gave it, empty if it did not."""
    subject: str = ""
    usage_wanted: bool = False
    """OpenAI's stream_options.include_usage."""

    @property
    def options(self) -> dict[str, Any]:
        """Sampling options, in Ollama's names."""
        options = self.upstream.get("options")
        return options if isinstance(options, dict) else {}


class Piece(msgspec.Struct, kw_only=True):
    """Something to show now."""

    text: str = ""
    thinking: str = ""
    tool_calls: list[Any] = []

    def __bool__(self) -> bool:
        return bool(self.text or self.thinking or self.tool_calls)


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a reply ended. Durations are nanoseconds, as Ollama gives them; none where the upstream was not asked."""

    turn_id: str
    model_tag: str
    done_reason: str
    prompt_tokens: int | None = None
    reply_tokens: int | None = None
    durations: dict[str, int] = {}


class Voice(Protocol):
    """One answer in a dialect's own words."""

    stream_type: str
    """Content type of the streamed form; the whole one is JSON."""

    def piece(self, piece: Piece) -> bytes:
        """A part of a streamed answer."""

    def last(self, ended: Ended) -> bytes:
        """What ends a streamed answer."""

    def whole(self, said: Piece, ended: Ended) -> bytes:
        """The answer in one body."""

    def broken(self, failure: Failure) -> bytes:
        """What ends a streamed answer that failed."""


def decode_object(body: bytes) -> dict[str, Any]:
    """A body's JSON object. Raises MalformedBody, saying where; never quoting it."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedBody("The body is not JSON in UTF-8.", "Send one JSON object.") from error
    except RecursionError:
        raise MalformedBody("The body is nested too deeply.", "Send one flat JSON object.") from None
    if not isinstance(found, dict):
        raise MalformedBody("The body is not a JSON object.", 'Send {"model": …, "messages": […]}.')
    return found


def checked_conversation(given: str | None) -> str:
    """The `X-Conversation-Id` that a client sent, or empty. Raises MalformedBody where it can't be an id."""
    if not given:
        return ""
    if len(given) > ID_LIMIT or not given.isascii() or not given.isprintable():
        raise MalformedBody("X-Conversation-Id is no id.", f"Send at most {ID_LIMIT} printable ASCII characters.")
    return given
