"""How unsure the model was of its reply: the mean negative log probability of its tokens, where these are told.

The upstream tells them where the client asked for them, and for a share of the other chats where the settings want it;
what the client did not ask for it is not sent.
"""

from __future__ import annotations

import math
import random
from typing import Any


class Uncertainty:
    """Of one reply. Costs nothing where no log probabilities come."""

    __slots__ = ("_count", "_nats")

    def __init__(self) -> None:
        self._nats = 0.0
        self._count = 0

    def hear(self, entries: list[Any]) -> None:
        """Take the entries that came with a piece of the reply's text. What has not their shape is left out."""
        for entry in entries:
            logprob = entry.get("logprob") if isinstance(entry, dict) else None
            if isinstance(logprob, int | float) and -math.inf < logprob <= 0:
                self._nats -= logprob
                self._count += 1

    @property
    def mean(self) -> float | None:
        """In nats a token, 0 or more; none where nothing was told."""
        return self._nats / self._count if self._count else None


def wanted(share: float) -> bool:
    """Whether this chat is one of the share, 0 to 1, of which it is to be known."""
    return share > 0 and random.random() < share
