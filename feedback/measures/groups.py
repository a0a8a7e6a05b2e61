"""The measures themselves: cells of the cube, put together as somebody asks for them, each figure with its interval."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, get_args

import msgspec
import numpy as np

from feedback.errors import InvalidInput
from feedback.labelling.estimates import SETTLED_MS
from feedback.measures.intervals import Estimate, Sums, mean, share
from feedback.measures.weeks import COLUMNS, GRADED_COLUMNS, Counts, Key, Numbers, Week, monday, week_at

Dimension = Literal["alias", "version", "week", "topic", "language"]
DIMENSIONS: tuple[Dimension, ...] = get_args(Dimension)
Measure = Literal["satisfaction", "completion", "accuracy", "fluency", "preference"]
MEASURES: tuple[Measure, ...] = get_args(Measure)
SCALES: dict[Measure, tuple[float, float]] = {
    "satisfaction": (0, 1), "completion": (0, 1), "accuracy": (1, 4), "fluency": (1, 3), "preference": (0, 1),
}  # fmt: skip
"""From where to where each goes; higher is better."""
NO_WINS = np.zeros(2)
NO_TURNS = np.zeros(len(COLUMNS))
SUMS = ("count", "w", "ww", "w_accuracy", "ww_accuracy", "ww_accuracy_2", "w_fluency", "ww_fluency", "ww_fluency_2")
"""Of graded turns: how many, their weights, the weights' squares, and both times the grades and their squares."""
NO_SUMS = np.zeros(len(SUMS))


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which turns are counted. What is empty filters nothing."""

    alias: str = ""
    version: str = ""
    topic: str = ""
    language: str = ""
    since: dt.date | None = None
    """Whole weeks: from the one that this day is in."""
    until: dt.date | None = None
    """To the one that this day is in."""

    def takes(self, week: int) -> bool:
        return (self.since is None or week >= week_at(self.since)) and (
            self.until is None or week <= week_at(self.until)
        )


class MeasureRow(msgspec.Struct, frozen=True, kw_only=True):
    """The measures of one group. What it was not grouped by is empty, and so is what nobody knows."""

    alias: str = ""
    version: str = ""
    """The SemVer of the version that answered; empty in a row by version: another model of the upstream did."""
    week: str = ""
    """The Monday that it begins with, `2026-11-23`."""
    topic: str = ""
    language: str = ""
    turns: int
    satisfaction: Estimate | None
    """Share of ratings that call the reply good."""
    completion: Estimate | None
    """Share of those who say whether their task was completed that say yes."""
    accuracy: Estimate | None
    """Mean of the grades 1 to 4."""
    fluency: Estimate | None
    """Mean of the grades 1 to 3."""
    preference: Estimate | None
    """Share of choices between two versions' drafts that this version won; without `version`: that the newer of the two
    won. A tie, and neither, is half a win."""


class Group(NamedTuple):
    """What a group has in common, in the order of `DIMENSIONS`."""

    alias: str
    version: str
    week: str
    topic: str
    language: str


def dimensions_of(text: str) -> tuple[Dimension, ...]:
    """`version,week` → both. Raises InvalidInput for a name that is none, or more than three."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    wrong = [name for name in names if name not in DIMENSIONS]
    if wrong or not 1 <= len(names) <= 3:
        what = "by names something that is no dimension." if wrong else f"by names {len(names)} dimensions."
        raise InvalidInput(what, f"Name one to three of {', '.join(DIMENSIONS)}, separated by commas.")
    return tuple(name for name in DIMENSIONS if name in names)


def measured(counts: Counts, by: Sequence[Dimension], only: Filter | None = None) -> list[MeasureRow]:
    """A row a group that has turns, older weeks and versions first.

    Versions are numbered within an alias: who groups by version has the alias in each row as well.
    """
    only = only or Filter()
    wanted = set(by) | ({"alias"} if "version" in by else set())
    turns: dict[Group, Numbers] = {}
    grades: dict[Group, Numbers] = {}
    wins: dict[Group, Numbers] = {}
    for number in sorted(week for week in counts.weeks if only.takes(week)):
        week, day = counts.weeks[number], monday(number).isoformat()
        sums = _grade_sums(week, counts.rounds)
        for at, group in _groups(week.keys, day, wanted, only):
            turns[group] = turns.get(group, NO_TURNS) + week.numbers[at]
            grades[group] = grades.get(group, NO_SUMS) + sums[at]
        _add_wins(wins, week, day, wanted, only)
    return [
        _row(group, turns[group], grades[group], wins.get(group, NO_WINS))
        for group in sorted(turns, key=lambda one: (one.week, one.alias, version_key(one.version), *one[3:]))
    ]


