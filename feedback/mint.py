"""Where ids and times come from: one place, so that tests can name them.

Ids are sortable by time (UUIDv7's layout, 48 bits of milliseconds first) and carry a prefix that says what they name,
so that a turn's id pasted where a run's id belongs is seen at a glance. Must never be minted anywhere else.
"""

from __future__ import annotations

import datetime as dt
import os
import time

PREFIXES = (
    "turn", "rating", "preference", "annotation", "review", "skip", "item", "lease", "gold", "guideline", "profile",
    "quarantine", "lift", "run", "cycle", "request", "call", "key", "revocation", "erasure",
)  # fmt: skip


def new_id(prefix: str) -> str:
    """A fresh id, `<prefix>-<32 hex digits>`, sortable by the millisecond in which it was minted."""
    if prefix not in PREFIXES:
        raise ValueError(f"unknown id prefix {prefix!r}, one of {PREFIXES}")
    milliseconds = time.time_ns() // 1_000_000
    return f"{prefix}-{milliseconds:012x}{_drawn()}"


def now() -> dt.datetime:
    """The current time, aware, in UTC."""
    return dt.datetime.now(dt.UTC)


_ahead: list[str] = []
"""Drawn and not yet used: asking the kernel for each id would cost more than all the rest of it."""
_AHEAD = 256
_BYTES = 10
os.register_at_fork(after_in_child=_ahead.clear)


def _drawn() -> str:
    """Random hex digits that nobody else has. Threads may mint at once: `pop` and `extend` are atomic."""
    try:
        return _ahead.pop()
    except IndexError:
        digits, length = os.urandom(_AHEAD * _BYTES).hex(), 2 * _BYTES
        last, *others = [digits[at : at + length] for at in range(0, len(digits), length)]
        _ahead.extend(others)
        return last
