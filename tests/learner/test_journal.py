"""The journal: read back as it was written, whatever a crash did to its end."""

import os
from pathlib import Path

import pytest

from feedback.errors import UpstreamDown
from learner.journal import Journal, deaths
from learner.records import journal_files, read_cycle


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal", "cycle-1")


def test_a_cycle_is_read_back_from_its_lines(journal: Journal) -> None:
    journal.open("asked for")
    journal.step("base")
    journal.done("base", {"sha256": "b"})
    journal.step("snapshot")
    journal.progress(1.0, "freezing")
    state = journal.state()
    assert (state.cycle, state.status, state.reason, state.step) == ("cycle-1", "running", "asked for", "snapshot")
    assert state.done == {"base": {"sha256": "b"}} and state.progress == {"share": 1.0, "text": "freezing"}
    journal.done("snapshot", {})
    journal.finished({"version": "1.1.0"})
    assert journal.state().status == "finished" and journal.state().outcome == {"version": "1.1.0"}


def test_a_line_that_a_crash_cut_is_dropped_and_the_next_one_stands_alone(journal: Journal) -> None:
    journal.open("asked for")
    journal.step("base")
    size = journal.path.stat().st_size
    journal.done("base", {"sha256": "b"})
    for cut in range(size, journal.path.stat().st_size):
        os.truncate(journal.path, cut)
        assert read_cycle(journal.path).done == {}
    again = Journal(journal.path.parent, "cycle-1")
    state = again.open("ignored")
    assert (state.status, state.step, state.done, state.reason) == ("running", "base", {}, "asked for")
    again.done("base", {"sha256": "b"})
    assert again.state().done == {"base": {"sha256": "b"}}


def test_a_failure_is_told_and_taking_it_up_again_makes_it_run(journal: Journal) -> None:
    journal.open("asked for")
    journal.failed(UpstreamDown("Nobody answers.", "Start it."))
    state = journal.state()
    assert state.status == "failed"
    assert state.outcome == {"code": "upstream-down", "message": "Nobody answers.", "mend": "Start it."}
    assert journal.open("again").status == "running"


def test_what_nobody_foresaw_is_told_by_its_type_alone(journal: Journal) -> None:
    journal.open("asked for")
    journal.failed(KeyError("what somebody said"))
    assert journal.state().outcome["code"] == "internal"
    assert "KeyError" in journal.path.read_text() and "somebody said" not in journal.path.read_text()


def test_progress_that_comes_too_quickly_is_left_out_but_never_the_last(journal: Journal) -> None:
    journal.open("asked for")
    journal.step("train")
    for number in range(50):
        journal.progress(number / 50, f"step {number}")
    journal.progress(1.0, "the last")
    lines = journal.path.read_text().splitlines()
    assert 3 < len(lines) < 15
    assert "the last" in lines[-1]


def test_deaths_are_starts_without_an_end_since_the_last_step_done(journal: Journal) -> None:
    journal.open("asked for")
    assert deaths(journal.path) == 1  # it is dead if nobody holds the lock, and only then is this asked
    journal.open("")
    journal.open("")
    assert deaths(journal.path) == 3
    journal.stopped()
    assert deaths(journal.path) == 2
    journal.open("")
    journal.step("base")
    journal.done("base", {})
    assert deaths(journal.path) == 1
    journal.failed(UpstreamDown("Nobody answers."))
    assert deaths(journal.path) == 0


def test_journals_are_listed_oldest_first_and_nothing_else_is(journal: Journal) -> None:
    journal.open("asked for")
    Journal(journal.path.parent, "cycle-0").open("before")
    (journal.path.parent / "cycle-1.settings.json").write_text("{}")
    assert [path.stem for path in journal_files(journal.path.parent)] == ["cycle-0", "cycle-1"]
