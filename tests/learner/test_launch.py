"""A run under Ray Train: killed at the worker and the driver, it ends as if nothing had happened and leaves nothing."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import psutil
import pytest

from feedback.errors import CycleRunning
from learner.base import Base
from learner.launch import cpus_of_worker, run_training
from learner.model import Place
from learner.ray_session import PREFIX, usable_cpus
from learner.runs import (
    Progress,
    RunMismatch,
    TrainingFailed,
    TrainingJob,
    TrainingResult,
    metrics_file,
    open_run,
    read_log,
    read_result,
)
from learner.settings import RecipeSettings
from learner.worker import encode_job, work
from tests.fakes.tiny_snapshot import write_tiny_snapshot

RECIPE = RecipeSettings(
    lora_rank=4, epochs=30, batch_rows=4, checkpoint_steps=10, patience_epochs=0, precision="fp32", cpus_per_worker=1
)


pytestmark = pytest.mark.usefixtures("one_thread")


def job_of(base: Base, snapshot: Path, run_dir: Path, recipe: RecipeSettings = RECIPE) -> TrainingJob:
    return TrainingJob(run_id=run_dir.name, run_dir=run_dir, base=base.folder, snapshot=snapshot, recipe=recipe)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_snapshot(tmp_path_factory.mktemp("snapshots"), train=40, validation=4)


def without_ray(job: TrainingJob) -> TrainingResult:
    """The same job in this process, undisturbed."""
    open_run(job, "")
    work(job, Place(), lambda progress: None)
    result = read_result(job.run_dir)
    assert result is not None
    return result


def steps_told(run_dir: Path) -> int:
    return len(metrics_file(run_dir).read_bytes().splitlines()) if metrics_file(run_dir).exists() else 0


def wait_for(what: str, done: object, seconds: float = 240) -> None:
    until = time.monotonic() + seconds
    while not done():  # type: ignore[operator]
        assert time.monotonic() < until, f"waited {seconds} s for {what}"
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # Ray's, about itself
def test_a_run_killed_at_its_driver_and_then_at_its_worker_ends_the_same_way(
    tiny_base: Base, snapshot: Path, tmp_path: Path
) -> None:
    job = job_of(tiny_base, snapshot, tmp_path / "run-killed")
    code = (
        "import sys, msgspec; from learner.launch import run_training; from learner.worker import decode_job;"
        "run_training(decode_job(sys.argv[1]), lambda progress: None)"
    )
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    driver = subprocess.Popen([sys.executable, "-c", code, encode_job(job)], env=environment, cwd=tmp_path)
    try:
        wait_for("the first checkpoint", lambda: steps_told(job.run_dir) > 12)
        family = psutil.Process(driver.pid).children(recursive=True)
        [session] = sessions_of(family)
        assert len(family) > 5 and session.is_dir(), "Ray has many processes and a folder"
        assert {ip.removeprefix("::ffff:") for ip in listening(family)} == {"127.0.0.1"}, "a local session is local"
    finally:
        driver.kill()
        driver.wait()
    wait_for("every process of the driver to end", lambda: not any(map(alive, family)), 30)
    assert not session.exists() and read_result(job.run_dir) is None
    killed_at = steps_told(job.run_dir)

    seen: list[Progress] = []
    sessions: set[Path] = set()

    def kill_once(progress: Progress) -> None:
        seen.append(progress)
        if progress.step >= killed_at + 40 and len(started(job)) == 2:
            sessions.update(sessions_of(psutil.Process().children(recursive=True)))
            os.kill(started(job)[-1], signal.SIGKILL)
            wait_for("another worker", lambda: len(started(job)) == 3)

    result = run_training(job, kill_once)
    assert len(started(job)) == 3 and result.attempts == 3
    assert seen[0].step > 1, "it went on from a checkpoint"
    assert (seen[-1].step, seen[-1].share, result.steps) == (450, 1.0, 450)
    assert len(sessions) == 1 and not any(session.exists() for session in sessions)
    assert not psutil.Process().children(recursive=True)

    whole = without_ray(job_of(tiny_base, snapshot, tmp_path / "run-whole"))
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (result.adapter_dir / name).read_bytes() == (whole.adapter_dir / name).read_bytes(), "to the bit"
    same = ("best_epoch", "best_validation_loss", "train_tokens", "rows", "replay_rows", "left_out", "stopped")
    assert [getattr(result, name) for name in same] == [getattr(whole, name) for name in same]
    assert run_training(job, seen.clear) == result, "a finished run is answered at once"  # type: ignore[arg-type]


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def listening(processes: list[psutil.Process]) -> set[str]:
    """The addresses at which any of the processes listens."""
    return {each.laddr.ip for process in processes for each in process.net_connections() if each.status == "LISTEN"}


def started(job: TrainingJob) -> list[int]:
    """The workers' process ids, oldest first."""
    return [event["pid"] for event in read_log(job.run_dir) if event["event"] == "worker-started"]


