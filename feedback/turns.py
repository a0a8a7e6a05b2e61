"""A turn: one prompt and its reply, as it is stored.

What is stored is what was sent to the model and what was shown to the person: after the word filter, never before it,
so that text which the filter hid can't come back as a training sample.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import Any, Literal

import msgspec

Dialect = Literal["ollama", "openai"]
Status = Literal["whole", "cut", "blocked", "raw"]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a conversation, in the words that both dialects share."""

    role: str
    content: str


class FilterHit(msgspec.Struct, frozen=True, kw_only=True):
    """One hit of the word filter: which rule, what was done, where. Never the text."""

    rule: str
    category: str
    action: str
    direction: Literal["in", "out"]
    field: str
    """Which text it stood in: `messages[2].content`, `reply`, …"""
    start: int
    end: int
    """Half-open span in code points of the original text."""
    severity: int = 0
    """0 to 9, as the list's author graded the rule; turns stored before it was kept have 0."""


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt and its reply. Immutable once stored; what people say of it is appended elsewhere."""

    turn_id: str
    conversation_id: str
    created_at: dt.datetime
    alias: str
    version: str
    """The SemVer of the version that answered, for example `1.0.0`; empty: another model of the upstream did."""
    model_tag: str
    """The immutable tag that the upstream was asked for, for example `assistant:1.0.0`."""
    dialect: Dialect
    messages: list[Message]
    """What the model was sent, oldest first; the last one is the prompt."""
    reply: str
    status: Status
    """`whole`; `cut` by an upstream that broke or a client that left; `blocked` by the filter; `raw`, whole but no
    conversation: a prompt without the model's template, the middle of a text, a history in tokens. Only `whole`
    teaches.
    """
    done_reason: str = ""
    filter_hits: list[FilterHit] = []
    prompt_tokens: int | None = None
    reply_tokens: int | None = None
    first_token_ms: float | None = None
    total_ms: float = 0.0
    uncertainty: float | None = None
    """Mean of the negative log probability of the reply's tokens, in nats, where the upstream told it."""
    options: dict[str, Any] = {}
    """Sampling options as the client gave them, for lineage."""
    attachments: list[str] = []
    """SHA-256 of each image that its messages carried, oldest first: files of these names lie in `attachments/`."""
    subject: str = ""
    """Whose turn it is, as the client names them (a key's owner from the next release on); empty if not said."""


def conversation_of(messages: list[Message], given: str = "") -> str:
    """The conversation's id: what the client gave, or a hash of its opening.

    Neither dialect carries a conversation id and clients send the whole history each time, so the first user message
    is the one thing that all turns of a conversation share.
    """
    if given:
        return given
    opening = next((message.content for message in messages if message.role == "user"), "")
    return "conversation-" + hashlib.sha256(opening.encode()).hexdigest()[:32]
