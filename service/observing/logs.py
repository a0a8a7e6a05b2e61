"""Logs as JSON lines on stderr: what happened, where, how long, never what people wrote.

A record's own fields go into `extra={"fields": {...}}`; a request's id, `call`, stands in every line of it. An
exception's text is not logged, only its type and place, because a library's exception may quote what it choked on.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import traceback
from typing import Any

import msgspec

from service.observing import calls
from service.observing.calls import current_request_id

STDERR = 2
"""Its file descriptor."""
LINE_ENDS = {code: f"\\u{code:04x}" for code in (*range(0x7F, 0xA0), 0x2028, 0x2029)}
"""JSON leaves them as they are, and some readers take them for the end of a line."""


class JsonLines(logging.Formatter):
    """One record, one line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "at": dt.datetime.fromtimestamp(record.created, dt.UTC),
            "level": record.levelname.lower(),
            "log": record.name,
            "event": record.getMessage(),
        }
        if call := current_request_id():
            line["call"] = call
        line.update(getattr(record, "fields", {}))
        if record.exc_info and record.exc_info[0] is not None:
            line["type"] = record.exc_info[0].__qualname__
            frames = traceback.extract_tb(record.exc_info[2])[-8:]
            line["places"] = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        return msgspec.json.encode(line).decode().translate(LINE_ENDS)


class Stderr(logging.Handler):
    """Writes each line at once and whole, with one call: nothing is buffered that a crash could take along, so there is
    nothing to flush and no lock to take. A line a request is written this way."""

    def handle(self, record: logging.LogRecord) -> bool:
        _write(self.format(record).encode("utf-8", "backslashreplace"))
        return True


def set_up(level: str) -> None:
    """Send every log of this process through `JsonLines`. Call once, at the entry point."""
    handler = Stderr()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    calls.straight_out = _write_access


def _write_access(fields: dict[str, Any]) -> None:
    """A request's line, as the formatter would have it."""
    line = {"at": dt.datetime.now(dt.UTC), "level": "info", "log": calls.access.name, "event": "request", **fields}
    _write(msgspec.json.encode(line))


def _write(line: bytes) -> None:
    with contextlib.suppress(OSError):  # nobody reads it any more: no reason to fail a request
        os.write(STDERR, line + b"\n")
