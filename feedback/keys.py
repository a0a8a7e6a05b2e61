"""An API key as it is stored: that it was made, with what rights, and that it was revoked. Never its secret.

Both are rows that are only ever added. A key holds from the commit of its row until the first of its revocation and
its expiry. What is kept of the secret is a salted scrypt hash, so that a stolen database opens no door.
"""

from __future__ import annotations

import datetime as dt

import msgspec


class KeyCreated(msgspec.Struct, frozen=True, kw_only=True):
    """One key, as it was made. A key's rights never change: make another, revoke this one."""

    key_id: str
    created_at: dt.datetime
    name: str
    """What people call it; for lists only."""
    role: str
    """user, annotator, reviewer, expert or operator."""
    subject: str
    """Whose turns and verdicts come with it; empty where the client says for itself."""
    store: bool
    """Whether turns asked with it are recorded."""
    expires_at: dt.datetime | None
    """From when on it no longer holds; none: never."""
    requests_per_minute: int
    """0: no limit."""
    tokens_per_minute: int
    """Prompt and reply together; 0: no limit."""
    scopes: list[str]
    """The areas that it is narrowed to; none given: all that its role has."""
    aliases: list[str]
    """The only names that may be chatted with by it; none given: all."""
    secret_hash: str
    """`scrypt$n$r$p$salt$hash`, the last two in hex."""


class KeyRevoked(msgspec.Struct, frozen=True, kw_only=True):
    """That a key holds no longer."""

    revocation_id: str
    key_id: str
    created_at: dt.datetime
