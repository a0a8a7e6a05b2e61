"""Logs as JSON lines on stderr: what happened, where, how long, never what people wrote.

A record's own fields go into `extra={"fields": {...}}`. An exception's text is not logged, only its type and place,
because a library's exception may quote what it choked on.
"""

from __future__ import annotations

import datetime as dt
import logging
import sys
import time
import traceback
from collections.abc import MutableMapping
from typing import Any

import msgspec
from litestar.types import Message, Receive, Send

from feedback.mint import new_id

access = logging.getLogger("service.access")
CLIENT_LEFT = 499
"""Logged for a request whose client hung up before it was answered; never sent."""


class JsonLines(logging.Formatter):
    """One record, one line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": dt.datetime.fromtimestamp(record.created, dt.UTC),
            "level": record.levelname.lower(),
            "log": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["type"] = record.exc_info[0].__qualname__
            frames = traceback.extract_tb(record.exc_info[2])[-8:]
            line["places"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return msgspec.json.encode(line).decode()


def set_up(level: str) -> None:
    """Send every log of this process through `JsonLines`. Call once, at the entry point."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


class AccessLog:
    """Wraps the app: one line a request, with its id (also sent as a header), status, milliseconds and turn."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":  # the lifespan
            await self._app(scope, receive, send)
            return
        began, call, status, turn = time.perf_counter(), new_id("call"), CLIENT_LEFT, ""

        async def noting(message: Message) -> None:
            if message["type"] == "http.response.start":
                nonlocal status, turn
                status = message["status"]
                headers = [*message["headers"], (b"x-request-id", call.encode())]
                turn = next((value.decode() for name, value in headers if name == b"x-turn-id"), "")
                message["headers"] = headers
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            if access.isEnabledFor(logging.INFO):
                fields = {
                    "call": call,
                    "method": scope["method"],
                    "route": scope.get("path_template") or "",
                    "status": status,
                    "ms": round((time.perf_counter() - began) * 1000, 1),
                }
                access.info("request", extra={"fields": {**fields, "turn": turn} if turn else fields})
