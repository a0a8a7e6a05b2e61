"""One cycle's desk: the workshop, what earlier steps handed on, and where the run's things lie.

Everything is named after the cycle, so that a step which is entered again finds what it left.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from feedback.snapshot import Snapshot, load_snapshot
from learner.evaluate import Answered, ask_all
from learner.settings import LearnerSettings, RecipeSettings
from learner.suite import Question
from learner.workshop import Workshop

Handed = dict[str, Any]
"""What a step hands on: plain values, which the journal keeps."""


class Desk(msgspec.Struct, frozen=True, kw_only=True):
    """What one cycle's steps share."""

    shop: Workshop
    cycle: str
    reason: str
    done: dict[str, Handed]
    """What each finished step handed on."""
    progress: Callable[[float, str], None]
    """Share of the step, 0 to 1, and words."""

    @property
    def run(self) -> str:
        """The run's id is the cycle's under its own prefix: one run a cycle, however often it is taken up."""
        return "run-" + self.cycle.removeprefix("cycle-")

    @property
    def run_dir(self) -> Path:
        return self.shop.data_dir / "runs" / self.run

    @property
    def settings(self) -> LearnerSettings:
        return self.shop.settings

    @property
    def answers(self) -> Path:
        return self.run_dir / "answers.jsonl"

    @property
    def recipe(self) -> RecipeSettings:
        """The recipe that the run was started with, if it was: settings that changed since are for the next cycle."""
        config = self.run_dir / "config.toml"
        if not config.exists():
            return self.shop.tables.recipe
        return msgspec.convert(tomllib.loads(config.read_text("utf-8"))["recipe"], RecipeSettings)

    @property
    def snapshot_dir(self) -> Path:
        return self.shop.data_dir / "snapshots" / str(self.done["snapshot"]["snapshot"])

    def snapshot(self) -> Snapshot:
        """The cycle's snapshot, every file's hash verified."""
        return load_snapshot(self.snapshot_dir)

    def ask(self, tag: str, questions: Sequence[Question], told: Callable[[int, int], None]) -> list[Answered]:
        """Ask a served model what it hasn't answered in this run yet."""
        return ask_all(
            self.shop.upstream, tag, questions, self.answers, parallel=self.settings.evaluation_parallel, progress=told
        )


class Rounds:
    """Progress over several rounds of questions as one share of the step."""

    def __init__(self, desk: Desk, total: int) -> None:
        self._desk = desk
        self._total = max(total, 1)
        self._before = 0
        self._last = 0

    def named(self, name: str) -> Callable[[int, int], None]:
        """A new round, which goes on where the last one ended."""
        self._before += self._last
        self._last = 0

        def told(done: int, of: int) -> None:
            self._last = of
            self._desk.progress((self._before + done) / self._total, f"{name}: {done} of {of} questions")

        return told

    def say(self, words: str) -> None:
        self._desk.progress((self._before + self._last) / self._total, words)
