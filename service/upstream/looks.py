"""Looking at each host from time to time: does it answer, and which models has it?

One question (`GET /api/tags`) tells both. A host that refuses is down at once; one that is only slow gets a second
look, because a busy machine is no dead one. Every change is logged, once.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from feedback.errors import RatchetError, UpstreamDown
from service.upstream.host import Host

log = logging.getLogger(__name__)

DOWN_CHECK_S = 1.0
"""Seconds between looks while a host is down."""
AGAIN_AFTER_S = 0.25
"""Least time between two looks that requests ask for."""
MISSES = 2
"""Looks without an answer after which a host counts as down."""


class Looks:
    """What looks at the hosts."""

    def __init__(
        self,
        hosts: Sequence[Host],
        models: Callable[[Host], Awaitable[list[str]]],
        changed: Callable[[], None],
        check_s: float,
    ) -> None:
        """`models` asks a host; `changed` is called after each look, since somebody may wait for what it found."""
        self._hosts = hosts
        self._models = models
        self._changed = changed
        self._check_s = check_s
        self._misses: dict[Host, int] = {}
        self._looked_at = float("-inf")
        self._sooner = asyncio.Event()
        self._end = asyncio.Event()
        self._looking = asyncio.Lock()

    async def watch(self) -> None:
        """Look until `stop`."""
        while not self._end.is_set():
            await self.look()
            if not all(host.up for host in self._hosts):
                await _happened(self._end, min(DOWN_CHECK_S, self._check_s))
            elif await _happened(self._sooner, self._check_s):
                self._sooner.clear()
                await _happened(self._end, min(DOWN_CHECK_S, self._check_s))

    def stop(self) -> None:
        """Have `watch` end after the look under way: one cancelled in the middle of connecting leaves a socket open."""
        self._end.set()
        self._sooner.set()

    async def look(self) -> None:
        """Look at every host now."""
        async with self._looking:
            await asyncio.gather(*(self._look_at(host) for host in self._hosts))
            self._looked_at = time.monotonic()
        self._changed()

    async def look_again(self) -> None:
        """Look now, unless somebody just did: a request asks for what is not known, or how things are."""
        asked_at = time.monotonic()
        async with self._looking:
            fresh = self._looked_at > asked_at - AGAIN_AFTER_S
        if not fresh:
            await self.look()

    def went_down(self, host: Host) -> None:
        """A request found nobody there: others go elsewhere until a look finds it up again."""
        host.answered = False
        if host.up:
            host.up = False
            log.warning("upstream-down", extra={"fields": {"host": host.name}})
            self._sooner.set()

    async def _look_at(self, host: Host) -> None:
        try:
            models = await self._models(host)
        except RatchetError as error:
            host.answered = False
            self._misses[host] = self._misses.get(host, 0) + 1
            if isinstance(error, UpstreamDown) or self._misses[host] >= MISSES:
                self.went_down(host)
            return
        self._misses[host] = 0
        if not host.up:
            log.info("upstream-up", extra={"fields": {"host": host.name, "models": len(models)}})
        host.seen(models)


async def _happened(event: asyncio.Event, within_s: float) -> bool:
    """Wait for an event; False where it did not come in time."""
    try:
        async with asyncio.timeout(within_s):
            return await event.wait()
    except TimeoutError:
        return False
