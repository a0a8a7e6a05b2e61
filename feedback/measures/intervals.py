"""How sure a figure is: intervals that hold the true value in 95 of 100 cases.

Shares have Wilson's interval, which keeps its promise for few and for lopsided counts. Means have Student's, over
answers that may weigh differently: a turn that was chosen with probability p stands for 1/p turns (Hájek's estimate).
Both are worked out from sums alone, so that sums of parts add up to the whole's.
"""

from __future__ import annotations

import math
import statistics

import msgspec

CONFIDENCE = 0.95
"""How often an interval holds the true value."""
Z = statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
SMALL_T = {1: 12.706205, 2: 4.302653}
"""Student's quantile where its expansion is not good enough, by degrees of freedom."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A figure and its interval."""

    value: float
    low: float
    high: float
    """The true value lies between `low` and `high` in 95 of 100 cases."""
    count: int
    """How many answers it was worked out from, at least 1."""


class Sums(msgspec.Struct, frozen=True, kw_only=True):
    """What is kept of answers y that weigh w each."""

    count: int = 0
    w: float = 0.0
    wy: float = 0.0
    ww: float = 0.0
    wwy: float = 0.0
    wwyy: float = 0.0

    def __add__(self, other: Sums) -> Sums:
        return Sums(
            count=self.count + other.count,
            w=self.w + other.w,
            wy=self.wy + other.wy,
            ww=self.ww + other.ww,
            wwy=self.wwy + other.wwy,
            wwyy=self.wwyy + other.wwyy,
        )


def share(good: float, count: int) -> Estimate | None:
    """The share of `good` among `count`, 0 to 1, with Wilson's interval; none among none. Halves may count as good."""
    if not count:
        return None
    low, high = wilson(good / count, count)
    return Estimate(value=good / count, low=low, high=high, count=count)


def mean(sums: Sums, least: float, most: float) -> Estimate | None:
    """The weighed mean of answers on a scale from `least` to `most`, with Student's interval; none of none.

    Where all answers are alike their spread says nothing: the interval is then that of a share of the scale.
    """
    if not sums.count:
        return None
    value = min(max(sums.wy / sums.w, least), most)
    effective = sums.w**2 / sums.ww
    """How many answers of equal weight would be as sure."""
    spread = sums.wwyy - 2 * value * sums.wwy + value**2 * sums.ww
    if effective <= 1 + 1e-9 or spread <= 1e-9 * sums.ww:
        low, high = (least + (most - least) * end for end in wilson((value - least) / (most - least), effective))
    else:
        error = math.sqrt(spread / sums.w**2 * effective / (effective - 1))
        margin = error * t_quantile(effective - 1)
        low, high = max(value - margin, least), min(value + margin, most)
    return Estimate(value=value, low=low, high=high, count=sums.count)


def wilson(proportion: float, count: float) -> tuple[float, float]:
    """Wilson's score interval of a proportion among `count` answers."""
    centre = proportion + Z**2 / (2 * count)
    margin = Z * math.sqrt(proportion * (1 - proportion) / count + Z**2 / (4 * count**2))
    scale = 1 + Z**2 / count
    return max(0.0, (centre - margin) / scale), min(1.0, (centre + margin) / scale)


def t_quantile(freedom: float) -> float:
    """Student's quantile for the interval, by degrees of freedom (rounded down below 3), to about 0.1 %.

    Fisher's and Cornish's expansion around the normal quantile.
    """
    if freedom < 3:
        return SMALL_T[max(1, int(freedom))]
    z = Z
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / freedom**power for power, term in enumerate(terms, start=1))
