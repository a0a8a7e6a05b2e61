"""A cycle's child process over the small world, which can die by kill -9 at a named step.

`cycle_child.py <deaths file> --settings … --cycle … --reason …`: each line of the deaths file, `step when`, is taken
away by one child, which then dies there; with none left the cycle runs to its end.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from learner import cycle, deploy
from learner.steps import STEP_FUNCTIONS
from learner.upstream import Upstream
from learner.workshop import LearnerTables
from tests.fakes.world import dying, workshop


def kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def wait_for_the_end() -> None:
    time.sleep(60)


def main() -> int:
    deaths = Path(sys.argv[1])
    given = dict(zip(sys.argv[2::2], sys.argv[3::2], strict=True))
    signal.signal(signal.SIGTERM, cycle._stop)
    deploy.GRACE_S = 0.01
    lines = deaths.read_text().splitlines()
    steps = STEP_FUNCTIONS
    if lines:
        deaths.write_text("".join(f"{line}\n" for line in lines[1:]))
        step, when = lines[0].split()
        die = wait_for_the_end if when == "waits" else kill_self
        steps = dying(step, "before" if when == "waits" else when, die)  # type: ignore[arg-type,assignment]
    tables = LearnerTables.read(Path(given["--settings"]))
    try:
        with Upstream(tables.learner.upstream_url) as upstream:
            state = cycle.run_cycle(workshop(tables, upstream), given["--cycle"], given["--reason"], steps)
    except cycle.Stopped:
        return cycle.STOPPED
    return 0 if state.status == "finished" else 1


if __name__ == "__main__":
    sys.exit(main())
