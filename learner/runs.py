"""A run: one training, and the folder that remembers it. Formats only: importing this costs nothing.

    runs/<id>/
      config.toml        the recipe as used, and the parents: base and snapshot
      log.jsonl          what happened: started, resumed, checkpoint, stopped, finished
      metrics.jsonl      one Progress a line; after a resume some steps stand twice, and the later line counts
      checkpoints/       where a killed run goes on (learner.checkpoints)
      adapter/           the trained adapter, in PEFT's format
      result.json        written last: the run is finished, and asking for it again answers at once

Must never be continued under another recipe, base or snapshot than it was started with.
"""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from feedback.errors import Conflict, CycleFailed
from feedback.files import append_line, replace_file, whole_lines
from feedback.mint import now
from learner.settings import RecipeSettings

FORMAT = 1


class TrainingFailed(CycleFailed):
    code = "training-failed"


class RunMismatch(Conflict):
    code = "run-mismatch"


class TrainingJob(msgspec.Struct, frozen=True, kw_only=True):
    """One fine-tune to do. On a cluster every path must lie on storage that all nodes share."""

    run_id: str
    run_dir: Path
    base: Path
    """Folder of the converted base (`learner.base.prepare_base(...).folder`)."""
    snapshot: Path
    """Folder of the snapshot."""
    recipe: RecipeSettings


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """Where a training stands. One is reported for each step, and one more at each epoch's end."""

    step: int
    """Optimiser steps done."""
    of: int
    """Steps that the epochs give; fewer are done where validation stops improving."""
    epoch: int
    """Epochs begun, from 1; 0 before the first step."""
    loss: float | None = None
    """Mean loss of the step's reply tokens, nats; none where no step was done."""
    learning_rate: float = 0.0
    tokens_per_s: float = 0.0
    """Row tokens (prompt and reply) per second since the run began, time spent dead not counted."""
    validation_loss: float | None = None
    """Mean loss of the validation rows' reply tokens, nats; given at an epoch's end and before the first step."""

    @property
    def share(self) -> float:
        """How much is done, 0 to 1."""
        return self.step / self.of if self.of else 1.0


class TrainingResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a finished run made; `result.json` holds it with the adapter's folder relative to the run's."""

    format: int = FORMAT
    adapter_dir: Path
    steps: int
    epochs: int
    """Epochs begun."""
    best_epoch: int
    """The epoch whose adapter was kept; 0: the untrained one (no step was asked for)."""
    first_validation_loss: float | None
    """Before the first step; none where the snapshot has no validation rows."""
    best_validation_loss: float | None
    train_tokens: int
    """Row tokens trained on, every epoch counted."""
    seconds: float
    """Spent training and validating, over all attempts; without Ray's start and the model's loading."""
    tokens_per_s: float
    rows: int
    """Training rows from the snapshot."""
    validation_rows: int
    replay_rows: int
    left_out: dict[str, int]
    """Rows of the snapshot left out, by reason (`learner.tokens.Reason`)."""
    stopped: Literal["epochs", "patience", "max-steps"]
    attempts: int
    """Times that a worker began or took up this run."""
    device: str
    precision: str


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """`failure.json`: why a run can't be finished, however often it is taken up."""

    code: str
    message: str
    mend: str


def metrics_file(run_dir: Path) -> Path:
    return run_dir / "metrics.jsonl"


def log_event(run_dir: Path, event: str, **detail: Any) -> None:
    """Append one event to the run's log. Never people's text."""
    line = {"at": now().isoformat(), "event": event, **detail}
    append_line(run_dir / "log.jsonl", json.dumps(line, ensure_ascii=False).encode())


def read_log(run_dir: Path) -> list[dict[str, Any]]:
    """The run's events, oldest first."""
    return [json.loads(line) for line in whole_lines(run_dir / "log.jsonl")]


def open_run(job: TrainingJob, base_sha256: str) -> None:
    """Make the run's folder, or check that it is this job's. Raises RunMismatch."""
    config = _toml(
        {
            "run": {"id": job.run_id, "base_sha256": base_sha256, "snapshot": job.snapshot.name},
            "recipe": msgspec.to_builtins(job.recipe),
        }
    )
    path = job.run_dir / "config.toml"
    if not path.exists():
        replace_file(path, config.encode())
        return
    before, asked = tomllib.loads(path.read_text("utf-8")), tomllib.loads(config)
    changed = sorted(
        f"{table}.{key}"
        for table in before.keys() | asked.keys()
        for key in before.get(table, {}).keys() | asked.get(table, {}).keys()
        if before.get(table, {}).get(key) != asked.get(table, {}).get(key)
    )
    if changed:
        raise RunMismatch(
            f"The run {job.run_id} was started otherwise: {', '.join(changed)} differ.",
            "Start a new run, or ask for this one as its config.toml says.",
        )


def write_result(run_dir: Path, result: TrainingResult) -> None:
    """Write result.json: the run is finished."""
    body = msgspec.to_builtins(result, enc_hook=_path_out) | {"adapter_dir": result.adapter_dir.name}
    replace_file(run_dir / "result.json", json.dumps(body, indent=2).encode())


def read_result(run_dir: Path) -> TrainingResult | None:
    """The result of a finished run; none while it isn't. Raises the failure of one that can't be finished."""
    try:
        body = json.loads((run_dir / "result.json").read_bytes())
    except FileNotFoundError:
        _raise_failure(run_dir)
        return None
    return msgspec.convert(
        body | {"adapter_dir": str(run_dir / body["adapter_dir"])}, TrainingResult, dec_hook=_path_in
    )


def write_failure(run_dir: Path, failure: Failure) -> None:
    """Write failure.json: taking the run up again would fail again."""
    replace_file(run_dir / "failure.json", msgspec.json.format(msgspec.json.encode(failure), indent=2))


def _raise_failure(run_dir: Path) -> None:
    path = run_dir / "failure.json"
    if path.exists():
        failure = msgspec.json.decode(path.read_bytes(), type=Failure)
        raise TrainingFailed(f"{failure.message} ({failure.code})", failure.mend)


def _path_out(value: Any) -> str:
    return str(os.fspath(value))


def _path_in(kind: type, value: Any) -> Any:
    if kind is Path:
        return Path(value)
    raise TypeError(f"no result may hold a {kind}")


def _toml(tables: dict[str, dict[str, Any]]) -> str:
    """Flat tables of strings, numbers and booleans as TOML: JSON writes each of these the way TOML reads it."""
    lines: list[str] = []
    for table, values in tables.items():
        lines += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items()), ""]
    return "\n".join(lines)
