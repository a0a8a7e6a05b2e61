"""The learner's daemon: it waits for the schedule and for requests, and sees cycles through.

One loop looks, a few times a second, at three things: is a cycle's child alive, does a request wait, is a scheduled
time due. It does the small things itself (promote, roll back) and runs each cycle in a child process. A child that died
is taken up again from its journal, also by a daemon started later, up to cycle_attempts; one that failed by its own
words is not, for it would fail again. A promotion or rollback doesn't wait for a running cycle: who rolls back is in a
hurry, and a cycle that finds another champion than the one it judged against doesn't deploy.

What must never happen: a second cycle beside a running one, or an operator's request that stops the loop.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from feedback.errors import CycleFailed, InvalidInput, RatchetError
from feedback.mint import new_id, now
from learner.cycle import lock_holder
from learner.deploy import promote, rollback
from learner.journal import Journal, deaths
from learner.records import CycleState, Request, journal_files, read_cycle
from learner.requests import Requests, Waiting
from learner.schedule import Schedule
from learner.workshop import LearnerTables, site_of, upstream_of

log = logging.getLogger(__name__)

POLL_S = 0.25
STOP_S = 20.0
"""How long a child may take to stop before it is killed; its cycle is taken up again either way."""

CHILD = (sys.executable, "-m", "learner.cycle")


class Child(msgspec.Struct, frozen=True, kw_only=True):
    """A cycle that this daemon runs."""

    cycle: str
    process: Any
    """Its `subprocess.Popen`."""


class Daemon:
    """The loop's state. `run` is the loop; tests call `tick`."""

    def __init__(
        self, tables: LearnerTables, *, child_command: Sequence[str] = CHILD, schedule: Schedule | None = None
    ) -> None:
        self.tables = tables
        self.data_dir = tables.store.data_dir
        self.journal_dir = self.data_dir / "journal"
        self.requests = Requests(self.data_dir / "requests")
        self.schedule = schedule or Schedule(self.data_dir / "schedule.json", tables.learner)
        self.child: Child | None = None
        self._ended: set[Path] = set()
        self._child_command = tuple(child_command)

    def run(self, stop: threading.Event, ready: Callable[[], None] | None = None) -> None:
        """Loop until `stop` is set, then stop the child too."""
        log.info("the learner waits; the next scheduled cycle is due at %s", self.schedule.next(now()))
        if ready:
            ready()
        try:
            while not stop.is_set():
                self.tick()
                stop.wait(POLL_S)
        finally:
            self.stop_child()

    def tick(self) -> None:
        """Look once at everything."""
        self._see_to_child()
        for waiting in self.requests.waiting():
            self._take_up(waiting)
        if self._free() and (due := self.schedule.due(now())) is not None:
            self.schedule.take(due)
            self.start_cycle(new_id("cycle"), f"scheduled for {due:%Y-%m-%d %H:%M %Z}")

    # Requests -----------------------------------------------------------------------------------------------------

    def _take_up(self, waiting: Waiting) -> None:
        """Do one request, or leave it waiting: a cycle that is asked for waits for the one that runs."""
        request = waiting.request
        try:
            if request is None or request.alias != self.tables.learner.alias:
                self.requests.fail(waiting, _unfit(request, self.tables.learner.alias))
            elif request.kind == "cycle":
                if self._free():
                    cycle = "cycle-" + request.request_id.removeprefix("request-")
                    self.start_cycle(cycle, request.reason or "asked for")
                    self.requests.finish(waiting, ok=True, detail={"cycle": cycle})
            else:
                self.requests.finish(waiting, ok=True, detail=self._move_champion(request))
        except RatchetError as error:
            log.warning("%s: %s", waiting.request_id, error)
            self.requests.fail(waiting, error)
        except Exception as error:
            # Nobody foresaw it, and raised it would stop the loop now and again after each restart.
            log.error("%s: unforeseen %s", waiting.request_id, type(error).__qualname__)
            self.requests.fail(
                waiting, RatchetError(f"It failed unforeseen: {type(error).__qualname__}.", "See the log.")
            )

    def _move_champion(self, request: Request) -> dict[str, Any]:
        with upstream_of(self.tables.learner) as upstream:
            site = site_of(self.tables, upstream)
            reason = f"{request.request_id} {request.reason}".strip()
            deployed = rollback(site, reason) if request.kind == "rollback" else promote(site, request.version, reason)
        log.info("%s serves now, by %s", deployed.tag, request.request_id)
        return msgspec.to_builtins(deployed)  # type: ignore[no-any-return]

    # Cycles -------------------------------------------------------------------------------------------------------

    def start_cycle(self, cycle: str, reason: str) -> None:
        """Start a cycle's child, or take the cycle up again."""
        settings = self.journal_dir / f"{cycle}.settings.json"
        self.tables.write(settings)
        command = [*self._child_command, "--settings", str(settings), "--cycle", cycle, "--reason", reason]
        with (self.journal_dir / f"{cycle}.log").open("ab") as output:
            # A session of its own: ^C in the daemon's terminal is the daemon's to hand on.
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        self.child = Child(cycle=cycle, process=process)
        log.info("%s runs as process %d: %s", cycle, process.pid, reason)

    def _free(self) -> bool:
        """Whether a new cycle may start: none runs, here or elsewhere, and none waits to be taken up."""
        return self.child is None and lock_holder(self.journal_dir) is None and self._unfinished() is None

    def _unfinished(self) -> CycleState | None:
        """The oldest cycle whose journal says that it runs; whether its process lives is the lock's to tell."""
        for path in journal_files(self.journal_dir):
            if path not in self._ended:
                state = read_cycle(path)
                if state.status == "running":
                    return state
                self._ended.add(path)
        return None

    def _see_to_child(self) -> None:
        """Notice a child's end, and take up a cycle whose process died."""
        if self.child is not None:
            status = self.child.process.poll()
            if status is None:
                return
            log.info("%s ended with status %d", self.child.cycle, status)
            self._end_group(self.child.process)
            path = self.journal_dir / f"{self.child.cycle}.jsonl"
            if not path.exists():
                self._never_began(self.child.cycle, status)
            self.child = None
        state = self._unfinished()
        if state is not None and lock_holder(self.journal_dir) is None:
            self._take_up_again(state)

    def _take_up_again(self, state: CycleState) -> None:
        died = deaths(self.journal_dir / f"{state.cycle}.jsonl")
        if died >= self.tables.learner.cycle_attempts:
            journal = Journal(self.journal_dir, state.cycle)
            journal.failed(_gave_up(state, died))
            log.error("%s is given up: its process died %d times", state.cycle, died)
            return
        log.warning("%s is taken up again at %s", state.cycle, state.step)
        self.start_cycle(state.cycle, state.reason)

    def _never_began(self, cycle: str, status: int) -> None:
        """A child that ended before its first line: the journal must tell, or the cycle would seem never asked for."""
        journal = Journal(self.journal_dir, cycle)
        journal.open("asked for")
        journal.failed(
            CycleFailed(
                f"The cycle's process ended with status {status} at its start.", f"See {cycle}.log beside this."
            )
        )

    def stop_child(self) -> None:
        """Ask the child to stop, and kill it if it doesn't; its cycle goes on when a daemon runs again."""
        if self.child is None:
            return
        process = self.child.process
        process.terminate()
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        self._end_group(process)
        self.child = None

    def _end_group(self, process: Any) -> None:
        """Whatever the child left running in its session (Ray's own processes) goes with it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)


def run_daemon(
    tables: LearnerTables,
    *,
    stop: threading.Event | None = None,
    ready: Callable[[], None] | None = None,
    child_command: Sequence[str] = CHILD,
) -> None:
    """Run the daemon until SIGTERM or SIGINT, or until `stop` is set. `ready` is called once it waits.

    `child_command` runs a cycle; it gets --settings, --cycle and --reason as `learner.cycle` takes them.
    """
    stopping = stop or threading.Event()
    daemon = Daemon(tables, child_command=child_command)
    with _signals(stopping):
        daemon.run(stopping, ready)


@contextlib.contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    """SIGTERM and SIGINT set the event, where this is the main thread; else its owner handles them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unfit(request: Request | None, alias: str) -> InvalidInput:
    if request is None:
        return InvalidInput("The request's file can't be read.", "Ask through POST /requests.")
    return InvalidInput(f"This learner has no alias {request.alias!r}.", f"It has {alias!r}.")


def _gave_up(state: CycleState, died: int) -> RatchetError:
    return CycleFailed(
        f"The cycle's process died {died} times at the step {state.step}.",
        "See its log in the journal folder, the memory and the disk; then start a new cycle.",
    )


def cycle_state(tables: LearnerTables, cycle: str) -> CycleState:
    """A cycle as its journal tells it."""
    return read_cycle(tables.store.data_dir / "journal" / f"{cycle}.jsonl")
