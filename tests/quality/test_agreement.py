"""The statistics of agreement, against published tables and a library that knows nothing of ours."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.metrics.agreement import AnnotationTask
from nltk.metrics.distance import interval_distance

from feedback.quality.agreement import (
    Distance,
    agreement,
    agreement_of_each,
    cohen_kappa,
    fleiss_kappa,
    krippendorff_alpha,
)

COHEN = [[88, 14, 18], [10, 40, 10], [2, 6, 12]]
"""Cohen (1960), table 1: two clinicians, 200 patients, by diagnosis; kappa is .492."""
FLEISS = [
    [0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1],
    [7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7],
]  # fmt: skip
"""The worked example of Fleiss' kappa: 14 raters, 10 subjects, 5 categories; kappa is .210."""
FLEISS_1971 = (
    "444444 222555 233335 555555 222444 113333 333355 113334 114444 555555 144444 124444 222333 144444 224445 "
    "333335 111455 111112 224444 133555 555555 244444 224555 114444 144445 222224 111155 224444 133333 555555"
)
"""Fleiss (1971), table 1: 30 patients, each diagnosed by six psychiatrists as one of five; kappa is .430."""
STATSMODELS = {
    "fleiss": 0.43024452006014,
    "none": 0.49152542372881,
    "linear": 0.47368421052632,
    "quadratic": 0.45454545454545,
}
"""What statsmodels 0.15.0 says of that table, and of Cohen's by distance."""
_ = None
KRIPPENDORFF = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, _, _, _],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, _, 3],
    [_, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, _],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, _],
]
"""Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", C: 4 observers, 12 units; by level below."""
ALPHAS = {"nominal": 0.743, "ordinal": 0.815, "interval": 0.849}


def pairs_of(table: list[list[int]]) -> list[tuple[int, int]]:
    return [(row, column) for row, counts in enumerate(table) for column, n in enumerate(counts) for _ in range(n)]


def units_of(table: list[list[int | None]]) -> list[dict[str, int]]:
    columns = zip(*table, strict=True)
    return [{f"r{who}": value for who, value in enumerate(column) if value is not None} for column in columns]


def cohen_by_definition(pairs: list[tuple[int, int]]) -> float:
    """(po - pe) / (1 - pe), from the table's margins, by numpy."""
    size = 1 + max(max(pair) for pair in pairs)
    table = np.zeros((size, size))
    for one, other in pairs:
        table[one, other] += 1
    table /= table.sum()
    chance = float((table.sum(axis=0) * table.sum(axis=1)).sum())
    return float((np.trace(table) - chance) / (1 - chance))


def alpha_by_definition(units: list[dict[str, int]], level: str) -> float:
    """1 - Do / De over all pairs, as Krippendorff writes it out; slow, and without his coincidence matrix."""
    judged = [list(unit.values()) for unit in units if len(unit) > 1]
    values = [value for unit in judged for value in unit]
    total = len(values)
    marks = {value: values.count(value) for value in set(values)}

    def apart(one: int, other: int) -> float:
        if level == "nominal":
            return float(one != other)
        if level == "interval":
            return float((one - other) ** 2)
        low, high = sorted((one, other))
        between = sum(count for value, count in marks.items() if low <= value <= high)
        return (between - (marks[low] + marks[high]) / 2) ** 2

    observed = sum(
        sum(apart(one, other) for at, one in enumerate(unit) for to, other in enumerate(unit) if at != to)
        / (len(unit) - 1)
        for unit in judged
    )
    expected = sum(apart(one, other) for at, one in enumerate(values) for to, other in enumerate(values) if at != to)
    return 1 - (observed / total) / (expected / (total * (total - 1)))


def test_cohens_own_table() -> None:
    found = cohen_kappa(pairs_of(COHEN))
    assert found is not None and math.isclose(found, cohen_by_definition(pairs_of(COHEN)), abs_tol=1e-9)
    assert round(found, 3) == 0.492


