"""A cycle's journal: one durable line for each thing that happened, so that a killed cycle knows where it stood.

`learner.records` has the format and reads it back; here it is written. Opening a journal again first drops a last line
that a crash cut, or the next line would be glued to it. What must never happen: a step journalled as done before what
it handed on is durable.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, Literal

import msgspec

from feedback.errors import RatchetError
from feedback.files import append_line, drop_cut_line, whole_lines
from feedback.mint import now
from learner.records import CycleState, JournalEntry, Step, read_cycle

PROGRESS_S = 0.5
"""Least time between two lines of progress: each costs an fsync."""

Event = Literal["started", "resumed", "stopped", "step", "progress", "done", "failed", "finished"]


class Journal:
    """The journal of one cycle, for the one process that runs it."""

    def __init__(self, folder: Path, cycle: str) -> None:
        self.cycle = cycle
        self.path = folder / f"{cycle}.jsonl"
        self._progress_at = 0.0
        drop_cut_line(self.path)

    def state(self) -> CycleState:
        """The cycle as it stands."""
        return read_cycle(self.path)

    def open(self, reason: str) -> CycleState:
        """Say that the cycle starts, or goes on where it stood, and give its state."""
        if self.path.exists():
            self._write("resumed")
        else:
            self._write("started", detail={"reason": reason})
        return self.state()

    def step(self, step: Step) -> None:
        self._progress_at = 0.0
        self._write("step", step)

    def progress(self, share: float, text: str) -> None:
        """How far the step is, 0 to 1, and in words; lines that come too quickly are left out, never the last."""
        at = time.monotonic()
        if share < 1.0 and at - self._progress_at < PROGRESS_S:
            return
        self._progress_at = at
        self._write("progress", detail={"share": round(share, 4), "text": text})

    def done(self, step: Step, handed_on: dict[str, Any]) -> None:
        self._write("done", step, handed_on)

    def failed(self, error: BaseException) -> None:
        """Code, message and mend; of an unforeseen error only the type, for its text may hold what people wrote."""
        if isinstance(error, RatchetError):
            detail = {"code": error.code, "message": error.message, "mend": error.mend}
        else:
            detail = {
                "code": "internal",
                "message": f"The step failed in a way that nobody foresaw: {type(error).__qualname__}.",
                "mend": "The run's log names the place.",
            }
        self._write("failed", detail=detail)

    def stopped(self) -> None:
        """Say that the process was asked to stop: this is not a death, and doesn't count as an attempt."""
        self._write("stopped")

    def finished(self, outcome: dict[str, Any]) -> None:
        self._write("finished", detail=outcome)

    def _write(self, event: Event, step: Step | None = None, detail: dict[str, Any] | None = None) -> None:
        entry = JournalEntry(at=now(), event=event, step=step, detail=detail or {})
        append_line(self.path, msgspec.json.encode(entry))


def deaths(path: Path) -> int:
    """How often the cycle's process died without a word since it last got a step done: starts that neither ended, nor
    were stopped on request, nor got anywhere."""
    count = 0
    alive = False
    for line in whole_lines(path):
        event = msgspec.json.decode(line, type=JournalEntry).event
        if event in ("started", "resumed"):
            count += alive
            alive = True
        elif event == "done":
            count = 0
        elif event in ("failed", "finished", "stopped"):
            alive = False
    return count + alive
