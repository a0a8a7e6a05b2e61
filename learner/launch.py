"""Starting a training: one worker or many, on a processor or GPUs, here or on a cluster, through Ray Train.

`run_training` may be called again for the same run after anything, kill -9 of this process included: a finished run is
answered at once, an unfinished one goes on from its last checkpoint. Progress comes from the run's own metrics file, so
what is shown is what is recorded. Must never leave a process behind.
"""

from __future__ import annotations

import fcntl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from feedback.errors import CycleRunning
from learner.base import read_base
from learner.ray_session import ray_session, usable_cpus
from learner.runs import (
    Progress,
    TrainingFailed,
    TrainingJob,
    TrainingResult,
    log_event,
    metrics_file,
    open_run,
    read_result,
)
from learner.settings import RecipeSettings

POLL_S = 0.2


def run_training(job: TrainingJob, progress: Callable[[Progress], None]) -> TrainingResult:
    """Train, or go on training, and return what came of it. `progress` is called in this thread.

    Raises TrainingFailed where it can't be done, RunMismatch where the run was started with another recipe, base or
    snapshot, CycleRunning where another process is at it.
    """
    job.run_dir.mkdir(parents=True, exist_ok=True)
    with _only_driver(job):
        open_run(job, read_base(job.base).sha256)
        if (result := read_result(job.run_dir)) is not None:
            return result
        _train(job, progress)
        if (result := read_result(job.run_dir)) is None:
            raise TrainingFailed(f"The run {job.run_id} ended without a result.", "Look into its log.jsonl.")
        return result


def _train(job: TrainingJob, progress: Callable[[Progress], None]) -> None:
    recipe, mine = job.recipe, usable_cpus()
    tail = _Tail(metrics_file(job.run_dir))
    with ray_session(cpus=max(mine, recipe.workers * max(1, recipe.cpus_per_worker))) as ray:
        log_event(job.run_dir, "driver-started", workers=recipe.workers)
        trainer = _trainer(job, ray.cluster_resources())
        fit = _Fit(trainer)
        while fit.running(POLL_S):
            for each in tail.new():
                progress(each)
        for each in tail.new():
            progress(each)
    if fit.error is not None and read_result(job.run_dir) is None:
        raise TrainingFailed(
            f"Ray gave up on {job.run_id} ({type(fit.error).__name__}: {_reason(fit.error)}).",
            "See the machine's memory and disk; started again, the run goes on from its last checkpoint.",
        ) from fit.error


def _trainer(job: TrainingJob, resources: dict[str, float]) -> Any:
    """A TorchTrainer for the job. Raises TrainingFailed where a GPU is asked for and none is seen."""
    from ray.train import FailureConfig, LoggingConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    from learner.alone import AloneConfig
    from learner.worker import encode_job, train_worker

    recipe = job.recipe
    gpus = int(resources.get("GPU", 0))
    if recipe.device == "gpu" and gpus < recipe.workers:
        raise TrainingFailed(
            f"recipe.device is gpu, but Ray sees {gpus} GPUs for {recipe.workers} workers.",
            "Set recipe.device to auto, or install the driver and torch's CUDA build.",
        )
    use_gpu = recipe.device != "cpu" and gpus >= recipe.workers
    cpus = cpus_of_worker(recipe, int(resources.get("CPU", 1)))
    return TorchTrainer(
        train_worker,
        train_loop_config={"job": encode_job(job), "device": "cuda" if use_gpu else "cpu", "cpus": cpus},
        torch_config=AloneConfig() if recipe.workers == 1 else None,
        scaling_config=ScalingConfig(
            num_workers=recipe.workers,
            use_gpu=use_gpu,
            resources_per_worker={"CPU": cpus, **({"GPU": 1} if use_gpu else {})},
        ),
        run_config=RunConfig(
            name="ray",
            storage_path=str(job.run_dir.resolve()),
            failure_config=FailureConfig(max_failures=recipe.max_failures),
            logging_config=LoggingConfig(log_level="ERROR"),
        ),
    )


def cpus_of_worker(recipe: RecipeSettings, cpus: int) -> int:
    """CPUs, and so threads, of each worker, at least one."""
    return recipe.cpus_per_worker or max(1, cpus // recipe.workers)


class _Fit:
    """`trainer.fit()` in a thread: it blocks, and this process has progress to tell meanwhile."""

    def __init__(self, trainer: Any) -> None:
        self.error: BaseException | None = None
        self._trainer = trainer
        self._thread = threading.Thread(target=self._run, name="ray-train", daemon=True)
        self._thread.start()

    def running(self, wait_s: float) -> bool:
        """Whether it still runs, after at most `wait_s` seconds."""
        self._thread.join(wait_s)
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._trainer.fit()
        except BaseException as error:  # whatever it is, it belongs to the thread that waits
            self.error = error


class _Tail:
    """What is appended to a metrics file from now on, whole lines only."""

    def __init__(self, path: Path) -> None:
        self._path, self._at = path, path.stat().st_size if path.exists() else 0

    def new(self) -> Iterator[Progress]:
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            self._at = min(self._at, file.seek(0, 2))  # a worker that takes over cuts a torn last line off
            file.seek(self._at)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        for line in whole.splitlines():
            yield msgspec.json.decode(line, type=Progress)


def _reason(error: BaseException) -> str:
    """The last line of an error: Ray's are tracebacks of several processes."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1].rstrip(".") if lines else type(error).__name__


@contextmanager
def _only_driver(job: TrainingJob) -> Iterator[None]:
    with (job.run_dir / "driver.lock").open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CycleRunning(
                f"Another process is at the run {job.run_id}.", "Wait for it, or end that process first."
            ) from None
        yield
