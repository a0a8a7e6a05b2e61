"""One look at everything that was said: who is to be believed, who moved, what is suspicious.

Reads one state of the store and decides; whoever asked stores what was found. Heavy with millions of ratings, so for a
thread of its own, and not for every request.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING

import duckdb
import msgspec

from feedback.quality.agreement import Agreement, agreement, agreement_of_each
from feedback.quality.crowd import against_the_crowd, without
from feedback.quality.drift import Drift, Series, drift_of
from feedback.quality.grades import LEVELS, Grades, Question, read_grades
from feedback.quality.poisoning import bursts, near_identical, over_quota, read_comments
from feedback.quality.quarantine import Book
from feedback.quality.records import Quarantine
from feedback.quality.trust import Trust, expected, trust_in_annotators, trust_in_users
from feedback.settings import QualitySettings

if TYPE_CHECKING:
    from feedback.quality.votes import Votes


DRIFTING_USERS, DRIFTING_VOTES = 1000, 200
"""Of how many users, the busiest, and of how many of their latest votes it is looked whether they drift."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What one look found."""

    at: dt.datetime
    agreement: dict[Question, Agreement]
    """Of trained people's blind grades."""
    annotators: dict[Question, dict[str, Agreement]]
    """The same for each annotator with the others."""
    raters: list[Trust]
    """Least trusted first."""
    drifts: list[Drift]
    fresh: list[Quarantine]
    """Suspicions that are not in the store yet."""


def look(
    cursor: duckdb.DuckDBPyConnection, rules: QualitySettings, now: dt.datetime, last: dt.datetime | None = None
) -> Look:
    """Look at all of it; where there was a `last` look, for floods and bursts only at what was said since the
    day before it. Raises duckdb.Error."""
    from feedback.quality.votes import read_votes  # numpy

    book, since = Book.read(cursor), now - dt.timedelta(days=rules.window_days)
    forgiven, lately = book.forgiven(), since if last is None else max(since, _day_before(last))
    votes, grades = read_votes(cursor, since), read_grades(cursor)
    findings = [
        *bursts(cursor, rules, lately, forgiven),
        *over_quota(cursor, rules, lately, forgiven),
        *near_identical(read_comments(cursor, since), rules),
    ]
    caught = {one.target for one in findings if one.kind == "rater"}
    left = without(votes, caught) if caught else votes  # a flood must not be what others are compared with
    users = trust_in_users(left)
    weights = {one.rater: one.weight for one in users}
    findings += against_the_crowd(left, weights, rules, forgiven)
    annotators = trust_in_annotators(grades)
    return Look(
        at=now,
        agreement={question: agreement(grades.units(question), level) for question, level in LEVELS.items()},
        annotators={question: agreement_of_each(grades.units(question), level) for question, level in LEVELS.items()},
        raters=sorted([*users, *annotators], key=lambda one: (one.weight, one.trust, one.rater)),
        drifts=[*_drifts_of_users(left, weights, rules), *_drifts_of_annotators(grades, rules)],
        fresh=book.new(findings, now),
    )


def _day_before(last: dt.datetime) -> dt.datetime:
    """Quotas are of whole days."""
    return last.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0) - dt.timedelta(days=1)


def _drifts_of_annotators(grades: Grades, rules: QualitySettings) -> list[Drift]:
    found = []
    for name in grades.annotators:
        own = grades.of(name)
        series: dict[Series, list[float]] = {
            "accuracy": [float(one.accuracy) for one in own],
            "fluency": [float(one.fluency) for one in own],
            "agreement": [float(one) for one in grades.agreed(name)],
        }
        for what, values in series.items():
            one = drift_of(name, what, values, rules.drift_votes, trained=True)
            found += [one] if one is not None else []
    return found


def _drifts_of_users(votes: Votes, weights: Mapping[str, float], rules: QualitySettings) -> list[Drift]:
    """By how often they agree with who can tell; how often they are content moves with the model, not with them."""
    if rules.drift_votes <= 0 or not len(votes):
        return []
    import numpy as np

    chance, worth = expected(votes, np.array([weights.get(name, 1.0) for name in votes.raters]))
    told = np.flatnonzero(worth > 0)
    rater, agreed = votes.rater[told], votes.good[told] == (chance[told] >= 0.5)
    order = np.argsort(rater, kind="stable")  # a rater's votes stay in the order of time
    counts = np.bincount(rater, minlength=len(votes.raters))
    ends = np.cumsum(counts)
    found = []
    for one in np.argsort(-counts, kind="stable")[:DRIFTING_USERS].tolist():
        if votes.raters[one] and counts[one] > rules.drift_votes:
            own = agreed[order[ends[one] - counts[one] : ends[one]][-DRIFTING_VOTES:]]
            values = own.astype(np.float64).tolist()
            found.append(drift_of(votes.raters[one], "agreement", values, rules.drift_votes, trained=False))
    return [one for one in found if one is not None]
