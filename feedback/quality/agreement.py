"""How far people agree beyond chance: Cohen's and Fleiss' kappa and Krippendorff's alpha.

All three are 1 where everybody agrees, 0 where they agree as often as chance would have it, below 0 where less often;
none where they can't be told, because nothing was judged twice or everybody always said the same one thing. Alpha is
the one to look at: it takes any number of raters, gaps, and grades that are near or far. Kappas are for comparing with
others' figures.

numpy and krippendorff are imported where they are used: a gateway at rest doesn't need them.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Literal, TypeVar

import msgspec

Level = Literal["nominal", "ordinal", "interval"]
"""Whether values are only the same or not, or in an order, or at distances."""
Distance = Literal["none", "linear", "quadratic"]
"""How much worse it is to be further apart: not at all, by steps, by steps squared."""
Value = TypeVar("Value", bound=Hashable)
Units = Sequence[Mapping[str, int]]
"""What was judged: for each, rater → value."""


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """How far raters agree on one question."""

    units: int
    """How many turns two or more raters judged."""
    raters: int
    share: float | None
    """Of pairs of raters on a unit, those who gave the same value; 0 to 1."""
    alpha: float | None
    """Krippendorff's."""
    fleiss: float | None
    """Fleiss' kappa."""
    cohen: float | None
    """Cohen's kappa, where there are two raters only, or one against all others."""


def cohen_kappa(pairs: Sequence[tuple[int, int]], distance: Distance = "none") -> float | None:
    """Cohen's kappa (1960) of two raters; with a distance, his weighted kappa (1968).

    `pairs` has what both said of each unit. None without units, or where chance alone makes them agree always.
    """
    if not pairs:
        return None
    count = len(pairs)
    firsts, seconds = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    observed = sum(_apart(one, other, distance) for one, other in pairs) / count
    expected = (
        sum(n * m * _apart(one, other, distance) for one, n in firsts.items() for other, m in seconds.items())
        / count**2
    )
    return 1 - observed / expected if expected else None


def _apart(one: int, other: int, distance: Distance) -> float:
    if distance == "none":
        return float(one != other)
    return float(abs(one - other) if distance == "linear" else (one - other) ** 2)


def fleiss_kappa(counts: Sequence[Sequence[int]]) -> float | None:
    """Fleiss' kappa (1971): for each unit, how many raters gave each value.

    He has the same number of raters for each unit. Where they differ, each unit's own number is used; units with fewer
    than two say nothing about agreement and are left out. None where nothing is left, or there is one value only.
    """
    judged = [row for row in counts if sum(row) > 1]
    if not judged:
        return None
    raters = [sum(row) for row in judged]
    total = sum(raters)
    agreed = [(sum(n * n for n in row) - size) / (size * (size - 1)) for row, size in zip(judged, raters, strict=True)]
    shares = [sum(column) / total for column in zip(*judged, strict=True)]
    by_chance = math.fsum(share * share for share in shares)
    return (math.fsum(agreed) / len(judged) - by_chance) / (1 - by_chance) if by_chance < 1 else None


def krippendorff_alpha(units: Units, level: Level) -> float | None:
    """Krippendorff's alpha. Units that one rater judged are left out; none where nothing is left or all is the same."""
    judged = [unit for unit in units if len(unit) > 1]
    values = sorted({value for unit in judged for value in unit.values()})
    if len(values) < 2:
        return None
    import krippendorff
    import numpy as np

    return float(
        krippendorff.alpha(
            value_counts=np.array(value_counts(judged, values)), value_domain=values, level_of_measurement=level
        )
    )


def value_counts(units: Units, values: Sequence[int]) -> list[list[int]]:
    """For each unit, how many raters gave each of the values."""
    places = {value: place for place, value in enumerate(values)}
    table = []
    for unit in units:
        row = [0] * len(values)
        for value in unit.values():
            row[places[value]] += 1
        table.append(row)
    return table


def agreement(units: Units, level: Level) -> Agreement:
    """How far all raters of these units agree."""
    judged = [unit for unit in units if len(unit) > 1]
    values = sorted({value for unit in judged for value in unit.values()})
    raters = sorted({rater for unit in judged for rater in unit})
    pairs = [pair for unit in judged for pair in itertools.combinations(unit.values(), 2)]
    both = [(unit[raters[0]], unit[raters[1]]) for unit in judged] if len(raters) == 2 else []
    return Agreement(
        units=len(judged),
        raters=len(raters),
        share=_share(pairs),
        alpha=krippendorff_alpha(judged, level),
        fleiss=fleiss_kappa(value_counts(judged, values)),
        cohen=cohen_kappa(both),
    )


def agreement_of_each(units: Units, level: Level) -> dict[str, Agreement]:
    """How far each rater agrees with the others, rater by rater.

    Alpha is of the units that they judged; Cohen's kappa is of their values against each other rater's there.
    """
    mine: dict[str, list[Mapping[str, int]]] = defaultdict(list)
    for unit in units:
        if len(unit) > 1:
            for rater in unit:
                mine[rater].append(unit)
    return {rater: _against_others(rater, found, level) for rater, found in sorted(mine.items())}


def _against_others(rater: str, units: Sequence[Mapping[str, int]], level: Level) -> Agreement:
    pairs = [(unit[rater], value) for unit in units for other, value in unit.items() if other != rater]
    return Agreement(
        units=len(units),
        raters=len({name for unit in units for name in unit}),
        share=_share(pairs),
        alpha=krippendorff_alpha(units, level),
        fleiss=None,
        cohen=cohen_kappa(pairs),
    )


def _share(pairs: Iterable[tuple[int, int]]) -> float | None:
    same = [one == other for one, other in pairs]
    return sum(same) / len(same) if same else None
