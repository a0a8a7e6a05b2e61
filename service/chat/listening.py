"""Doing something for a client for as long as they are there: whoever hangs up stops what is done for them."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar.types import Receive, Scope

from service.front.hangups import SCOPE_KEY, Hangup


class ClientLeft(Exception):
    """The client hung up before its answer was whole."""


class WhileListening:
    """`async with`: cancels its body when the client hangs up, and turns that into ClientLeft.

    Only its own cancelling is turned; one from outside, at shutdown, stays what it is.
    """

    __slots__ = ("_hangup", "_left", "_receive", "_task", "_watch")

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._hangup: Hangup | None = scope.get(SCOPE_KEY)  # type: ignore[assignment]
        self._receive = receive
        self._watch: asyncio.Task[None] | None = None
        self._left = False

    async def __aenter__(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._task = task
        if self._hangup is not None:
            self._hangup.listen(self._leave)
        else:
            self._watch = asyncio.create_task(self._wait())

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if self._hangup is not None:
            self._hangup.ignore()
        elif self._watch is not None:
            self._watch.cancel()
        if self._left and self._task.uncancel() <= 0 and kind is asyncio.CancelledError:
            raise ClientLeft from error

    async def _wait(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave()

    def _leave(self) -> None:
        self._left = True
        self._task.cancel()
