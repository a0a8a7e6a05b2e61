"""Asking, sending, storing: the one order of steps that both dialects share.

    ask the upstream ─► send each piece at once ─► store the turn, wait for its commit ─► send what ends the answer

A client that leaves stops the upstream at once and its turn is kept as `cut`; so is one whose upstream broke. An answer
whose turn could not be made durable ends in an error. Must never: send the last chunk before the commit, leave the
upstream running for nobody, or let a broken answer look whole.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future

from litestar.response.base import ASGIResponse
from litestar.types import Receive, Scope, Send

from feedback.errors import RatchetError, UpstreamBroke
from feedback.turns import Status, Turn
from service.chat.asked import Piece, Voice
from service.chat.exchange import Exchange
from service.chat.keeping import Keeping
from service.chat.listening import ClientLeft, WhileListening
from service.chat.replay import beside_the_text
from service.commits import committed
from service.errors import failure_of, log_unforeseen
from service.idempotency import NO_KEY, Once
from service.observing.calls import current_call
from service.upstream.client import Upstream
from service.upstream.reply import UpstreamReply
from service.words.book import WordBook

log = logging.getLogger(__name__)

JSON = "application/json"


class Wire:
    """The client's end. Headers go out with the first bytes, so that what fails before them has its own status."""

    def __init__(self, exchange: Exchange, voice: Voice, send: Send) -> None:
        self.started = False
        self._exchange = exchange
        self._voice = voice
        self._send = send

    async def say(self, piece: Piece) -> None:
        """Pass a piece on at once, to a client that takes a stream."""
        if self._exchange.asked.stream and piece:
            if not self.started:
                await self._start(self._voice.stream_type)
            await self._send({"type": "http.response.body", "body": self._voice.piece(piece), "more_body": True})

    async def end(self) -> None:
        """What ends the answer, or all of it at once."""
        ended = self._exchange.end()
        if self._exchange.asked.stream:
            await self._start(self._voice.stream_type)
            await self._body(self._voice.last(ended), more=False)
            return
        body = self._voice.whole(self._exchange.said, ended)
        await self._start(JSON, length=len(body))
        await self._body(body, more=False)

    async def fail(self, error: BaseException) -> None:
        """An error inside a stream that has begun."""
        await self._body(self._voice.broken(failure_of(error)), more=False)

    async def _start(self, content_type: str, length: int | None = None) -> None:
        if self.started:
            return
        self.started = True
        exchange = self._exchange
        if exchange.asked.stream:
            current_call().begin_stream()
        headers = [
            (b"content-type", content_type.encode()),
            (b"x-conversation-id", exchange.conversation_id.encode()),
            (b"cache-control", b"no-store"),
        ]
        if exchange.asked.draft is None:  # a draft does not say whose it is
            headers.append((b"x-model-version", (exchange.served.version or exchange.served.tag).encode()))
        recorded = (b"x-turn-id", exchange.turn_id.encode()) if exchange.recorded else (b"x-recorded", b"false")
        headers.append(recorded)
        if length is not None:
            headers.append((b"content-length", str(length).encode()))
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _body(self, data: bytes, *, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": more})


class ChatAnswer(ASGIResponse):
    """The answer to a chat, as an ASGI application of its own, since only it can hear the client leave."""

    __slots__ = ("_exchange", "_keeping", "_once", "_spent", "_upstream", "_voice", "_words")

    def __init__(
        self,
        exchange: Exchange,
        voice: Voice,
        upstream: Upstream,
        keeping: Keeping,
        words: WordBook,
        spent: Callable[[int], None],
        once: Once = NO_KEY,
    ) -> None:
        """`spent` is told of the tokens that it cost, once. `once` is the request's claim on its key."""
        # Not `super().__init__`, which makes headers for a body: this answer has its own.
        self._spent = spent
        self._once = once
        self._words = words
        self._exchange = exchange
        self._voice = voice
        self._upstream = upstream
        self._keeping = keeping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Deliver. Errors before the first byte are raised, and get their own status from the app's handler."""
        wire = Wire(self._exchange, self._voice, send)
        try:
            with self._once:
                await self._deliver(wire, scope, receive)
        except ClientLeft:
            return
        except Exception as error:  # a stream that has begun can only be ended; nothing may escape into the server
            if not wire.started:
                raise
            if not isinstance(error, RatchetError):
                log_unforeseen(error)
            await wire.fail(error)

    async def _deliver(self, wire: Wire, scope: Scope, receive: Receive) -> None:
        exchange = self._exchange
        if exchange.blocked:
            await wire.say(exchange.refuse())
            await self._keeping.kept(exchange, self._keep_whole())
        else:
            await self._converse(wire, scope, receive)
        await wire.end()

    async def _converse(self, wire: Wire, scope: Scope, receive: Receive) -> None:
        """Ask, pass on, store. Raises ClientLeft, UpstreamDown, UpstreamRefused; UpstreamBroke once the cut is kept."""
        reply: UpstreamReply | None = None
        call, exchange = current_call(), self._exchange
        try:
            async with WhileListening(scope, receive):
                tag, body = exchange.served.tag, exchange.upstream_body()
                reply = await call.upstream(self._upstream.chat(tag, body, f"/api/{exchange.asked.route}"))
                while not exchange.ended:
                    began = time.perf_counter()  # as `call.upstream` does, without one more coroutine for each chunk
                    try:
                        chunks = await reply.read()
                    finally:
                        call.upstream_s += time.perf_counter() - began
                    await wire.say(exchange.hear(chunks))
            if self._exchange.blocked:
                reply.close()
            stored = self._keep_whole()
            await reply.finish()  # while the commit is under way
            await self._keeping.kept(self._exchange, stored)
        except (ClientLeft, asyncio.CancelledError):
            if not self._exchange.ended:
                self._keep_cut()
            raise
        except UpstreamBroke:
            if wire.started:  # else the failure still gets a status of its own
                await wire.say(self._exchange.break_off())
            await committed(self._keep_cut())
            raise
        finally:
            if reply is not None:
                reply.close()

    def _keep_whole(self) -> Future[None]:
        self._note_hits()
        turn = self._became(self._exchange.status)
        if not self._exchange.recorded:
            return _nothing()
        if self._once is NO_KEY:
            return self._keeping.add(turn)
        keyed = self._once.row(turn.turn_id, turn.turn_id, beside_the_text(self._exchange.said))
        return self._once.until(self._keeping.add(turn, keyed))

    def _keep_cut(self) -> Future[None]:
        """Hand the cut turn to the writer without waiting: also done while the task is being cancelled."""
        self._note_hits()
        turn = self._became("cut")
        if not self._exchange.recorded:
            return _nothing()
        stored = self._keeping.add(turn)
        stored.add_done_callback(lambda future: _log_lost(self._exchange.turn_id, future))
        return stored

    def _became(self, status: Status) -> Turn:
        """The turn, also told to whoever counts."""
        turn = self._exchange.turn(status)
        self._spent(tokens_of(turn))
        return current_call().became(turn, recorded=self._exchange.recorded)

    def _note_hits(self) -> None:
        exchange = self._exchange
        if not exchange.hit:
            return
        if not exchange.recorded:
            self._words.statistics.add(exchange.hits("out"))
            return
        self._words.note(exchange.hits("out"), exchange.hit_texts("out"), turn=exchange.turn_id)


def tokens_of(turn: Turn) -> int:
    """What a turn cost, prompt and reply. A cut one was not counted by the upstream: some four bytes to a token."""
    if turn.prompt_tokens is not None or turn.reply_tokens is not None or turn.status != "cut":
        return (turn.prompt_tokens or 0) + (turn.reply_tokens or 0)
    return sum(len(text.encode()) for text in (turn.reply, *(message.content for message in turn.messages))) // 4


def _nothing() -> Future[None]:
    """What is not recorded waits for no commit."""
    done: Future[None] = Future()
    done.set_result(None)
    return done


def _log_lost(turn_id: str, stored: Future[None]) -> None:
    if stored.cancelled() or (error := stored.exception()) is None:
        return
    code = error.code if isinstance(error, RatchetError) else type(error).__qualname__
    log.error("cut-turn-lost", extra={"fields": {"turn": turn_id, "code": code}})
