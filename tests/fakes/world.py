"""A small world for whole cycles: real files and a real upstream process, and heavy steps that are light.

Nothing here nods: training writes an adapter and finds it again, merging writes a GGUF, the pool is frozen into a real
snapshot, and the model behind the fake Ollama answers by what it "learnt", so that scores come from answers.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from feedback.files import replace_file, sha256_file
from feedback.settings import PoolSettings, StoreSettings
from feedback.snapshot import HeldoutItem, Origin, Parents, SftRow, SnapshotRows, write_snapshot
from feedback.turns import Message
from learner.cycle import Steps
from learner.desk import Desk, Handed
from learner.records import Step
from learner.runs import Progress, TrainingJob, TrainingResult
from learner.settings import LearnerSettings, RecipeSettings
from learner.steps import STEP_FUNCTIONS
from learner.suite import Name, SuiteItem, load_suite
from learner.upstream import Upstream
from learner.workshop import LearnerTables, Parts, Workshop
from tests.fakes.learner import write_gguf

HELDOUT = 12
LEARNT = "The harbour office opens at 7:40."


def short_suite(name: Name) -> list[SuiteItem]:
    """The suite's first dozen: a cycle's tests want few questions."""
    return load_suite(name)[:12]


NAMES: tuple[Name, ...] = ("general", "general-validation")
ANSWERS = {item.question: item.accept[0] for name in NAMES for item in short_suite(name)}


class SmallBase(msgspec.Struct, frozen=True, kw_only=True):
    folder: Path
    sha256: str
    tokenizer_file: Path


class Killed(BaseException):
    """The process dies here, as far as the cycle can tell."""


def tables_of(folder: Path, upstream_url: str, **changed: Any) -> LearnerTables:
    """Settings for a data folder, with a base model in it."""
    base = folder / "base.gguf"
    if not base.exists():
        write_gguf(base, "base")
    learner = LearnerSettings(
        upstream_url=upstream_url, base_gguf=str(base), cache_dir=folder / "cache", drain_timeout_s=2.0,
        warm_timeout_s=5.0, **{"adapter_scales": [1.0, 0.6], **changed},
    )  # fmt: skip
    return LearnerTables(store=StoreSettings(data_dir=folder / "data"), learner=learner, recipe=RecipeSettings())


def workshop(tables: LearnerTables, upstream: Upstream) -> Workshop:
    """A workshop whose heavy parts are light."""
    parts = Parts(
        prepare_base=prepare_base, train=train, merge=merge, freeze=freezer(tables.store.data_dir), suite=short_suite
    )  # fmt: skip
    return Workshop(tables=tables, parts=parts, upstream=upstream)


def prepare_base(gguf: Path, cache_dir: Path) -> SmallBase:
    folder = cache_dir / "bases" / "small"
    replace_file(folder / "tokenizer.json", b"{}")
    return SmallBase(folder=folder, sha256=sha256_file(gguf), tokenizer_file=folder / "tokenizer.json")


def train(job: TrainingJob, progress: Callable[[Progress], None]) -> TrainingResult:
    """Three steps with a checkpoint each; a run that is taken up goes on from the last one."""
    replace_file(job.run_dir / "config.toml", b"[recipe]\nseed = 17\n")
    checkpoint = job.run_dir / "checkpoint"
    begun = int(checkpoint.read_text()) if checkpoint.exists() else 0
    for step in range(begun + 1, 4):
        replace_file(checkpoint, str(step).encode())
        progress(Progress(step=step, of=3, epoch=1, loss=1.0 / step))
    replace_file(job.run_dir / "adapter" / "adapter_model.safetensors", job.run_id.encode())
    return TrainingResult(
        adapter_dir=job.run_dir / "adapter", steps=3, epochs=1, best_epoch=1, first_validation_loss=2.0,
        best_validation_loss=1.0, train_tokens=100, seconds=1.0, tokens_per_s=100.0, rows=8, validation_rows=3,
        replay_rows=2, left_out={}, stopped="epochs", attempts=1, device="cpu", precision="fp32",
    )  # fmt: skip


def merge(base_gguf: Path, adapter_dir: Path, scale: float, out: Path, quantisation: str) -> None:
    """A GGUF that is told apart by adapter and scale; the same every time."""
    write_gguf(out, f"{(adapter_dir / 'adapter_model.safetensors').read_text()} {scale} {quantisation}")


def freezer(data_dir: Path) -> Callable[[Path, Sequence[str], str], dict[str, Any]]:
    """Freezes a small pool for real."""

    def freeze(tokenizer: Path, guard: Sequence[str], base_model: str) -> dict[str, Any]:
        assert guard
        origin = Origin(
            created_at=dt.datetime.now(dt.UTC), rules=PoolSettings(), tokenizer=sha256_file(tokenizer),
            base_model=base_model, parents=Parents(turns=40, ratings=30, annotations=20),
        )  # fmt: skip
        manifest = write_snapshot(data_dir / "snapshots", small_pool(), origin)
        return msgspec.to_builtins(manifest)  # type: ignore[no-any-return]

    return freeze


def small_pool() -> SnapshotRows:
    def row(kind: str, number: int) -> dict[str, Any]:
        return {
            "turn_id": f"turn-{kind}-{number:03d}", "conversation_id": f"conversation-{kind}-{number}",
            "messages": [Message(role="user", content=f"({kind} {number}) When does the harbour office open?")],
            "judged_by": "annotator", "version": "1.0.0",
        }  # fmt: skip

    def sft(kind: str, number: int) -> SftRow:
        return SftRow(
            row_id=f"sft-{kind}-{number}", reply=LEARNT, source="correction", weight=1.0, tokens=30,
            **row(kind, number),
        )  # fmt: skip

    return SnapshotRows(
        train=[sft("train", number) for number in range(8)],
        validation=[sft("validation", number) for number in range(3)],
        heldout=[
            HeldoutItem(reference=LEARNT, accept=["7:40"], reply="I don't know.", **row("heldout", number))
            for number in range(HELDOUT)
        ],
    )


def answers(model: str, messages: list[dict[str, Any]]) -> str:
    """What each model says: all know the general answers; trained ones know the harbour office as well, and forget the
    half of what they knew where the adapter counts in full."""
    question = str(messages[-1]["content"])
    if question.startswith("("):
        return "I don't know." if model == "assistant:1.0.0" else LEARNT
    if model.endswith("-s100") and len(question) % 2:
        return "I forgot."
    return ANSWERS.get(question, "I am a small test.")


def dying(step: Step, when: str, die: Callable[[], None]) -> Steps:
    """The real steps, of which one dies: on entry (`before`), or with its work done but not journalled (`after`)."""

    def died(desk: Desk) -> Handed:
        if when == "before":
            die()
        handed = STEP_FUNCTIONS[step](desk)
        die()
        return handed

    return {**STEP_FUNCTIONS, step: died}
