"""Estimates: a sample that is biased on purpose gives what is true of all turns."""

from __future__ import annotations

import datetime as dt
import math
import random
from statistics import fmean

import pytest

from feedback.labelling.estimates import SETTLED_MS, latest_settled, mean_of, share_of, student, turn_ms, weights_of
from feedback.labelling.records import Choice, Item
from feedback.labelling.selection import Cell, choose
from feedback.mint import new_id, now
from feedback.settings import LabellingSettings

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
RULES = LabellingSettings(random_share=0.3)


def turn_id(at: dt.datetime, number: int = 0) -> str:
    return f"turn-{int(at.timestamp() * 1000):012x}{number:020x}"


def item(turn: str, at: dt.datetime, probability: float, choice: Choice = "random") -> Item:
    return Item(
        item_id=new_id("item"), turn_id=turn, created_at=at, project="assistant", choice=choice,
        probability=probability, annotators=1, review=False, language="en", topic="other", version="1.0.0",
    )  # fmt: skip


class World:
    """Turns whose reply is right or not; the wrong ones are rated down, and so chosen, far more often."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.good: dict[str, bool] = {}
        self.low: dict[str, bool] = {}
        self.items: list[Item] = []

    def chat(self, count: int, at: dt.datetime, good_share: float) -> None:
        for _ in range(count):
            name = turn_id(at, len(self.good))
            self.good[name] = self.draw.random() < good_share
            self.low[name] = self.draw.random() < (0.1 if self.good[name] else 0.7)

    def choose(self, wanted: int, at: dt.datetime) -> None:
        taken = {one.turn_id for one in self.items}
        cells = []
        for low in (True, False):
            turns = [name for name in self.good if self.low[name] == low and name not in taken]
            lots = sorted((self.draw.random(), name) for name in turns)
            reasons: tuple[Choice, ...] = ("low-rated",) if low else ()
            cells.append(Cell(reasons=reasons, topic="other", version="1.0.0", size=len(turns), lots=lots))
        chosen = choose(cells, wanted, RULES)
        self.items += [item(one.turn_id, at, one.probability, one.choice) for one in chosen]

    def estimates(self) -> tuple[float, float, float, bool]:
        """What is true, what the sample's plain mean says, what is estimated, and whether the interval holds it."""
        weights = weights_of(self.items)
        plain = fmean(self.good[one.turn_id] for one in self.items)
        found = mean_of((float(self.good[one.turn_id]), weights[one.turn_id]) for one in self.items)
        assert found is not None
        truth = fmean(self.good.values())
        return truth, plain, found.mean, found.low <= truth <= found.high


def test_one_round_chosen_with_bias_is_estimated_without() -> None:
    results = []
    for seed in range(60):
        world = World(seed)
        world.chat(2_000, START, 0.8)
        world.choose(200, START + dt.timedelta(hours=1))
        results.append(world.estimates())
    _check(results, bias=0.15)


def test_many_rounds_over_turns_that_keep_coming_are_estimated_without_bias() -> None:
    results = []
    for seed in range(60):
        world = World(100 + seed)
        for week in range(5):  # what the model says gets worse, and older turns had more rounds to be drawn in
            world.chat(500, START + dt.timedelta(weeks=week), 0.9 - 0.1 * week)
            world.choose(120, START + dt.timedelta(weeks=week, hours=1))
        results.append(world.estimates())
    _check(results, bias=0.1)


def _check(results: list[tuple[float, float, float, bool]], bias: float) -> None:
    errors = [found - truth for truth, _, found, _ in results]
    apart = fmean(errors)
    noise = math.sqrt(fmean(error**2 for error in errors) / len(errors))
    held = fmean(holds for *_, holds in results)
    plain = fmean(plain - truth for truth, plain, _, _ in results)
    print(f"plain mean off by {plain:+.3f}, estimate by {apart:+.4f} (noise {noise:.4f}), intervals hold {held:.0%}")
    assert plain < -bias, "the sample is not biased: this test says nothing"
    assert abs(apart) < 3 * noise
    assert abs(apart) < bias / 8
    assert held >= 0.88


def test_a_turn_that_was_asked_for_stands_for_itself() -> None:
    hour = dt.timedelta(hours=1)
    asked = item(turn_id(START), START + hour, 1.0, "asked")
    drawn = item(turn_id(START, 1), START + 2 * hour, 0.5)
    later = item(turn_id(START, 2), START + 3 * hour, 0.25)
    gold = item(turn_id(START, 1), START + 4 * hour, 1.0, "gold")
    again = item(turn_id(START, 2), START + 5 * hour, 1.0, "asked")
    weights = weights_of([again, asked, drawn, later, gold])
    assert weights[asked.turn_id] == 1.0
    assert weights[drawn.turn_id] == (1 / 0.5 + 1) / 2
    assert weights[later.turn_id] == 1 / 0.25 / 2
    assert len(weights) == 3


def test_a_round_counts_only_turns_that_had_settled() -> None:
    at = START + dt.timedelta(hours=1)
    assert turn_id(at - dt.timedelta(milliseconds=SETTLED_MS)) <= latest_settled(at)
    assert turn_id(at - dt.timedelta(milliseconds=SETTLED_MS - 1)) > latest_settled(at)
    early, late = item(turn_id(START), at, 0.5), item(turn_id(at), at + dt.timedelta(hours=1), 0.5)
    assert weights_of([early, late])[late.turn_id] == 2.0, "it had one round, not two"


def test_ids_tell_when_their_turn_began() -> None:
    before = int(now().timestamp() * 1000)
    assert before <= turn_ms(new_id("turn")) <= before + 60_000
    assert turn_ms("turn-of-somebody-else") == 0


@pytest.mark.parametrize(("freedom", "expected"), [(2, 4.303), (5, 2.571), (10, 2.228), (30, 2.042), (1000, 1.962)])
def test_students_quantiles_are_the_tables(freedom: float, expected: float) -> None:
    assert student(freedom) == pytest.approx(expected, rel=0.01)


def test_a_mean_weighs_and_says_how_sure_it_is() -> None:
    found = mean_of([(4.0, 1.0), (1.0, 3.0), (2.0, 1.0)])
    assert found is not None
    assert found.mean == pytest.approx(9 / 5)
    assert found.low < 1.8 < found.high
    assert found.effective == pytest.approx(25 / 11)
    assert mean_of([]) is None
    alone = mean_of([(3.0, 1.0)])
    assert alone is not None and alone.high == math.inf


def test_a_share_of_none_is_not_said_to_be_none_for_certain() -> None:
    found = share_of([(False, 1.0)] * 10)
    assert found is not None
    assert found.mean == 0 and found.low == 0
    assert found.high == pytest.approx(0.2775, abs=0.001)  # Wilson's for 0 of 10
    assert share_of([]) is None
