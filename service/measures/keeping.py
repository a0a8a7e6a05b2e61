"""The measures' counts in the gateway: made in the background after the start, and kept up when somebody asks.

A question waits a moment for what is new to be counted and is then answered with what there is, and told how old that
is: a quiet gateway's answer is exact, a busy one's some seconds old, and none takes a second. Counting leaves DuckDB as
long a rest as it took, unless somebody waits. Must never end the gateway, nor hold it up when it stops.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator

import duckdb

from feedback.errors import RatchetError, Unavailable
from feedback.measures.cube import Cube
from feedback.store.database import Store

log = logging.getLogger(__name__)

BEGIN_AFTER_S = 3.0
"""The gateway is to be up before old rows are counted."""
FRESH_S = 2.0
"""For how long counts are not looked after again."""
PATIENCE_S = 0.6
"""How long a question waits for what is new."""


class MeasuresNotReady(Unavailable):
    """The gateway has just started, and has not counted everything once."""

    code = "measures-not-ready"


class Measuring:
    """Hands out the counts. For the event loop's thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cube = Cube()
        self._stop = threading.Event()
        self._waited_for = 0
        self._refreshing: asyncio.Task[None] | None = None
        self._looked_at = float("-inf")

    async def cube(self) -> Cube:
        """The counts, as new as a moment's wait can make them. Raises MeasuresNotReady."""
        if time.monotonic() - self._looked_at > FRESH_S:
            self._waited_for += 1
            try:
                await asyncio.wait({self._refresh()}, timeout=PATIENCE_S)
            finally:
                self._waited_for -= 1
        if self._cube.as_of is None:
            raise MeasuresNotReady(
                f"The turns are being counted: {len(self._cube.counts.weeks)} weeks are done.",
                "Ask again in some seconds.",
            )
        return self._cube

    def _refresh(self) -> asyncio.Task[None]:
        """The one refresh that is under way."""
        if self._refreshing is None or self._refreshing.done():
            self._refreshing = asyncio.create_task(self._refreshed())
        return self._refreshing

    async def _refreshed(self) -> None:
        """Never raises: whoever asks is told how old the counts are."""
        try:
            await asyncio.to_thread(self._cube.refresh, self._store, self._go_on)
            self._looked_at = time.monotonic()
        except (RatchetError, duckdb.Error) as error:
            log.warning("measures-not-counted", extra={"fields": {"type": type(error).__name__}})

    def _go_on(self, seconds: float) -> bool:
        """In the thread that counts."""
        return not self._stop.wait(0 if self._waited_for else seconds)

    async def keep(self) -> None:
        """Count everything once, after the start."""
        await asyncio.sleep(BEGIN_AFTER_S)
        await self._refresh()

    async def close(self) -> None:
        """Let what is under way end, which it does after the week that it is at."""
        self._stop.set()
        if self._refreshing is not None:
            await asyncio.wait({self._refreshing})


@contextlib.asynccontextmanager
async def measuring(store: Store) -> AsyncIterator[Measuring]:
    """`async with`: count beside the gateway's requests."""
    measures = Measuring(store)
    beginning = asyncio.create_task(measures.keep())
    try:
        yield measures
    finally:
        beginning.cancel()
        await measures.close()
        await asyncio.gather(beginning, return_exceptions=True)
