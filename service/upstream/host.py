"""One host of the upstream: what it has, whether it answers, how much it is doing, and whether it is spared.

Two things are known of its health, and they are kept apart. `up` is what the looks at it say: a host that is not up is
asked only where no other is. The circuit is what its replies say: after some failures in a row it opens, and the host
gets nothing until a pause is over; then one request tries it, and closes it or opens it again. Only a clock is read
here; nothing waits.
"""

from __future__ import annotations

import functools
import time
from collections import Counter
from collections.abc import Iterable
from urllib.parse import urlsplit


@functools.lru_cache(1024)
def full_name(tag: str) -> str:
    """A model's name as Ollama tells it from others: in small letters, and with its tag."""
    tag = tag.lower()
    return tag if ":" in tag.rpartition("/")[2] else f"{tag}:latest"


class Circuit:
    """Open after `limit` failures in a row, for `pause_s`; then one request at a time tries."""

    __slots__ = ("_limit", "_opened_until", "_pause_s", "_trying", "failures")

    def __init__(self, limit: int, pause_s: float) -> None:
        self._limit = limit
        self._pause_s = pause_s
        self._opened_until = 0.0
        self._trying = False
        self.failures = 0
        """In a row, since the last reply that went well."""

    @property
    def closed(self) -> bool:
        return not self._opened_until

    def allows(self) -> bool:
        """Whether a request may go there now."""
        if not self._opened_until:
            return True
        return not self._trying and time.monotonic() >= self._opened_until

    def taken(self) -> bool:
        """A request goes there. True where it is the one that tries."""
        self._trying = self._trying or self._opened_until > 0
        return self._opened_until > 0

    def began(self) -> None:
        """A reply's first chunk came: that is proof enough for a host that was being tried."""
        if self._opened_until:
            self.well()

    def well(self) -> None:
        """A reply came to its end."""
        self.failures, self._opened_until, self._trying = 0, 0.0, False

    def failed(self) -> bool:
        """A request failed. True where that opened a closed circuit."""
        self.failures += 1
        was_closed = self.closed
        if self._trying or self.failures >= self._limit:
            self._opened_until, self._trying = time.monotonic() + self._pause_s, False
        return was_closed and not self.closed

    def not_tried(self) -> None:
        """The request that should have tried ended, and says nothing of the host: its client left, for example."""
        self._trying = False

    def try_now(self) -> None:
        """The host came back: whoever asks next tries it, without the rest of the pause."""
        if self._opened_until:
            self._opened_until = min(self._opened_until, time.monotonic())


class Host:
    """One Ollama, or engine."""

    __slots__ = ("_lacks", "_tags", "answered", "circuit", "last_taken", "name", "outstanding", "troubles", "up", "url")

    def __init__(self, url: str, circuit: Circuit) -> None:
        self.url = url
        parts = urlsplit(url)
        self.name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        """Its address as it may be shown: without a password."""
        self.circuit = circuit
        self.up = True
        """As the last look found it; believed in until the first."""
        self.answered = True
        """Whether it answered the last look. One that is only slow to is still up."""
        self.outstanding = 0
        """Requests that it has and has not ended."""
        self.last_taken = 0
        self.troubles: Counter[str] = Counter()
        """Failures since the start, by the error's code."""
        self._tags: frozenset[str] | None = None
        self._lacks: set[str] = set()

    @property
    def tags(self) -> frozenset[str]:
        """The full names of its models, as far as known."""
        return (self._tags or frozenset()) - self._lacks

    def has(self, full_tag: str) -> bool:
        """Whether it has a model; believed of a host that was never looked at."""
        return full_tag not in self._lacks and (self._tags is None or full_tag in self._tags)

    def lost(self, full_tag: str) -> None:
        """It answered 404 for a model; until the next look it has none such."""
        self._lacks.add(full_tag)

    def seen(self, tags: Iterable[str]) -> None:
        """A look found these models, and the host up."""
        self._tags = frozenset(full_name(tag) for tag in tags)
        self._lacks.clear()
        self.answered = True
        if not self.up:
            self.up = True
            self.circuit.try_now()
