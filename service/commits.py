"""Waiting for the store from inside the event loop."""

from __future__ import annotations

import asyncio
import collections
from concurrent.futures import Future
from typing import Any, ClassVar, Self

from feedback.errors import StoreBusy

LONGEST_S = 30.0
"""How long a request waits for its commit."""


class Wakings:
    """Waits of one event loop whose commits are through. A commit ends many waits: one call wakes the loop for all."""

    latest: ClassVar[Self | None] = None
    """Of the loop that waited last; a gateway has one."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._over: collections.deque[asyncio.Future[None]] = collections.deque()
        self._called = False

    @classmethod
    def of(cls, loop: asyncio.AbstractEventLoop) -> Self:
        """A loop's."""
        if cls.latest is None or cls.latest._loop is not loop:
            cls.latest = cls(loop)
        return cls.latest

    def add(self, waiting: asyncio.Future[None]) -> None:
        """From the writer's thread, or any other."""
        self._over.append(waiting)
        if not self._called and not self._loop.is_closed():
            self._called = True
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        self._called = False  # first: what is added from here on calls anew
        while self._over:
            waiting = self._over.popleft()
            if not waiting.done():
                waiting.set_result(None)


async def committed(stored: Future[Any]) -> None:
    """Wait for the commit. A request that is cancelled leaves its write in the queue.

    Raises what the write failed with; StoreBusy where the disk takes too long, and then the write may still come to be.
    """
    if not stored.done():
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()
        wakings = Wakings.of(loop)
        stored.add_done_callback(lambda _: wakings.add(waiting))
        alarm = loop.call_later(LONGEST_S, _give_up, waiting)
        try:
            await waiting
        finally:
            alarm.cancel()
    stored.result()


def _give_up(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_exception(
            StoreBusy(f"The disk has not taken the write in {LONGEST_S:g} s.", "Look for it before you try again.")
        )
