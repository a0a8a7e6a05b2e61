"""An answer that can be given again: which request it belongs to, by the key that the client sent with it.

Neither the key nor the request is kept, only their hashes: for knowing them again, that is enough.
"""

from __future__ import annotations

import datetime as dt

import msgspec

KEPT = dt.timedelta(hours=24)
"""How long the same key gives the same answer."""


class KeyedAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A stored answer to a request that carried an Idempotency-Key."""

    key_hash: str
    """SHA-256 of the caller and their key, in hex."""
    turn_id: str
    """The turn that was answered, rated or annotated."""
    answer_id: str
    """The id that the answer gave: the turn's, the rating's or the annotation's own."""
    created_at: dt.datetime
    request_hash: str
    """SHA-256 of the method, the path and the body, in hex."""
    said: str = ""
    """JSON of what a chat showed beside its text: thinking, calls of tools. Empty where there was nothing such."""
