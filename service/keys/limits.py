"""How much one key may ask for in a minute: token buckets, in memory, full again after a restart.

A bucket holds one minute's worth, so that much may come at once, and fills evenly. Requests are paid when they come;
tokens when the reply has ended and its length is known, so one long reply may overdraw the bucket, and the next request
waits until it is above nothing again.
"""

from __future__ import annotations

import math
import time

from feedback.errors import RateLimited
from service.callers import Caller


class Bucket:
    """So many a minute."""

    __slots__ = ("_at", "_level", "_per_s", "_size")

    def __init__(self, per_minute: int) -> None:
        self._size = self._level = float(per_minute)
        self._per_s = per_minute / 60
        self._at = time.monotonic()

    def wait_s(self, wanted: float) -> float:
        """Seconds until there is so much; 0: there is."""
        now = time.monotonic()
        self._level = min(self._size, self._level + (now - self._at) * self._per_s)
        self._at = now
        return max(0.0, (wanted - self._level) / self._per_s)

    def take(self, amount: float) -> None:
        """Take it, also where less is there."""
        self._level -= amount


class Limits:
    """Every key's buckets, by key id."""

    def __init__(self) -> None:
        self._requests: dict[str, Bucket] = {}
        self._tokens: dict[str, Bucket] = {}

    def admit(self, caller: Caller, *, tokens: bool) -> None:
        """Count a request. `tokens`: it may cost some. Raises RateLimited, saying when to come again."""
        if caller.tokens_per_minute and tokens:
            self._check(self._tokens, caller, caller.tokens_per_minute, 1, "tokens")
        if caller.requests_per_minute:
            self._check(self._requests, caller, caller.requests_per_minute, 1, "requests").take(1)

    def spent(self, caller: Caller, tokens: int) -> None:
        """A reply has ended that cost so many tokens, prompt and reply together."""
        if caller.tokens_per_minute and tokens > 0:
            self._bucket(self._tokens, caller, caller.tokens_per_minute).take(tokens)

    def _check(self, buckets: dict[str, Bucket], caller: Caller, per_minute: int, wanted: float, what: str) -> Bucket:
        bucket = self._bucket(buckets, caller, per_minute)
        wait_s = bucket.wait_s(wanted)
        if wait_s > 0:
            raise RateLimited(
                f"This key's {per_minute} {what} a minute are used up.",
                f"Try again in {math.ceil(wait_s)} s, or ask the operator for a key that may have more.",
                retry_after_s=math.ceil(wait_s),
            )
        return bucket

    @staticmethod
    def _bucket(buckets: dict[str, Bucket], caller: Caller, per_minute: int) -> Bucket:
        bucket = buckets.get(caller.key_id)
        if bucket is None:
            bucket = buckets[caller.key_id] = Bucket(per_minute)
        return bucket
