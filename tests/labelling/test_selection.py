"""Which turns are chosen: quotas, shares, and chances that are what they say."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from feedback.labelling.records import Choice
from feedback.labelling.selection import Cell, chances_of, choose, lots_needed, shares
from feedback.settings import LabellingSettings

RULES = LabellingSettings(random_share=0.3, topic_quota=0.5, version_quota=0.6)


def cell(
    size: int, *reasons: Choice, topic: str = "code", version: str = "1.0.0", chance: random.Random | None = None
) -> Cell:
    draw = chance or random.Random(f"{size}{reasons}{topic}{version}")
    lots = sorted((draw.random(), f"turn-{topic}-{version}-{'-'.join(reasons)}-{at}") for at in range(size))
    return Cell(reasons=reasons, topic=topic, version=version, size=size, lots=lots)


def test_shares_are_in_proportion_where_no_quota_is_met() -> None:
    assert shares({"a": 30, "b": 10}, 4, 1.0) == {"a": 3.0, "b": 1.0}


def test_a_quota_holds_while_others_have_turns_left() -> None:
    assert shares({"a": 900, "b": 60, "c": 40}, 100, 0.4) == {"a": 40.0, "b": 36.0, "c": 24.0}


def test_a_quota_gives_way_where_nobody_else_has_any() -> None:
    assert shares({"a": 900, "b": 5}, 100, 0.4) == {"a": 95.0, "b": 5.0}


def test_no_group_gives_more_than_it_has() -> None:
    assert shares({"a": 3, "b": 4}, 100, 0.4) == {"a": 3.0, "b": 4.0}


def test_everything_is_chosen_for_certain_where_less_is_there_than_wanted() -> None:
    chosen = choose([cell(20), cell(5, "disputed")], 100, RULES)
    assert len(chosen) == 25
    assert {one.probability for one in chosen} == {1.0}


def test_each_reason_gets_an_equal_part_and_the_random_share_is_drawn_from_all() -> None:
    cells = [cell(50_000), cell(500, "disputed"), cell(2_000, "low-rated", topic="facts"), cell(4_000, "challenger")]
    counts = Counter(one.choice for one in choose(cells, 1_000, RULES))
    assert 250 <= counts["random"] <= 350
    for reason in ("disputed", "low-rated", "challenger"):
        assert 180 <= counts[reason] <= 290  # 700 / 3


def test_a_reason_with_few_turns_leaves_its_part_to_the_others() -> None:
    counts = Counter(one.choice for one in choose([cell(50_000), cell(2, "disputed")], 1_000, RULES))
    assert counts["disputed"] <= 2
    assert counts["random"] > 900


def test_quotas_hold_for_topics_and_versions_of_one_reason() -> None:
    cells = [
        cell(9_000, "low-rated", topic="code", version="1.0.0"),
        cell(800, "low-rated", topic="code", version="1.1.0"),
        cell(900, "low-rated", topic="facts", version="1.0.0"),
        cell(90_000, topic="other"),
    ]
    chances = chances_of(cells, 500, LabellingSettings(random_share=0.2, topic_quota=0.5, version_quota=0.6))
    expected = [one["low-rated"] * each.size for one, each in zip(chances[:3], cells, strict=False)]
    assert sum(expected) == pytest.approx(400)
    assert expected == pytest.approx([120, 80, 200])


def test_every_turn_has_a_chance() -> None:
    chances = chances_of([cell(40_000), cell(10, "uncertain", topic="facts")], 200, RULES)
    assert all(sum(one.values()) > 0 for one in chances)


def test_turns_are_chosen_as_often_as_their_probability_says() -> None:
    draw, rounds = random.Random(7), 400
    often: Counter[str] = Counter()
    told: dict[str, float] = {}
    for _ in range(rounds):
        cells = [cell(60, chance=draw), cell(12, "disputed", topic="facts", chance=draw)]
        for one in choose(cells, 20, RULES):
            often[one.turn_id] += 1
            told[one.turn_id] = one.probability
    assert len(told) == 72
    for turn_id, probability in told.items():
        assert often[turn_id] / rounds == pytest.approx(probability, abs=0.11)
    disputed = [told[turn_id] for turn_id in told if "disputed" in turn_id]
    assert min(disputed) > max(probability for turn_id, probability in told.items() if "disputed" not in turn_id)


def test_enough_lots_come_in_for_what_is_wanted() -> None:
    draw = random.Random(3)
    for wanted in (1, 20, 500):
        most = max(sum(draw.random() < wanted / 4000 for _ in range(4000)) for _ in range(30))
        assert most < lots_needed(wanted)


def test_nothing_is_chosen_from_nothing() -> None:
    assert choose([], 100, RULES) == []
    assert choose([cell(10)], 0, RULES) == []
