"""One request as operators see it: its id, where it went, how it ended, how long it waited for the upstream.

Wraps the whole app, so that what Litestar refuses before any handler runs is seen too. The call is found by a context
variable: every log line of the request carries its id, and the upstream is sent its trace. Everything here is paid by
every request, so it only keeps numbers; `meters`, `tracing` and the access log make something of them at the end.
Must never: keep a text of anybody's, or let a client choose a label of a metric.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from contextvars import ContextVar
from typing import Any, Protocol, TypeVar

from litestar.types import Message, Receive, Send

from feedback.mint import new_id
from feedback.turns import Turn
from service.callers import SCOPE_KEY

access = logging.getLogger("service.access")
straight_out: Callable[[dict[str, Any]], None] | None = None
"""Writes a request's line where nobody but `logs` wants it: a record of logging would cost a chat more than its meters
do. None: it is logged as everything else is."""

CLIENT_LEFT = 499
"""Stands for the status of a request whose client hung up before it was answered; never sent."""
REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")
"""An `X-Request-Id` that is taken over: bounded, and of characters that can't forge a log line."""
TRACEPARENT = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
TRACESTATE_LIMIT = 512
"""Bytes of a `tracestate` that is passed on; W3C asks for at least so many."""

T = TypeVar("T")


class Watcher(Protocol):
    """Whoever is told of each call once it is over: the meters, the traces."""

    def asking(self, call: Call) -> None:
        """The upstream is about to be asked; may happen several times."""

    def streaming(self, call: Call) -> None:
        """A stream has begun."""

    def over(self, call: Call) -> None:
        """Take its numbers. Must be quick: the client's connection waits."""


class Call:
    """One request on its way. Seconds are of `time.perf_counter`."""

    __slots__ = (
        "began", "lost", "method", "path", "recorded", "request_id", "route", "seconds", "span", "status", "streaming",
        "trace_headers", "turn", "upstream_s", "watchers",
    )  # fmt: skip

    def __init__(self, request_id: str, method: str, path: str, trace_headers: dict[str, str] | None = None) -> None:
        self.began = time.perf_counter()
        self.request_id = request_id
        self.method = method
        self.path = path
        """As it was asked for: for telling a dialect, never for a log."""
        self.trace_headers = trace_headers
        """`traceparent` and `tracestate`: as the client sent them, then those of our own span."""
        self.span: Any = None
        """Where traces are sent: this call's span."""
        self.route = ""
        """The route's template, `/turns/{turn_id}`; empty where there is none."""
        self.status = CLIENT_LEFT
        self.seconds = 0.0
        """From the first byte to the last; 0 until it is over."""
        self.upstream_s = 0.0
        """Of these, how many were spent waiting for the upstream."""
        self.turn: Turn | None = None
        """The turn that came of it, whole, blocked or cut; also one that is not recorded."""
        self.recorded = True
        self.lost = False
        """Answered though its turn could not be stored."""
        self.streaming = False
        self.watchers: tuple[Watcher, ...] = ()

    def became(self, turn: Turn, *, recorded: bool) -> Turn:
        """Note what came of it, and give it back."""
        self.turn, self.recorded = turn, recorded
        return turn

    def begin_stream(self) -> None:
        """Its answer is a stream, and begins."""
        self.streaming = True
        for watcher in self.watchers:
            watcher.streaming(self)

    def upstream_headers(self) -> dict[str, str] | None:
        """What a request to the upstream carries of this call: its trace, if there is one."""
        for watcher in self.watchers:
            watcher.asking(self)
        return self.trace_headers

    async def upstream(self, waiting: Awaitable[T]) -> T:
        """Await the upstream, and count how long that took."""
        began = time.perf_counter()
        try:
            return await waiting
        finally:
            self.upstream_s += time.perf_counter() - began


_CALL: ContextVar[Call | None] = ContextVar("call", default=None)


def current_call() -> Call:
    """The call that is being answered; outside of one (a health check, a test) a call of its own that nobody sees."""
    return _CALL.get() or Call("", "", "")


def current_request_id() -> str:
    """The id of the request that is being answered, or empty."""
    call = _CALL.get()
    return call.request_id if call is not None else ""


class Calls:
    """Wraps the app: gives each request its id, sends it back, tells the watchers, and logs one line."""

    def __init__(self, app: Any, *watchers: Watcher) -> None:
        self._app = app
        self._watchers = watchers

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # the lifespan
            await self._app(scope, receive, send)
            return
        call = _call_of(scope)
        call.watchers = self._watchers
        answered_id = (b"x-request-id", call.request_id.encode())

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                call.status = message["status"]
                message["headers"] = [*message["headers"], answered_id]
            await send(message)

        _CALL.set(call)
        try:
            await self._app(scope, receive, noting)
        finally:
            call.seconds = time.perf_counter() - call.began
            call.route = scope.get("path_template") or ""
            for watcher in self._watchers:
                watcher.over(call)
            if access.isEnabledFor(logging.INFO):
                caller = scope.get(SCOPE_KEY)
                line = _line(call, caller.key_id if caller is not None else "")
                if straight_out is not None:
                    straight_out(line)
                else:
                    access.info("request", extra={"fields": line})
            # A connection to the upstream keeps the context in which it was opened, and so this call: not its text.
            call.turn = None


def _call_of(scope: MutableMapping[str, Any]) -> Call:
    request_id, parent, state = "", None, None
    for name, value in scope["headers"]:
        if name == b"x-request-id" and REQUEST_ID.fullmatch(value):
            request_id = value.decode()
        elif name == b"traceparent" and TRACEPARENT.fullmatch(value):
            parent = value.decode()
        elif name == b"tracestate" and len(value) <= TRACESTATE_LIMIT and value.isascii():
            state = value.decode()
    trace = None
    if parent is not None:
        trace = {"traceparent": parent} if state is None else {"traceparent": parent, "tracestate": state}
    return Call(request_id or new_id("call"), scope["method"], scope["path"], trace)


def _line(call: Call, key_id: str) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "call": call.request_id,
        "method": call.method if call.route else "",  # of an unknown route it may be any word of the client's
        "route": call.route,
        "status": call.status,
        "ms": round(call.seconds * 1000, 1),
    }
    if call.upstream_s:
        fields["upstream_ms"] = round(call.upstream_s * 1000, 1)
    if (turn := call.turn) is not None:
        fields["version"], fields["turn_status"] = turn.version, turn.status
        if call.recorded:
            fields["turn"] = turn.turn_id
    elif key_id:  # who changed or read what; of a chat its turn says whose it was, if it may be known at all
        fields["key"] = key_id
    return fields
