"""The `context` of generations: a history in tokens, which the word filter can't read.

So a client may send back what it was given, and nothing else: tokens that it made up would be a way round the filter.
Only hashes are kept, of the latest ones and in memory: after a restart a client begins its conversation anew.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Any

import msgspec

from feedback.errors import InvalidInput

LIMIT = 10_000
"""Contexts that are remembered, the latest ones; about 1 MB."""


class Contexts:
    """Which contexts were given out."""

    def __init__(self) -> None:
        self._given: OrderedDict[bytes, None] = OrderedDict()

    def give(self, context: list[int]) -> None:
        """Remember one that a client is given."""
        self._given[_hash(context)] = None
        if len(self._given) > LIMIT:
            self._given.popitem(last=False)

    def check(self, context: Any) -> None:
        """Raise InvalidInput unless it was given out here."""
        if context and _hash(context) not in self._given:
            raise InvalidInput(
                "context is none that this gateway gave, or it is forgotten.",
                "Begin without it, or use POST /api/chat with the history in messages.",
            )


def _hash(context: Any) -> bytes:
    return hashlib.blake2b(msgspec.json.encode(context), digest_size=16).digest()
