"""The daemon over real child processes: order, kills, stops, restarts and the schedule."""

import datetime as dt
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from feedback.mint import new_id
from learner.bootstrap import serve_something
from learner.cycle import lock_holder
from learner.daemon import Daemon, run_daemon
from learner.deploy import champion_of
from learner.records import CycleState, Request, RequestResult, journal_files, read_cycle
from learner.schedule import Schedule
from learner.settings import LearnerSettings
from learner.upstream import Upstream
from learner.workshop import LearnerTables, site_of
from tests.fakes import cycle_child
from tests.fakes.ollama import FakeOllama
from tests.fakes.world import answers, tables_of


@pytest.fixture
def fake() -> Iterator[FakeOllama]:
    with FakeOllama(models=[], answers=answers) as server:
        yield server


@pytest.fixture
def tables(fake: FakeOllama, tmp_path: Path) -> LearnerTables:
    return tables_of(tmp_path, fake.url)


@pytest.fixture
def deaths(tmp_path: Path) -> Path:
    path = tmp_path / "deaths"
    path.write_text("")
    return path


class Clock(Schedule):
    """A schedule whose clock is set by hand."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, LearnerSettings(), ZoneInfo("UTC"))
        self.time = dt.datetime(2026, 5, 1, tzinfo=dt.UTC)

    def due(self, now: dt.datetime) -> dt.datetime | None:
        return super().due(self.time)


@pytest.fixture
def daemon(tables: LearnerTables, deaths: Path, tmp_path: Path) -> Iterator[Daemon]:
    made = a_daemon(tables, deaths)
    yield made
    made.stop_child()


def a_daemon(tables: LearnerTables, deaths: Path) -> Daemon:
    return Daemon(tables, child_command=command(deaths), schedule=Clock(tables.store.data_dir / "schedule.json"))


def command(deaths: Path) -> list[str]:
    return [sys.executable, str(Path(cycle_child.__file__)), str(deaths)]


def ask(daemon: Daemon, kind: str, version: str = "", alias: str = "assistant") -> str:
    request = Request(
        request_id=new_id("request"), at=dt.datetime.now(dt.UTC), kind=kind, alias=alias, version=version  # type: ignore[arg-type]
    )  # fmt: skip
    daemon.requests.drop(request)
    time.sleep(0.002)  # ids sort by the millisecond
    return request.request_id


def until(daemon: Daemon, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    limit = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < limit, [read_cycle(path) for path in journal_files(daemon.journal_dir)]
        daemon.tick()
        time.sleep(0.02)


def cycles(daemon: Daemon) -> list[CycleState]:
    return [read_cycle(path) for path in journal_files(daemon.journal_dir)]


def ended(daemon: Daemon, number: int = 1) -> Callable[[], bool]:
    return lambda: (
        daemon.child is None
        and len(cycles(daemon)) == number
        and all(state.status != "running" for state in cycles(daemon))
    )


def result(daemon: Daemon, request_id: str) -> RequestResult:
    found = daemon.requests.result(request_id)
    assert found is not None
    return found


def test_a_cycle_that_is_asked_for_runs_in_a_child_and_its_version_serves(daemon: Daemon) -> None:
    request_id = ask(daemon, "cycle")
    until(daemon, ended(daemon))
    (state,) = cycles(daemon)
    assert state.status == "finished" and state.outcome["version"] == "1.1.0"
    assert result(daemon, request_id).detail == {"cycle": state.cycle}


def test_a_cycle_whose_child_was_killed_twice_is_taken_up_and_ends_with_one_version(
    daemon: Daemon, deaths: Path
) -> None:
    deaths.write_text("train after\nregister after\n")
    ask(daemon, "cycle")
    until(daemon, ended(daemon))
    (state,) = cycles(daemon)
    assert state.status == "finished" and deaths.read_text() == ""
    with Upstream(daemon.tables.learner.upstream_url) as upstream:
        site = site_of(daemon.tables, upstream)
        assert [one.version for one in site.registry.list("assistant")] == ["1.0.0", "1.1.0"]


def test_a_cycle_that_dies_again_and_again_at_one_step_is_given_up(daemon: Daemon, deaths: Path) -> None:
    deaths.write_text("snapshot before\n" * 9)
    ask(daemon, "cycle")
    until(daemon, ended(daemon))
    (state,) = cycles(daemon)
    assert state.status == "failed" and "died 3 times at the step snapshot" in state.outcome["message"]
    assert len(deaths.read_text().splitlines()) == 6


def test_a_daemon_started_anew_takes_up_what_the_former_one_left(tables: LearnerTables, deaths: Path) -> None:
    deaths.write_text("evaluate after\n")
    first = a_daemon(tables, deaths)
    ask(first, "cycle")
    until(first, lambda: first.child is not None)
    assert first.child is not None
    first.child.process.wait()  # killed; and the daemon dies with it
    second = a_daemon(tables, deaths)
    until(second, ended(second))
    assert [state.status for state in cycles(second)] == ["finished"]


def test_a_daemon_started_beside_a_living_child_of_a_dead_one_lets_it_finish(
    tables: LearnerTables, deaths: Path
) -> None:
    deaths.write_text("export waits\n")
    first = a_daemon(tables, deaths)
    ask(first, "cycle")
    until(first, lambda: bool(cycles(first)) and cycles(first)[0].step == "export")
    orphan = first.child
    assert orphan is not None
    second = a_daemon(tables, deaths)
    for _ in range(5):
        second.tick()
    assert second.child is None and lock_holder(second.journal_dir) is not None
    orphan.process.send_signal(signal.SIGKILL)
    orphan.process.wait()
    until(second, ended(second))
    assert cycles(second)[0].status == "finished"


def test_a_stop_ends_the_child_and_is_no_death(tables: LearnerTables, deaths: Path) -> None:
    for _ in range(3):  # as many stops as there are attempts
        deaths.write_text("train waits\n")
        stopped = a_daemon(tables, deaths)
        if not cycles(stopped):
            ask(stopped, "cycle")
        until(stopped, lambda: deaths.read_text() == "")
        until(stopped, lambda: cycles(stopped)[0].step == "train" if cycles(stopped) else False)  # noqa: B023
        stopped.stop_child()
    last = a_daemon(tables, deaths)
    until(last, ended(last))
    assert cycles(last)[0].status == "finished"


def test_promotions_and_rollbacks_are_done_in_order_and_do_not_wait_for_a_cycle(daemon: Daemon, deaths: Path) -> None:
    ask(daemon, "cycle")
    until(daemon, ended(daemon))
    deaths.write_text("train waits\n")
    second = ask(daemon, "cycle")
    until(daemon, lambda: deaths.read_text() == "" and len(cycles(daemon)) == 2)
    third = ask(daemon, "cycle")
    requests = [ask(daemon, "rollback"), ask(daemon, "promote", "1.1.0"), ask(daemon, "promote", "1.0.0")]
    daemon.tick()
    assert [result(daemon, one).detail["version"] for one in requests] == ["1.0.0", "1.1.0", "1.0.0"]
    assert result(daemon, second).ok and daemon.requests.result(third) is None
    with Upstream(daemon.tables.learner.upstream_url) as upstream:
        alias = champion_of(site_of(daemon.tables, upstream))
        assert alias is not None and alias.champion.version == "1.0.0" and requests[-1] in alias.reason


def test_a_request_that_cannot_be_done_says_why_and_the_daemon_goes_on(daemon: Daemon) -> None:
    unknown, foreign, empty = (
        ask(daemon, "promote", "9.9.9"), ask(daemon, "rollback", alias="helper"), ask(daemon, "rollback"),
    )  # fmt: skip
    (daemon.requests.folder / "request-z.json").write_text("[]")
    daemon.tick()
    assert [result(daemon, one).detail["code"] for one in (unknown, foreign, empty, "request-z")] == [
        "unknown-version", "invalid-input", "nothing-to-roll-back", "invalid-input",
    ]  # fmt: skip
    ask(daemon, "cycle")
    until(daemon, ended(daemon))


def test_a_scheduled_time_starts_one_cycle_and_one_missed_is_caught_up_once(
    tables: LearnerTables, deaths: Path
) -> None:
    daemon = a_daemon(tables, deaths)
    clock = daemon.schedule
    assert isinstance(clock, Clock)
    daemon.tick()
    assert daemon.child is None
    clock.time = dt.datetime(2026, 7, 1, 3, tzinfo=dt.UTC)
    until(daemon, ended(daemon))
    assert cycles(daemon)[0].reason == "scheduled for 2026-07-01 03:00 UTC"
    later = a_daemon(tables, deaths)
    assert isinstance(later.schedule, Clock)
    later.schedule.time = dt.datetime(2027, 2, 1, tzinfo=dt.UTC)  # two were missed
    until(later, ended(later, 2))
    for _ in range(3):
        later.tick()
    assert len(cycles(later)) == 2 and later.child is None


def test_a_child_that_cannot_even_start_is_a_failed_cycle_not_a_lost_one(tables: LearnerTables) -> None:
    daemon = Daemon(tables, child_command=[sys.executable, "-c", "raise SystemExit(3)"])
    ask(daemon, "cycle")
    until(daemon, ended(daemon))
    assert "status 3" in cycles(daemon)[0].outcome["message"]


def test_run_daemon_says_when_it_is_ready_and_ends_when_it_is_told_to(tables: LearnerTables, deaths: Path) -> None:
    stop, ready = threading.Event(), threading.Event()
    thread = threading.Thread(
        target=run_daemon, args=(tables,), kwargs={"stop": stop, "ready": ready.set, "child_command": command(deaths)}
    )
    thread.start()
    assert ready.wait(5)
    stop.set()
    thread.join(5)
    assert not thread.is_alive()


def test_sigterm_stops_a_daemon_process_cleanly(tables: LearnerTables, tmp_path: Path) -> None:
    tables.write(tmp_path / "tables.json")
    code = (
        "import sys; from pathlib import Path; from learner.daemon import run_daemon;"
        "from learner.workshop import LearnerTables;"
        "run_daemon(LearnerTables.read(Path(sys.argv[1])), ready=lambda: print('ready', flush=True)); print('ended')"
    )
    root = Path(__file__).resolve().parents[2]
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "tables.json")], stdout=subprocess.PIPE, text=True, cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.terminate()
        assert process.stdout.readline() == "ended\n"
        assert process.wait(5) == 0


def test_something_serves_before_the_first_cycle(tables: LearnerTables) -> None:
    with Upstream(tables.learner.upstream_url) as upstream:
        site = site_of(tables, upstream)
        first = serve_something(site)
        assert first is not None and first.version == "1.0.0"
        assert serve_something(site) is None
        assert upstream.loaded() == ["assistant:1.0.0"]
