"""Unbiased estimates from a sample that was biased on purpose: of all turns, from those that somebody annotated.

Items are chosen in rounds. In each, every turn that is in no item yet has a known chance above 0 (`selection`), which
its item keeps if it is drawn. One round alone would be estimated by weighing its items by 1 / probability
(Horvitz-Thompson). Of many rounds each gives an estimate of its own, where the turns that became items before stand for
themselves (Des Raj); the mean of these over the rounds in which a turn could have been drawn weighs a turn drawn in
the s-th of R such rounds by

    (1 / probability + R - s) / R

and one that an operator asked for by the share of rounds that came after. Whatever the choices look at, also what was
annotated before, the weights stay unbiased, as a round's chances are set before its lots are drawn. Means are weighed
means (Hájek), so that what is never annotated, or erased, only costs precision.
"""

from __future__ import annotations

import datetime as dt
import math
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from statistics import NormalDist

import msgspec

from feedback.labelling.records import Item

SETTLED_MS = 60_000
"""A turn is in a round's frame if it had begun so many milliseconds before it: by then most are stored."""
CONFIDENCE = 0.95


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """A mean of all turns, and between which bounds it lies in 95 of 100 samples."""

    mean: float
    low: float
    high: float
    count: int
    """How many values it comes from."""
    effective: float
    """How many equally weighed values would say as much (Kish)."""


def turn_ms(turn_id: str) -> int:
    """When a turn began, in milliseconds since 1970, by its id; 0 where the id does not tell."""
    try:
        return int(turn_id.removeprefix("turn-")[:12], 16)
    except ValueError:
        return 0


def latest_settled(moment: dt.datetime) -> str:
    """The greatest turn id that is in the frame of a round at that moment."""
    return f"turn-{_ms(moment) - SETTLED_MS:012x}{'f' * 20}"


def weights_of(items: Sequence[Item]) -> dict[str, float]:
    """The weight of each turn that became an item, by turn id, from all items of a store: give none of them less.

    A turn may be several items, as gold, or asked for again: the first one counts.
    """
    rounds = sorted({_ms(item.created_at) for item in items if _by_lot(item)})
    first: dict[str, Item] = {}
    for item in sorted(items, key=lambda one: (one.created_at, one.item_id)):
        if item.choice != "gold":
            first.setdefault(item.turn_id, item)
    return {turn_id: _weight(item, rounds) for turn_id, item in first.items()}


def mean_of(values: Iterable[tuple[float, float]]) -> Estimate | None:
    """The mean of (value, weight) pairs, with Student's t on the effective number; none without any weight.

    One value alone, or many that are alike, has no spread to go by: see `share_of` for what is yes or no.
    """
    pairs = [(value, weight) for value, weight in values if weight > 0]
    total = math.fsum(weight for _, weight in pairs)
    if not total:
        return None
    mean = math.fsum(value * weight for value, weight in pairs) / total
    effective = total**2 / math.fsum(weight**2 for _, weight in pairs)
    half = math.inf
    if len(pairs) > 1 and effective > 1:
        spread = math.fsum((weight * (value - mean)) ** 2 for value, weight in pairs) / total**2
        half = student(effective - 1) * math.sqrt(spread * len(pairs) / (len(pairs) - 1))
    return Estimate(mean=mean, low=mean - half, high=mean + half, count=len(pairs), effective=effective)


def share_of(values: Iterable[tuple[bool, float]]) -> Estimate | None:
    """The share of yeses among (yes, weight) pairs, with Wilson's interval on the effective number."""
    pairs = [(yes, weight) for yes, weight in values if weight > 0]
    total = math.fsum(weight for _, weight in pairs)
    if not total:
        return None
    share = math.fsum(weight for yes, weight in pairs if yes) / total
    n = total**2 / math.fsum(weight**2 for _, weight in pairs)
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low, high = (middle - half if share > 0 else 0.0), (middle + half if share < 1 else 1.0)
    return Estimate(mean=share, low=low, high=high, count=len(pairs), effective=n)


def student(freedom: float) -> float:
    """The two-sided 95 % quantile of Student's t, for `freedom` degrees (above 0), to 1 % from two degrees on.

    Cornish and Fisher's expansion, as statistics has only the normal one; below two degrees it is the value for one.
    """
    if freedom < 2:
        return 12.706
    z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    fourth = (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160
    return z + first / freedom + second / freedom**2 + third / freedom**3 + fourth / freedom**4


def _weight(item: Item, rounds: Sequence[int]) -> float:
    first = bisect_left(rounds, turn_ms(item.turn_id) + SETTLED_MS)
    own = bisect_left(rounds, _ms(item.created_at), lo=min(first, len(rounds)))
    possible = len(rounds) - first
    if possible <= 0 or not item.version:
        return 1.0  # asked for, and in no round's frame: it stands for itself
    if not _by_lot(item):
        return (len(rounds) - own) / possible
    return (1 / item.probability + len(rounds) - own - 1) / possible


def _by_lot(item: Item) -> bool:
    return item.choice not in ("asked", "gold")


def _ms(moment: dt.datetime) -> int:
    return int(moment.timestamp() * 1000)