def version_key(version: str) -> tuple[tuple[int, str], ...]:
    """Sorts versions as SemVer does, 1.10.0 behind 1.9.0; nobody's first."""
    return tuple((int(part), "") if part.isdecimal() else (-1, part) for part in version.split("."))


def weights(graded: Numbers, rounds: Numbers) -> Numbers:
    """How many turns each graded turn stands for: `labelling.estimates` for all of them at a time. One that is in no
    item stands for itself."""
    of = dict(zip(GRADED_COLUMNS, graded.T, strict=True))
    first = np.searchsorted(rounds, of["turn_ms"] + SETTLED_MS)
    own = np.maximum(np.searchsorted(rounds, of["item_ms"]), first)
    after, possible = len(rounds) - own, len(rounds) - first
    stands_for = np.where(of["drawn"] == 1, 1 / of["probability"] + after - 1, after) / np.maximum(possible, 1)
    return np.where((possible == 0) | (of["drawn"] < 0), 1.0, stands_for)


def _grade_sums(week: Week, rounds: Numbers) -> Numbers:
    """The `SUMS` of each of the week's keys."""
    sums = np.zeros((len(week.keys), len(SUMS)))
    w = weights(week.graded, rounds)
    ww = w * w
    key, accuracy, fluency = week.graded[:, :3].T
    parts: list[Numbers] = [(w > 0).astype(np.float64), w, ww]
    for grade in (accuracy, fluency):
        parts += [w * grade, ww * grade, ww * grade * grade]
    np.add.at(sums, key.astype(np.intp), np.stack(parts, axis=1))
    return sums


def _groups(keys: Sequence[Key], day: str, wanted: set[str], only: Filter) -> list[tuple[int, Group]]:
    """The places of the keys that are counted, and the groups that they are in."""
    return [
        (at, _group(wanted, key.alias, key.version, day, key.topic, key.language))
        for at, key in enumerate(keys)
        if _fits(only, key.alias, key.version, key.topic, key.language)
    ]


def _add_wins(wins: dict[Group, Numbers], week: Week, day: str, wanted: set[str], only: Filter) -> None:
    """Each pair counts for both its versions, or, where they are not told apart, for the newer one."""
    for key, (count, won) in zip(week.pairs, week.pair_numbers, strict=True):
        sides = {key.version: won, key.other: count - won}
        told_apart = "version" in wanted or only.version
        for version in sides if told_apart else (max(sides, key=version_key),):
            if _fits(only, key.alias, version, key.topic, key.language):
                group = _group(wanted, key.alias, version, day, key.topic, key.language)
                wins[group] = wins.get(group, NO_WINS) + np.array((count, sides[version]))


def _fits(only: Filter, alias: str, version: str, topic: str, language: str) -> bool:
    return (
        (not only.alias or only.alias == alias)
        and (not only.version or only.version == version)
        and (not only.topic or only.topic == topic)
        and (not only.language or only.language == language)
    )


def _group(wanted: set[str], *values: str) -> Group:
    return Group(*(value if name in wanted else "" for name, value in zip(DIMENSIONS, values, strict=True)))


def _row(group: Group, turns: Numbers, grades: Numbers, wins: Numbers) -> MeasureRow:
    of = dict(zip((*COLUMNS, *SUMS), (*turns.tolist(), *grades.tolist()), strict=True))
    count, won = wins.tolist()
    return MeasureRow(
        **group._asdict(),
        turns=int(of["turns"]),
        satisfaction=share(of["good"], int(of["ratings"])),
        completion=share(of["completed"], int(of["said"])),
        accuracy=_grade(of, "accuracy"),
        fluency=_grade(of, "fluency"),
        preference=share(won, int(count)),
    )


def _grade(of: Mapping[str, float], measure: Literal["accuracy", "fluency"]) -> Estimate | None:
    sums = Sums(
        count=int(of["count"]),
        w=of["w"],
        ww=of["ww"],
        wy=of[f"w_{measure}"],
        wwy=of[f"ww_{measure}"],
        wwyy=of[f"ww_{measure}_2"],
    )
    return mean(sums, *SCALES[measure])
