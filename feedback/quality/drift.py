"""Drift: a rater who grades differently from how they began, before it shows in any average.

CUSUM, as in a factory: what lies beyond half a standard deviation from the mean of a rater's first verdicts is added
up, upwards and downwards each, and a sum that grows past `ALARM` standard deviations is an alarm. It finds a lasting
change of one deviation within a dozen verdicts. Pure; it says that something moved, not who is right.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

SLACK = 0.5
"""Standard deviations from the first mean that are nobody's drift."""
ALARM = 10.0
"""Sum of deviations from which it is one. The textbook's 5 is for a mean that is known; ours is of a few verdicts."""
LEAST_DEVIATION = 0.25
"""Of the first verdicts: who began with the same grade always must not be alarmed by a single other."""

Series = Literal["accuracy", "fluency", "agreement"]


class Drift(msgspec.Struct, frozen=True, kw_only=True):
    """That a rater's verdicts moved."""

    rater: str
    trained: bool
    series: Series
    """What moved: grades, or how often they agree with who can tell (1 or 0 each)."""
    direction: Literal["up", "down"]
    before: float
    """Mean of the first verdicts."""
    after: float
    """Mean since the drift began."""
    verdicts: int
    """How many since."""


def drift(values: Sequence[float], first: int) -> tuple[Literal["up", "down"], float, float, int] | None:
    """Direction, mean before, mean since, verdicts since; of the drift that holds at the end, if one does.

    `values` are oldest first, the `first` of them are what the others are compared with.
    """
    if first <= 1 or len(values) <= first:
        return None
    begun = values[:first]
    mean = math.fsum(begun) / first
    deviation = max(LEAST_DEVIATION, math.sqrt(math.fsum((value - mean) ** 2 for value in begun) / (first - 1)))
    for direction, sign in (("up", 1.0), ("down", -1.0)):
        total, start, alarmed = 0.0, first, False
        for place in range(first, len(values)):
            total = min(2 * ALARM, max(0.0, total + sign * (values[place] - mean) / deviation - SLACK))
            if total == 0.0:
                start, alarmed = place + 1, False  # it went back to where it was
            alarmed = alarmed or total >= ALARM
        if alarmed:
            since = values[start:]
            return ("up" if direction == "up" else "down"), mean, math.fsum(since) / len(since), len(since)
    return None


def drift_of(rater: str, series: Series, values: Sequence[float], first: int, *, trained: bool) -> Drift | None:
    """The drift of one series, if there is one."""
    found = drift(values, first)
    if found is None:
        return None
    direction, before, after, verdicts = found
    return Drift(
        rater=rater,
        trained=trained,
        series=series,
        direction=direction,
        before=round(before, 3),
        after=round(after, 3),
        verdicts=verdicts,
    )
