"""An answer in one piece that costs a model's work: made while the client is listened to, dropped when they leave."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from service.chat.listening import ClientLeft, WhileListening


class Awaited(ASGIResponse):
    """Whatever `made` gives. Its errors are raised before the first byte, and get their own status from the app."""

    __slots__ = ("_made",)

    def __init__(self, made: Callable[[], Awaitable[ASGIResponse]]) -> None:
        super().__init__(status_code=200)
        self._made = made

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with WhileListening(scope, receive):
                answer = await self._made()
        except ClientLeft:
            return
        await answer(scope, receive, send)
