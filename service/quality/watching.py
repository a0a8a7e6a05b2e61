"""Looking at what was said, from time to time: who is believed, and what an operator should see first.

A look reads everything in a thread of its own and stores what it finds suspicious; the pool leaves that out from then
on. What it found is kept for whoever asks. Must never end the gateway: what fails is logged, and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator

import duckdb

from feedback.errors import RatchetError
from feedback.mint import now
from feedback.quality.looking import Look, look
from feedback.settings import QualitySettings
from feedback.store.database import Store
from feedback.store.tables import QUARANTINES
from service.commits import committed

log = logging.getLogger(__name__)

FIRST_LOOK_S = 10.0
FRESH_S = 5.0
"""For how long a look is as good as another."""
PAUSE_TIMES = 10
"""A look is followed by a pause of at least so many times as long as it took."""
PATIENCE_S = 0.2
"""Who asks waits for a look that takes so long at most; of one that takes longer they are shown the last."""


class Watching:
    """Looks, one at a time. For the event loop's thread."""

    def __init__(self, store: Store, rules: QualitySettings) -> None:
        self._store, self._rules = store, rules
        self._one = asyncio.Lock()
        self._latest: Look | None = None
        self._looked_at = float("-inf")
        self._took_s = 0.0

    @property
    def latest(self) -> Look | None:
        """What the last look found; none before the first."""
        return self._latest

    async def look(self) -> Look:
        """Look now, unless somebody just did. Raises StoreUnavailable, StoreBusy."""
        async with self._one:
            if self._latest is None or time.monotonic() - self._looked_at > FRESH_S:
                began = time.monotonic()
                found = await asyncio.to_thread(self._look)
                self._took_s = time.monotonic() - began
                for future in [self._store.add(QUARANTINES, one) for one in found.fresh]:
                    await committed(future)
                if found.fresh:
                    log.warning("quarantined", extra={"fields": {"targets": len(found.fresh)}})
                self._latest, self._looked_at = found, time.monotonic()
            return self._latest

    async def shown(self) -> Look:
        """What to show at once: a look that takes a moment is made anew; of a long one it is the last. Raises as it."""
        long = self._took_s > PATIENCE_S and self._rules.check_minutes > 0
        return self._latest if self._latest is not None and long else await self.look()

    def stale(self) -> None:
        """Something was quarantined or lifted: the next who asks has it looked at anew."""
        self._looked_at = float("-inf")

    def _look(self) -> Look:
        with self._store.reader() as cursor:
            return look(cursor, self._rules, now(), self._latest.at if self._latest is not None else None)

    async def keep_looking(self, stop: asyncio.Event) -> None:
        """Until told to stop."""
        pause_s = FIRST_LOOK_S
        while not await _stopped(stop, pause_s):
            began = time.monotonic()
            try:
                await self.look()
            except (RatchetError, duckdb.Error) as error:
                log.warning("quality-not-looked-at", extra={"fields": {"type": type(error).__name__}})
            pause_s = max(self._rules.check_minutes * 60, PAUSE_TIMES * (time.monotonic() - began))


@contextlib.asynccontextmanager
async def watched(store: Store, rules: QualitySettings) -> AsyncIterator[Watching]:
    """`async with`: looks every `check_minutes`, beside the gateway's requests."""
    watching, stop = Watching(store, rules), asyncio.Event()
    task = asyncio.create_task(watching.keep_looking(stop)) if rules.check_minutes > 0 else None
    try:
        yield watching
    finally:
        stop.set()
        if task is not None:
            await task


async def _stopped(stop: asyncio.Event, within_s: float) -> bool:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(within_s):
            return await stop.wait()
    return False
