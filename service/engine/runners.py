"""Models in memory: loaded when first asked for, once for all who ask at the same time, and let go when idle.

A runner is one child process (see `llama`) for one file of weights, whatever tags name it. Whoever asks something of it
holds a lease; a runner without leases goes when its keep_alive is over. Must never end a runner that is leased: a reply
cut short without an error would become a training sample. All bookkeeping happens on the event loop, between awaits.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import math
from collections.abc import AsyncIterator

import aiohttp

from feedback import mint
from service.engine.library import Model
from service.engine.refusal import Refusal
from service.engine.runner import Runner
from service.settings import EngineSettings

LOADED_GRACE_S = 5.0
"""How long a model that nobody waits for any more stays at least, once loaded."""
FOR_EVER = dt.timedelta(days=100 * 365)
"""How far away `expires_at` is said to be where it is never."""


class Runners:
    """All loaded models. Use it as a context: it ends its children."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._session: aiohttp.ClientSession | None = None
        self._runners: dict[str, Runner] = {}
        """By the digest of their weights."""
        self._loading: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[Runner, asyncio.TimerHandle] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Runners:
        # A connection for each call: an idle one kept open would hold one of llama.cpp's few HTTP threads.
        connector = aiohttp.TCPConnector(force_close=True, limit=0)
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=10.0)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False)
        return self

    async def __aexit__(self, *_: object) -> None:
        for load in list(self._loading.values()):
            load.cancel()
        await asyncio.gather(*self._loading.values(), return_exceptions=True)
        for timer in self._timers.values():
            timer.cancel()
        for runner in list(self._runners.values()):
            self._end(runner)
        await asyncio.gather(*self._ending)
        if self._session is not None:
            await self._session.close()

    @contextlib.asynccontextmanager
    async def lease(self, model: Model, keep_alive_s: float | None) -> AsyncIterator[Runner]:
        """The model's runner, loaded if need be, and kept while the context lasts.

        `keep_alive_s` is for how long it stays afterwards; None leaves that as it was. Raises Refusal (500) where the
        model can't be loaded.
        """
        while (runner := self._runners.get(model.weights_digest)) is None:
            await asyncio.shield(self._load_of(model))
        runner.leases += 1
        runner.name, runner.model = model.name.short, model
        if keep_alive_s is not None:
            runner.keep_alive_s = keep_alive_s
        if timer := self._timers.pop(runner, None):
            timer.cancel()
        try:
            yield runner
        finally:
            runner.leases -= 1
            if runner.broken:
                self._forget(runner)
            if not runner.leases:
                self._expire_in(runner, 0.0 if runner.broken else runner.keep_alive_s)

    async def unload(self, weights_digest: str) -> None:
        """Let a model go: at once where it is idle, else when its last reply has ended."""
        runner = self._runners.get(weights_digest)
        if runner is None:
            return
        runner.keep_alive_s = 0.0
        if not runner.leases:
            await self._end(runner)

    def loaded(self) -> list[Runner]:
        """The loaded models, the one that stays longest first."""
        self._touch_expiry()
        return sorted(self._runners.values(), key=lambda runner: runner.expires_at, reverse=True)

    # ------------------------------------------------------------------------------------------------------------

    def _load_of(self, model: Model) -> asyncio.Task[None]:
        digest = model.weights_digest
        if digest not in self._loading:
            task = asyncio.create_task(self._load(model))
            # Read the exception even where everybody who waited has left, or asyncio complains.
            task.add_done_callback(lambda done: None if done.cancelled() else done.exception())
            task.add_done_callback(lambda _: self._loading.pop(digest, None))
            self._loading[digest] = task
        return self._loading[digest]

    async def _load(self, model: Model) -> None:
        if self._session is None:
            raise Refusal(500, "the engine is not running")
        runner = await Runner.start(model, self._settings, self._session)
        self._runners[model.weights_digest] = runner
        self._expire_in(runner, max(runner.keep_alive_s, LOADED_GRACE_S))
        self._keep(asyncio.create_task(self._watch(runner)))

    async def _watch(self, runner: Runner) -> None:
        """Forget a runner whose process has ended by itself, so that the next request loads it anew."""
        await runner.ended()
        runner.broken = True
        self._forget(runner)

    def _expire_in(self, runner: Runner, seconds: float) -> None:
        runner.expires_at = mint.now() + (FOR_EVER if math.isinf(seconds) else dt.timedelta(seconds=seconds))
        if seconds <= 0:
            self._end(runner)
        elif not math.isinf(seconds):
            loop = asyncio.get_running_loop()
            self._timers[runner] = loop.call_later(seconds, self._end, runner)

    def _touch_expiry(self) -> None:
        for runner in self._runners.values():
            if runner.leases:
                seconds = min(runner.keep_alive_s, FOR_EVER.total_seconds())
                runner.expires_at = mint.now() + dt.timedelta(seconds=seconds)

    def _forget(self, runner: Runner) -> None:
        if timer := self._timers.pop(runner, None):
            timer.cancel()
        if self._runners.get(runner.digest) is runner:
            del self._runners[runner.digest]

    def _end(self, runner: Runner) -> asyncio.Task[None]:
        """Take a runner out of use, now, and end its process, soon. Only for one without leases, or at the very end."""
        self._forget(runner)
        return self._keep(asyncio.create_task(runner.stop()))

    def _keep(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
        return task
