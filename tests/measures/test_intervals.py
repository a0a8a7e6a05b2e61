"""Intervals agree with published figures, and hold the truth as often as they promise."""

import random

import pytest

from feedback.measures.intervals import Sums, mean, share, t_quantile, wilson


def sums_of(answers: list[tuple[float, float]]) -> Sums:
    total = Sums()
    for y, w in answers:
        total += Sums(count=1, w=w, wy=w * y, ww=w * w, wwy=w * w * y, wwyy=w * w * y * y)
    return total


@pytest.mark.parametrize(
    ("good", "count", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_shares_have_the_intervals_that_newcombe_published(good, count, low, high):
    found = share(good, count)
    assert (found.low, found.high) == pytest.approx((low, high), abs=5e-5) and found.value == good / count


@pytest.mark.parametrize(("freedom", "quantile"), [(1, 12.706), (2, 4.303), (3, 3.182), (5, 2.571), (30, 2.042)])
def test_students_quantiles_are_those_of_the_tables(freedom, quantile):
    assert t_quantile(freedom) == pytest.approx(quantile, rel=2e-3)


def test_a_mean_of_equal_weights_is_the_textbooks():
    found = mean(sums_of([(y, 1.0) for y in (1, 2, 3, 4, 4)]), 1, 4)
    assert found.value == pytest.approx(2.8) and found.count == 5
    assert found.high == 4 and found.low == pytest.approx(2.8 - 2.776 * (1.7 / 5) ** 0.5, abs=2e-3)


def test_answers_that_are_all_alike_or_alone_say_little():
    alone, alike = mean(sums_of([(4, 1.0)]), 1, 4), mean(sums_of([(4, 2.0)] * 3), 1, 4)
    assert alone.value == alike.value == alike.high == 4 and alone.low < alike.low < 3
    assert mean(Sums(), 1, 4) is None and share(0, 0) is None


def test_intervals_hold_the_truth_in_95_of_100_cases():
    drawn, tries = random.Random(1), 1500
    held = weighed = 0
    for _ in range(tries):
        good = sum(drawn.random() < 0.9 for _ in range(40))
        low, high = wilson(good / 40, 40)
        held += low <= 0.9 <= high
        # Bad answers are drawn four times as often as good ones: the plain mean would be far off.
        answers = [(1.0, 1.0) if drawn.random() < 0.3 else (4.0, 4.0) for _ in range(400)]
        kept = [(y, w) for y, w in answers if drawn.random() < 1 / w]
        found = mean(sums_of(kept), 1, 4)
        weighed += found.low <= 3.1 <= found.high
    assert 0.92 < held / tries < 0.99 and 0.92 < weighed / tries < 0.98
