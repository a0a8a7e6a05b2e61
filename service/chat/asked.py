"""What both dialects have in common: what was asked, what is said piece by piece, how it ends.

A dialect reads a request into an `Asked` and gives a `Voice` that turns pieces into its own bytes. Nothing else in the
gateway knows the dialects' shapes.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec

from feedback.errors import MalformedBody
from feedback.turns import Dialect
from service.chat.drafts import Draft
from service.errors import Failure

ID_LIMIT = 128
"""Characters of a conversation id that a client gives; it goes into headers, so ASCII only."""


class Sender(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a request beside its body."""

    conversation_id: str = ""
    """As the client gave it, empty if it did not."""
    subject: str = ""
    """Whose key it came with, or who says so where there are no keys; wins over whomever the body names."""
    operator: bool = True
    """Whether they may say how long a model stays in memory."""
    store: bool = True
    """Whether its headers let the turn be recorded."""
    draft: Draft | None = None
    """Which of two drafts it asks for; none: it asks for the answer."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt, whichever dialect it came in."""

    dialect: Dialect
    route: Literal["chat", "generate"] = "chat"
    """Which of the upstream's two ways to answer is asked."""
    model: str
    """The name as the client wrote it; answers repeat it."""
    messages: list[dict[str, Any]]
    """As the upstream takes them; each has `role` and a text `content`. A generation's: its system text and prompt."""
    stream: bool
    upstream: dict[str, Any]
    """Whatever else goes to the upstream: options, format, tools, think, and what only it knows."""
    images: list[str] = []
    """Base64 of every image in the request, oldest first, as the upstream gets it."""
    unload: bool = False
    """It asks for the model to be let go."""
    raw: bool = False
    """It is no conversation (see `feedback.turns`): recorded, never learnt from."""
    logprobs: bool = False
    """Whether the upstream is asked for them, which it is for those tokens only that the filter lets through."""
    store: bool = True
    """False: the client does not want it recorded."""
    conversation_id: str = ""
    """As the client gave it, empty if it did not."""
    subject: str = ""
    draft: Draft | None = None
    """Which of two drafts is asked for, if that is what is asked."""
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
    """In Ollama's shape."""
    logprobs: list[dict[str, Any]] = []
    """One for each token, in the shape that both dialects share: token, logprob, bytes, top_logprobs."""

    def __bool__(self) -> bool:
        return bool(self.text or self.thinking or self.tool_calls or self.logprobs)


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a reply ended. Durations are nanoseconds, as Ollama gives them; none where the upstream was not asked."""

    turn_id: str
    model_tag: str
    done_reason: str
    prompt_tokens: int | None = None
    reply_tokens: int | None = None
    durations: dict[str, int] = {}
    context: list[int] | None = None
    """A generation's history in tokens; none where it would spell out what the filter hid."""


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


def folded(given: dict[str, Any]) -> dict[str, Any]:
    """The object with its keys in lower case: Ollama is written in Go, which reads `Model` as `model`.

    What the gateway does not see as a field must not be one to the upstream: a second model, other messages. Of two
    spellings the last one counts, there as here.
    """
    if (keys := "".join(given)).islower() and keys.isascii():
        return given
    return {key.casefold(): value for key, value in given.items()}


def checked_conversation(given: str | None) -> str:
    """The `X-Conversation-Id` that a client sent, or empty. Raises MalformedBody where it can't be an id."""
    if not given:
        return ""
    if len(given) > ID_LIMIT or not given.isascii() or not given.isprintable():
        raise MalformedBody("X-Conversation-Id is no id.", f"Send at most {ID_LIMIT} printable ASCII characters.")
    return given
