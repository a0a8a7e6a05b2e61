"""When a scheduled cycle is due. APScheduler's cron calendar, asked; not its scheduler, run.

The daemon looks at the clock once a second anyway, for requests and for its child, so a due time is a comparison, and a
machine that slept or a clock that was set can't make a timer miss it. What APScheduler keeps in memory lies here in a
file: the last scheduled time that was taken up. A time that passed while the daemon was down is caught up once, however
many passed (`coalesce`). What must never happen: a daemon started for the first time that at once runs a cycle for a
quarter in which nobody used it.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec
from apscheduler.triggers.cron import CronTrigger

from feedback.errors import InvalidSettings
from feedback.files import replace_file
from learner.settings import LearnerSettings


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """`schedule.json`."""

    last: dt.datetime
    """The last scheduled time that was taken up; or when the daemon first ran."""


class Schedule:
    """The calendar of the settings and the file that remembers."""

    def __init__(self, path: Path, settings: LearnerSettings, timezone: dt.tzinfo | None = None) -> None:
        """`timezone` is the machine's own unless given. Raises InvalidSettings for what is no month, day or hour."""
        self.path = path
        try:
            self._cron = CronTrigger(
                month=settings.schedule_months, day=settings.schedule_day, hour=settings.schedule_hour, minute=0,
                second=0, timezone=timezone,
            )  # fmt: skip
        except ValueError as error:
            raise InvalidSettings(
                f"The schedule can't be read: {error}.",
                "Mend learner.schedule_months, schedule_day or schedule_hour: months as cron writes them.",
            ) from error

    def due(self, now: dt.datetime) -> dt.datetime | None:
        """The latest scheduled time that has come and was not taken up; none where there is none. `now` is aware."""
        last = self._last()
        if last is None:
            self.take(now)
            return None
        found = None
        # A minute apart at least, so this ends: four a year as set by default, and whoever sets more has more.
        while (following := self._next(found or last)) is not None and following <= now:
            found = following
        return found

    def take(self, at: dt.datetime) -> None:
        """Remember a scheduled time as taken up: durable before the cycle starts, or it would run twice."""
        replace_file(self.path, msgspec.json.encode(Taken(last=at)))

    def next(self, now: dt.datetime) -> dt.datetime | None:
        """The next scheduled time after `now`."""
        return self._next(now)

    def _next(self, after: dt.datetime) -> dt.datetime | None:
        following: dt.datetime | None = self._cron.get_next_fire_time(None, after + dt.timedelta(microseconds=1))
        return following

    def _last(self) -> dt.datetime | None:
        try:
            return msgspec.json.decode(self.path.read_bytes(), type=Taken).last
        except (FileNotFoundError, msgspec.DecodeError, msgspec.ValidationError):
            return None  # spoilt is as good as new: the worst is one scheduled cycle that isn't caught up
