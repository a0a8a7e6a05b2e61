"""What an operator gives to make a key, and what is told of one. Both without the secret."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

import msgspec

from feedback.errors import InvalidInput
from feedback.mint import now
from service.callers import Area, Role

Short = Annotated[str, msgspec.Meta(max_length=200)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2_000_000_000)]


class KeyInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to make."""

    name: Short = ""
    """What people call it."""
    role: Role = "user"
    subject: Short = ""
    """Whose turns and verdicts come with it, where it is one person's; empty: the client says."""
    store: bool = True
    """Whether turns asked with it are recorded."""
    expires_at: dt.datetime | None = None
    """With a time zone; none: it does not expire."""
    requests_per_minute: Count = 0
    """0: no limit."""
    tokens_per_minute: Count = 0
    """Prompt and reply together; 0: no limit."""
    scopes: Annotated[list[Area], msgspec.Meta(max_length=5)] = []
    """The areas to narrow it to; none given: all that its role has."""
    aliases: Annotated[list[Short], msgspec.Meta(max_length=100)] = []
    """The only names that may be chatted with by it; none given: all."""


class KeyShown(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it stands, without its secret."""

    key_id: str
    state: Literal["live", "expired", "revoked"]
    name: str
    role: str
    subject: str
    store: bool
    created_at: dt.datetime
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None
    requests_per_minute: int
    tokens_per_minute: int
    scopes: list[str]
    aliases: list[str]


class KeyMade(msgspec.Struct, frozen=True, kw_only=True):
    """A new key, and its token: the one time that it is told."""

    key: KeyShown
    token: str


def check_key(given: KeyInput) -> None:
    """Raise InvalidInput unless it makes sense."""
    if given.expires_at is not None:
        if given.expires_at.utcoffset() is None:
            raise InvalidInput("expires_at has no time zone.", "Write it as 2027-01-31T00:00:00Z.")
        if given.expires_at <= now():
            raise InvalidInput("expires_at lies in the past.", "Name a time to come, or none.")
    texts = {"name": [given.name], "subject": [given.subject], "aliases": given.aliases}
    for field, values in texts.items():
        if any(not value.isprintable() for value in values):
            raise InvalidInput(f"{field} has characters that can't be printed.", "Leave control characters out.")
    if "" in given.aliases:
        raise InvalidInput("aliases has an empty name.", "Name each alias, or leave the list empty for all of them.")
