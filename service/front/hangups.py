"""Hearing that a client has hung up: from its connection, and not by a task of each request's own that waits for it.

ASGI tells it only to who calls `receive` and waits, which for a chat means one more task, made and then cancelled.
uvicorn's protocol knows at once, and this one passes it on. Where another server runs the app there is no `Hangup` in
the scope, and whoever wants to hear of one waits as ASGI has it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

SCOPE_KEY = "ratchet.hangup"


class Hangup:
    """Of one connection. Its requests come one after another, so one listener is enough."""

    __slots__ = ("_resume", "_told", "gone")

    def __init__(self, resume: Callable[[], None]) -> None:
        """`resume` lets the connection be read: where reading pauses, a hang-up is not seen."""
        self.gone = False
        self._resume = resume
        self._told: Callable[[], None] | None = None

    def listen(self, told: Callable[[], None]) -> None:
        """From now on, `told` is called once the client has gone; at once where it has gone already."""
        if self.gone:
            told()
            return
        self._told = told
        self._resume()

    def ignore(self) -> None:
        """Nobody wants to know any more."""
        self._told = None

    def happened(self) -> None:
        self.gone = True
        if self._told is not None:
            self._told()


class Protocol(HttpToolsProtocol):
    """uvicorn's, with a `Hangup` in every request's scope."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._hangup = Hangup(self.flow.resume_reading)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: dict[str, Any] = self.scope  # type: ignore[assignment]
        scope[SCOPE_KEY] = self._hangup

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._hangup.happened()
