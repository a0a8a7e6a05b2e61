"""The schedule: quarters as set, one catch-up for whatever was missed, and nothing on the first start."""

import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from feedback.errors import InvalidSettings
from learner.schedule import Schedule
from learner.settings import LearnerSettings

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=BERLIN)


@pytest.fixture
def schedule(tmp_path: Path) -> Schedule:
    return Schedule(tmp_path / "schedule.json", LearnerSettings(), BERLIN)


def test_the_first_start_owes_nothing(schedule: Schedule) -> None:
    assert schedule.due(at("2026-05-20T12:00")) is None
    assert schedule.due(at("2026-05-20T12:01")) is None
    assert schedule.next(at("2026-05-20T12:01")) == at("2026-07-01T03:00")


def test_a_time_that_comes_is_due_until_it_is_taken_and_then_not_again(schedule: Schedule) -> None:
    schedule.due(at("2026-06-30T23:00"))
    assert schedule.due(at("2026-07-01T02:59:59")) is None
    assert schedule.due(at("2026-07-01T03:00")) == at("2026-07-01T03:00")
    assert schedule.due(at("2026-07-01T03:05")) == at("2026-07-01T03:00")
    schedule.take(at("2026-07-01T03:00"))
    assert schedule.due(at("2026-07-01T03:05")) is None
    assert schedule.due(at("2026-10-01T03:00")) == at("2026-10-01T03:00")


@pytest.mark.parametrize(
    ("slept_until", "latest"),
    [("2026-07-05T08:00", "2026-07-01T03:00"), ("2027-02-01T08:00", "2027-01-01T03:00")],
)
def test_what_was_missed_is_caught_up_once_however_many_it_was(tmp_path: Path, slept_until: str, latest: str) -> None:
    Schedule(tmp_path / "schedule.json", LearnerSettings(), BERLIN).due(at("2026-06-01T00:00"))
    restarted = Schedule(tmp_path / "schedule.json", LearnerSettings(), BERLIN)
    due = restarted.due(at(slept_until))
    assert due == at(latest)
    restarted.take(due)
    assert restarted.due(at(slept_until)) is None
    assert Schedule(tmp_path / "schedule.json", LearnerSettings(), BERLIN).due(at(slept_until)) is None


def test_other_months_days_and_hours_are_kept_to(tmp_path: Path) -> None:
    settings = LearnerSettings(schedule_months="*", schedule_day=15, schedule_hour=22)
    schedule = Schedule(tmp_path / "schedule.json", settings, BERLIN)
    schedule.due(at("2026-03-20T00:00"))
    assert schedule.due(at("2026-04-15T21:59")) is None
    assert schedule.due(at("2026-04-15T22:00")) == at("2026-04-15T22:00")


def test_a_clock_set_back_brings_nothing_a_second_time(schedule: Schedule) -> None:
    schedule.due(at("2026-06-30T23:00"))
    schedule.take(at("2026-07-01T03:00"))
    assert schedule.due(at("2026-06-30T23:30")) is None
    assert schedule.due(at("2026-07-01T03:00")) is None


def test_a_spoilt_file_is_as_good_as_none(schedule: Schedule) -> None:
    schedule.path.write_text("{")
    assert schedule.due(at("2026-07-01T04:00")) is None
    assert schedule.due(at("2026-10-01T04:00")) == at("2026-10-01T03:00")


@pytest.mark.parametrize("wrong", [{"schedule_months": "13"}, {"schedule_day": 0}, {"schedule_hour": 25}])
def test_a_schedule_that_never_comes_is_refused_by_name(tmp_path: Path, wrong: dict[str, object]) -> None:
    with pytest.raises(InvalidSettings) as found:
        Schedule(tmp_path / "schedule.json", LearnerSettings(**wrong), BERLIN)  # type: ignore[arg-type]
    assert "learner.schedule_months" in found.value.mend
