"""One cycle's desk: the workshop, what earlier steps handed on, and where the run's things lie.

Everything is named after the cycle, so that a step which is entered again finds what it left.
"""

from __future__ import annotations

import threading
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from feedback.snapshot import Snapshot, load_snapshot
from learner.evaluate import Answered, AnswerFile, ask_all
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

    def ask(
        self, tag: str, questions: Sequence[Question], answers: AnswerFile, told: Callable[[int, int], None]
    ) -> list[Answered]:
        """Ask a served model what it hasn't answered in this run yet."""
        return ask_all(
            self.shop.upstream, tag, questions, answers, parallel=self.settings.evaluation_parallel, progress=told
        )


class Rounds:
    """Progress over several rounds of questions, some side by side, as one share of the step."""

    def __init__(self, desk: Desk, total: int) -> None:
        self._desk = desk
        self._total = max(total, 1)
        self._done: dict[str, int] = {}
        self._lock = threading.Lock()

    def named(self, name: str) -> Callable[[int, int], None]:
        """What one round tells its progress to."""

        def told(done: int, of: int) -> None:
            self._tell(f"{name}: {done} of {of} questions", {name: done})

        return told

    def say(self, words: str) -> None:
        self._tell(words, {})

    def _tell(self, words: str, more: dict[str, int]) -> None:
        with self._lock:
            self._done |= more
            self._desk.progress(sum(self._done.values()) / self._total, words)
