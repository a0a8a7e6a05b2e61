"""Waiting for the store from inside the event loop."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from typing import Any


async def committed(stored: Future[Any]) -> None:
    """Wait for the commit. Shielded: a request that is cancelled must not take its write out of the queue.

    Raises what the write failed with.
    """
    await asyncio.shield(asyncio.wrap_future(stored))
