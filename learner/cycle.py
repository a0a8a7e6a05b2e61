"""One cycle: snapshot → train → evaluate → gate → register → deploy, journalled and resumable.

    python -m learner.cycle --settings tables.json --cycle cycle-… [--reason …]

The loop is all there is to it: each step of records.STEPS that the journal doesn't have as done is run, and what it
hands on is journalled. Killed anywhere and started again with the same id, it goes on with the step under way. One
cycle at a time, by a lock that the kernel frees when its process dies. Run in a process of its own: training needs
memory that the daemon must not keep.

What must never happen: two cycles at once, or a failure that the journal doesn't tell.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import logging
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import IO, Any

import msgspec

from feedback.errors import CycleRunning, RatchetError
from learner.candidates import drop_candidates
from learner.desk import Desk, Handed
from learner.journal import Journal
from learner.records import STEPS, CycleState, Step
from learner.steps import STEP_FUNCTIONS
from learner.workshop import LearnerTables, Workshop, real_parts, upstream_of

log = logging.getLogger(__name__)

Steps = Mapping[Step, Callable[[Desk], Handed]]

STOPPED = 75
"""Exit status of a cycle that was asked to stop (EX_TEMPFAIL): it is to be taken up again."""


class Stopped(BaseException):
    """The process was asked to stop. Not an Exception: no step may take it for a failure of its own."""


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """Who holds the lock; what cycle.lock says."""

    pid: int
    cycle: str


def run_cycle(shop: Workshop, cycle: str, reason: str, steps: Steps = STEP_FUNCTIONS) -> CycleState:
    """Run a cycle to its end, or go on with it. Gives its state: finished, or failed with code, message and mend.

    One that finished already is not run again. `steps` are the real ones; a test may hand in some that die. Raises
    CycleRunning where another cycle runs.
    """
    with cycle_lock(shop.journal_dir, cycle):
        journal = Journal(shop.journal_dir, cycle)
        if journal.path.exists() and journal.state().status == "finished":
            return journal.state()
        state = journal.open(reason)
        desk = Desk(shop=shop, cycle=cycle, reason=state.reason, done=dict(state.done), progress=journal.progress)
        try:
            _run_steps(desk, journal, steps)
        except (Stopped, KeyboardInterrupt):
            journal.stopped()
            raise
        except Exception as error:
            # Whatever a step meets has to stand in the journal, which is all that the daemon and the operator see.
            _log_failure(error)
            journal.failed(error)
            drop_candidates(desk)
        return journal.state()


def _run_steps(desk: Desk, journal: Journal, steps: Steps) -> None:
    for step in STEPS:
        if step in desk.done:
            continue
        journal.step(step)
        handed = steps[step](desk)
        journal.done(step, handed)
        desk.done[step] = handed
    journal.finished(outcome_of(desk.done, desk.run))


def outcome_of(done: dict[str, Handed], run: str) -> dict[str, Any]:
    """What a finished cycle came to, for whoever reads the journal."""
    deployed = done["deploy"]
    return {
        "verdict": done["gate"]["verdict"], "version": deployed["version"], "deployed": deployed["deployed"],
        "run": run, "snapshot": done["snapshot"]["snapshot"], "flip_ms": deployed.get("flip_ms"),
        "not_deployed": deployed.get("not_deployed", ""), "report": f"runs/{run}/report.json",
    }  # fmt: skip


@contextlib.contextmanager
def cycle_lock(journal_dir: Path, cycle: str) -> Iterator[None]:
    """Hold the one lock of all cycles. Raises CycleRunning, naming who holds it."""
    journal_dir.mkdir(parents=True, exist_ok=True)
    with (journal_dir / "cycle.lock").open("a+b") as file:
        if not _locked(file):
            holder = _read_holder(journal_dir)
            who = f"{holder.cycle}, process {holder.pid}" if holder else "another one"
            raise CycleRunning(f"A cycle is running already: {who}.", "Wait for its end.")
        file.truncate(0)
        file.write(msgspec.json.encode(Holder(pid=os.getpid(), cycle=cycle)))
        file.flush()
        yield


def _locked(file: IO[bytes]) -> bool:
    """Whether the lock was had, within a second: whoever only looks (`lock_holder`) holds it for an instant."""
    for _ in range(20):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        time.sleep(0.05)
    return False


def lock_holder(journal_dir: Path) -> Holder | None:
    """Who runs a cycle now; none where nobody does, whatever a dead one left in the file."""
    try:
        with (journal_dir / "cycle.lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except BlockingIOError:
        return _read_holder(journal_dir) or Holder(pid=0, cycle="")
    return None


def _read_holder(journal_dir: Path) -> Holder | None:
    try:
        return msgspec.json.decode((journal_dir / "cycle.lock").read_bytes(), type=Holder)
    except (OSError, msgspec.DecodeError):
        return None  # it is writing it just now


def _log_failure(error: Exception) -> None:
    """Ours as they are; of others the type and places, never the text: it may hold what people wrote."""
    if isinstance(error, RatchetError):
        log.error("%s: %s", error.code, error)
        return
    frames = traceback.extract_tb(error.__traceback__)
    places = "; ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-8:])
    log.error("unforeseen %s at %s", type(error).__qualname__, places)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped


def main(arguments: list[str] | None = None) -> int:
    """The child process: 0 for a finished cycle, 1 for a failed one, 75 where it was asked to stop."""
    parser = argparse.ArgumentParser(prog="learner.cycle", description="Run one cycle, or go on with it.")
    parser.add_argument("--settings", type=Path, required=True, help="JSON that LearnerTables.write wrote")
    parser.add_argument("--cycle", required=True)
    parser.add_argument("--reason", default="by hand")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    signal.signal(signal.SIGTERM, _stop)
    signal.signal(signal.SIGINT, _stop)
    tables = LearnerTables.read(given.settings)
    try:
        with upstream_of(tables.learner) as upstream:
            shop = Workshop(tables=tables, parts=real_parts(tables), upstream=upstream)
            state = run_cycle(shop, given.cycle, given.reason)
    except Stopped:
        return STOPPED
    except CycleRunning as error:
        log.error("%s", error)
        return 1
    return 0 if state.status == "finished" else 1


if __name__ == "__main__":
    sys.exit(main())
