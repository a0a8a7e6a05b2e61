"""What one training worker does: read the snapshot, make token rows, train, and leave the run's files.

The seam between Ray and the loop: `train_worker` is what Ray calls, `work` is the same without Ray. Only the worker of
rank 0 writes, and it holds the run's lock while it lives: a worker whose driver was killed may outlive it by seconds,
and two must never write one run.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from feedback.errors import RatchetError
from feedback.files import append_line
from feedback.snapshot import SftRow, load_snapshot
from learner.base import read_base
from learner.model import Place, choose_precision, save_adapter
from learner.replay import replay_samples
from learner.runs import (
    Failure,
    Progress,
    TrainingFailed,
    TrainingJob,
    TrainingResult,
    log_event,
    metrics_file,
    write_failure,
    write_result,
)
from learner.tokens import ChatTokens, Sample, TokenRows
from learner.training import Outcome, Plan, train

LOCK_WAIT_S = 120.0


class Material(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of a run, in tokens."""

    train: TokenRows
    replay: TokenRows
    validation: TokenRows

    @property
    def left_out(self) -> dict[str, int]:
        """Rows of the snapshot that can't be learnt from, by reason."""
        reasons = sorted(self.train.left_out.keys() | self.validation.left_out.keys())
        return {
            reason: self.train.left_out.get(reason, 0) + self.validation.left_out.get(reason, 0) for reason in reasons
        }


def train_worker(config: dict[str, str | int]) -> None:
    """Ray's entry: `config` holds the job as JSON, the device and the CPUs of this worker."""
    import ray.train
    import torch

    context = ray.train.get_context()
    torch.set_num_threads(int(config["cpus"]))
    device = str(config["device"])
    job = decode_job(str(config["job"]))
    place = Place(
        rank=context.get_world_rank(),
        workers=context.get_world_size(),
        device=device,
        precision=choose_precision(job.recipe.precision, device),
    )

    def tell(progress: Progress) -> None:
        if progress.validation_loss is not None:  # on every worker at once: Ray makes them wait for one another
            ray.train.report({"step": progress.step, "epoch": progress.epoch, "validation": progress.validation_loss})

    work(job, place, tell)


def work(job: TrainingJob, place: Place, tell: Callable[[Progress], None]) -> None:
    """Do the job, or go on with it, and leave adapter/ and result.json, or failure.json where it can't be done."""
    with _lock(job.run_dir, place):
        try:
            _work(job, place, tell)
        except RatchetError as error:
            if place.rank == 0:  # trying again would end the same way
                write_failure(job.run_dir, Failure(code=error.code, message=error.message, mend=error.mend))


def prepare_rows(job: TrainingJob) -> Material:
    """Read the snapshot and make token rows, with general data mixed in."""
    tokens, snapshot, recipe = ChatTokens.load(job.base), load_snapshot(job.snapshot), job.recipe
    found = Material(
        train=tokens.encode_all(map(_sample, snapshot.sft("train")), recipe.max_tokens),
        validation=tokens.encode_all(map(_sample, snapshot.sft("validation")), recipe.max_tokens),
        replay=TokenRows(),
    )
    if not found.train.rows:
        raise TrainingFailed(
            f"No training row is left of the snapshot {job.snapshot.name}: {found.left_out}.",
            "Raise recipe.max_tokens, or collect more ratings.",
        )
    replay = replay_samples(len(found.train.rows), recipe.replay_share, recipe.seed)
    return msgspec.structs.replace(found, replay=tokens.encode_all(replay, recipe.max_tokens))


def encode_job(job: TrainingJob) -> str:
    """A job as JSON, paths absolute."""
    return msgspec.json.encode(job, enc_hook=lambda path: str(path.resolve())).decode()


def decode_job(text: str) -> TrainingJob:
    return msgspec.json.decode(text, type=TrainingJob, dec_hook=lambda kind, value: kind(value))


def _work(job: TrainingJob, place: Place, tell: Callable[[Progress], None]) -> None:
    writes, run_dir = place.rank == 0, job.run_dir
    if writes:
        for path in (metrics_file(run_dir), run_dir / "log.jsonl"):
            _mend_tail(path)
        log_event(run_dir, "worker-started", pid=os.getpid(), **msgspec.to_builtins(place))
    material = prepare_rows(job)

    def report(progress: Progress) -> None:
        if writes:
            append_line(metrics_file(run_dir), msgspec.json.encode(progress))
        tell(progress)

    plan = Plan(
        base=job.base,
        train=material.train.rows + material.replay.rows,
        validation=material.validation.rows,
        recipe=job.recipe,
        checkpoints=run_dir / "checkpoints",
    )
    outcome = train(plan, place, report)
    if writes:
        save_adapter(run_dir / "adapter", outcome.weights, outcome.config, read_base(job.base).sha256)
        write_result(run_dir, _result(job, place, material, outcome))
        log_event(run_dir, "finished", stopped=outcome.stopped, step=outcome.position.step)


def _result(job: TrainingJob, place: Place, material: Material, outcome: Outcome) -> TrainingResult:
    position = outcome.position
    return TrainingResult(
        adapter_dir=job.run_dir / "adapter",
        steps=position.step,
        epochs=position.epoch,
        best_epoch=position.best_epoch,
        first_validation_loss=position.first_loss,
        best_validation_loss=position.best_loss,
        train_tokens=position.train_tokens,
        seconds=round(position.seconds, 3),
        tokens_per_s=round(position.train_tokens / position.seconds, 1) if position.seconds else 0.0,
        rows=len(material.train.rows),
        validation_rows=len(material.validation.rows),
        replay_rows=len(material.replay.rows),
        left_out=material.left_out,
        stopped=outcome.stopped,
        attempts=position.attempts,
        device=place.device,
        precision=place.precision,
    )


def _sample(row: SftRow) -> Sample:
    return Sample(row_id=row.row_id, messages=row.messages, reply=row.reply, weight=row.weight)


def _mend_tail(path: Path) -> None:
    """Cut off a last line without its newline: a worker was killed while it wrote, and the next must stand alone."""
    if path.exists():
        data = path.read_bytes()
        os.truncate(path, data.rfind(b"\n") + 1)


@contextmanager
def _lock(run_dir: Path, place: Place) -> Iterator[None]:
    """Hold the run for rank 0; waits for a predecessor that is dying. Raises TimeoutError."""
    if place.rank != 0:
        yield
        return
    with (run_dir / "worker.lock").open("ab") as file:
        give_up = time.monotonic() + LOCK_WAIT_S
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > give_up:
                    raise TimeoutError(f"another worker has held {file.name} for {LOCK_WAIT_S} s") from None
                time.sleep(0.1)
        yield
