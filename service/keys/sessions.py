"""Who is signed in on a page: a random id in a cookie that scripts can't read, and the key behind it.

Sessions live in this process's memory: they end with it, with their key, and after `gateway.session_hours`. A browser
sends cookies along with whatever some other site makes it ask, so what changes something must also show the session's
second token in a header, which only our own pages can read out of its cookie.
"""

from __future__ import annotations

import hmac
import secrets
import time

import msgspec

LIMIT = 10_000
"""Sessions at a time; the oldest one gives way."""
COOKIE = "ratchet_session"
CSRF_COOKIE = "ratchet_csrf"
CSRF_HEADER = "x-csrf-token"


class Session(msgspec.Struct, frozen=True, kw_only=True):
    """One signed-in browser."""

    key_id: str
    csrf: str
    expires_at: float
    """On the monotonic clock."""


class Sessions:
    """All that are open."""

    def __init__(self, hours: float) -> None:
        self.seconds = hours * 3600
        self._open: dict[str, Session] = {}

    def start(self, key_id: str) -> tuple[str, Session]:
        """A new one: (the id for the cookie, the session)."""
        while len(self._open) >= LIMIT:
            del self._open[next(iter(self._open))]
        session = Session(key_id=key_id, csrf=secrets.token_urlsafe(32), expires_at=time.monotonic() + self.seconds)
        session_id = secrets.token_urlsafe(32)
        self._open[session_id] = session
        return session_id, session

    def find(self, session_id: str) -> Session | None:
        """The session of that id, unless it has ended."""
        session = self._open.get(session_id)
        if session is not None and time.monotonic() >= session.expires_at:
            del self._open[session_id]
            return None
        return session

    def end(self, session_id: str) -> None:
        """Sign out."""
        self._open.pop(session_id, None)


def shows_csrf(session: Session, header: bytes) -> bool:
    """Whether a request shows the session's second token."""
    return hmac.compare_digest(header, session.csrf.encode())


def cookie_of(header: bytes, name: str) -> str:
    """A cookie's value out of a Cookie header; empty where it is not there."""
    wanted = name.encode()
    for part in header.split(b";"):
        found, _, value = part.strip().partition(b"=")
        if found == wanted:
            return value.decode("latin-1")
    return ""
