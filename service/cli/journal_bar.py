"""A cycle's journal as progress bars: one line a step, for whoever waits for a cycle in a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from learner.records import STEPS, CycleState, Step

LABELS: dict[Step, str] = {
    "base": "prepare the base for training",
    "snapshot": "freeze the pool",
    "train": "train under Ray",
    "export": "merge, quantise, choose the adapter's scale",
    "evaluate": "ask champion and candidate",
    "gate": "judge",
    "register": "register",
    "deploy": "push, warm, smoke-test, swap, drain",
}
WIDTH = 78
"""Columns that a description may take."""


def new_bar(console: Console) -> Progress:
    """A bar in the one look that all of ours have."""
    columns = (TextColumn("  {task.description:<44}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


class JournalBar:
    """Shows states of one cycle; use inside `with bar.progress`."""

    def __init__(self, console: Console) -> None:
        self.progress = new_bar(console)
        self._tasks: dict[Step, TaskID] = {}

    def show(self, state: CycleState) -> None:
        """Bring the bars to what the journal says."""
        for step in STEPS:
            done = step in state.done
            if not done and step != state.step:
                continue
            if step not in self._tasks:
                self._tasks[step] = self.progress.add_task(LABELS[step], total=1.0)
            text = "" if done else str(state.progress.get("text", ""))
            # Only a finished step is full: a share that rounds to 1 must not look like one.
            share = 1.0 if done else min(float(state.progress.get("share", 0.0)), 0.999)
            self.progress.update(self._tasks[step], completed=share, description=f"{LABELS[step]} {text}"[:WIDTH])
