"""Waiting for the store from inside the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any

from feedback.errors import StoreBusy

LONGEST_S = 30.0
"""How long a request waits for its commit."""


async def committed(stored: Future[Any]) -> None:
    """Wait for the commit. A request that is cancelled leaves its write in the queue.

    Raises what the write failed with; StoreBusy where the disk takes too long, and then the write may still come to be.
    """
    if not stored.done():
        loop = asyncio.get_running_loop()
        waiting: asyncio.Future[None] = loop.create_future()

        def tell(_: Future[Any]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, waiting)

        stored.add_done_callback(tell)
        try:
            async with asyncio.timeout(LONGEST_S):
                await waiting
        except TimeoutError as error:
            raise StoreBusy(
                f"The disk has not taken the write in {LONGEST_S:g} s.", "Look for it before you try again."
            ) from error
    stored.result()


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