def sessions_of(processes: list[psutil.Process]) -> set[Path]:
    """The folders of the Ray sessions that these processes serve."""
    words = [word for process in processes if process.is_running() for word in process.cmdline()]
    return {Path(found[0]) for word in words if (found := re.search(rf"/\S*?/{PREFIX}[^/\s]+", word))}


def test_a_run_is_not_continued_under_another_recipe(tiny_base: Base, snapshot: Path, tmp_path: Path) -> None:
    job = job_of(tiny_base, snapshot, tmp_path / "run-1")
    open_run(job, tiny_base.sha256)
    open_run(job, tiny_base.sha256)
    other = msgspec.structs.replace(job, recipe=msgspec.structs.replace(RECIPE, lora_rank=8, seed=2))
    with pytest.raises(RunMismatch, match=r"recipe\.lora_rank, recipe\.seed differ"):
        run_training(other, lambda progress: None)


def test_two_processes_never_train_one_run(tiny_base: Base, snapshot: Path, tmp_path: Path) -> None:
    import fcntl

    job = job_of(tiny_base, snapshot, tmp_path / "run-1")
    job.run_dir.mkdir()
    with (job.run_dir / "driver.lock").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(CycleRunning, match="run-1"):
            run_training(job, lambda progress: None)


def test_a_run_that_cannot_be_done_says_why_each_time_it_is_asked(
    tiny_base: Base, snapshot: Path, tmp_path: Path
) -> None:
    job = job_of(tiny_base, snapshot, tmp_path / "run-1", msgspec.structs.replace(RECIPE, max_tokens=10))
    open_run(job, tiny_base.sha256)
    work(job, Place(), lambda progress: None)
    for _ in range(2):
        with pytest.raises(TrainingFailed, match=r"No training row is left.*too-long"):
            run_training(job, lambda progress: None)


def test_a_line_that_a_killed_worker_tore_does_not_spoil_the_next(
    tiny_base: Base, snapshot: Path, tmp_path: Path
) -> None:
    job = job_of(tiny_base, snapshot, tmp_path / "run-1", msgspec.structs.replace(RECIPE, epochs=1))
    open_run(job, tiny_base.sha256)
    metrics_file(job.run_dir).write_bytes(b'{"step":1,"of":9,"epoch":1}\n{"step":2,"o')
    work(job, Place(), lambda progress: None)
    lines = [msgspec.json.decode(line, type=Progress) for line in metrics_file(job.run_dir).read_bytes().splitlines()]
    assert [line.step for line in lines[:3]] == [1, 0, 1]
    result = read_result(job.run_dir)
    assert result is not None and result.rows == 40 and result.replay_rows == 17


def test_workers_share_the_processors() -> None:
    recipe = msgspec.structs.replace(RECIPE, cpus_per_worker=0, workers=2)
    assert [cpus_of_worker(recipe, cpus) for cpus in (1, 2, 9)] == [1, 1, 4]
    assert cpus_of_worker(RECIPE, 64) == 1
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)