def test_cohen_and_alpha_are_those_of_a_library() -> None:
    both = [(who, str(at), pair[who]) for at, pair in enumerate(pairs_of(COHEN)) for who in (0, 1)]
    found = cohen_kappa(pairs_of(COHEN))
    assert found is not None and math.isclose(found, AnnotationTask(data=both).kappa(), abs_tol=1e-9)
    units = units_of(KRIPPENDORFF)
    marks = [(who, str(at), value) for at, unit in enumerate(units) if len(unit) > 1 for who, value in unit.items()]
    nominal, distances = krippendorff_alpha(units, "nominal"), krippendorff_alpha(units, "interval")
    assert nominal is not None and math.isclose(nominal, AnnotationTask(data=marks).alpha(), abs_tol=1e-9)
    theirs = AnnotationTask(data=marks, distance=interval_distance).alpha()
    assert distances is not None and math.isclose(distances, theirs, abs_tol=1e-9)


def test_fleisss_worked_example() -> None:
    found = fleiss_kappa(FLEISS)
    counts = np.array(FLEISS, float)
    raters = counts.sum(axis=1)[0]
    each = ((counts**2).sum(axis=1) - raters) / (raters * (raters - 1))
    chance = float(((counts.sum(axis=0) / counts.sum()) ** 2).sum())
    assert found is not None and math.isclose(found, (each.mean() - chance) / (1 - chance), abs_tol=1e-9)
    assert round(found, 3) == 0.210


def test_fleisss_own_data() -> None:
    found = fleiss_kappa([[row.count(value) for value in "12345"] for row in FLEISS_1971.split()])
    assert found is not None and math.isclose(found, STATSMODELS["fleiss"], abs_tol=1e-9)


@pytest.mark.parametrize("distance", ["none", "linear", "quadratic"])
def test_cohens_table_by_distance(distance: Distance) -> None:
    found = cohen_kappa(pairs_of(COHEN), distance)
    assert found is not None and math.isclose(found, STATSMODELS[distance], abs_tol=1e-9)


@pytest.mark.parametrize("level", ALPHAS)
def test_krippendorffs_own_data(level: str) -> None:
    units = units_of(KRIPPENDORFF)
    found = krippendorff_alpha(units, level)
    assert found is not None and math.isclose(found, alpha_by_definition(units, level), abs_tol=1e-9)
    assert round(found, 3) == ALPHAS[level]


@given(st.integers(0, 2**32))
def test_any_grades_agree_with_the_definitions(seed: int) -> None:
    source = random.Random(seed)
    units = [
        {f"r{who}": source.randint(1, 4) for who in range(4) if source.random() < 0.7}
        for _ in range(source.randint(4, 20))
    ]
    for level in ALPHAS:
        found = krippendorff_alpha(units, level)
        if found is not None:
            assert math.isclose(found, alpha_by_definition(units, level), abs_tol=1e-9)
    pairs = [(source.randint(0, 3), source.randint(0, 3)) for _ in range(30)]
    found = cohen_kappa(pairs)
    assert found is not None and math.isclose(found, cohen_by_definition(pairs), abs_tol=1e-9)


def test_what_can_not_be_told_is_none() -> None:
    assert cohen_kappa([]) is None and fleiss_kappa([]) is None and krippendorff_alpha([{"a": 1}], "nominal") is None
    assert cohen_kappa([(1, 1), (1, 1)]) is None  # both say the same one thing always: chance alone agrees
    nothing = agreement([{"a": 1}], "nominal")
    assert (nothing.units, nothing.alpha, nothing.share) == (0, None, None)


def test_each_annotator_is_set_against_the_others() -> None:
    units = [{"a": n % 4, "b": n % 4, "c": (n + 1) % 4} for n in range(12)]
    each = agreement_of_each(units, "nominal")
    assert each["a"].share == 0.5 and each["c"].share == 0.0
    assert each["a"].cohen > each["c"].cohen
