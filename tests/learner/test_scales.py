"""The choice of the adapter's scale, a pure function."""

import pytest

from feedback.errors import InvalidInput
from learner.scales import Trial, choose, scale_tag


def trial(scale: float, task: float, general: float, task_items: int = 20) -> Trial:
    return Trial(scale=scale, task=task, task_items=task_items, general=general, general_items=30)


def test_the_best_learner_among_those_that_keep_enough_goes_on() -> None:
    trials = [trial(1.0, 0.9, 0.40), trial(0.8, 0.7, 0.66), trial(0.6, 0.5, 0.70)]
    choice = choose(trials, 0.7, 0.9)
    assert choice.scale == 0.8
    assert choice.retention == pytest.approx(0.66 / 0.7)


def test_keeping_just_the_floor_is_too_little_for_so_few_questions() -> None:
    trials = [trial(1.0, 0.9, 0.9 * 0.7), trial(0.8, 0.7, 0.92 * 0.7)]
    assert choose(trials, 0.7, 0.9).scale == 0.8


def test_where_none_keeps_enough_the_one_that_keeps_most_goes_on_for_the_gate_to_judge() -> None:
    choice = choose([trial(1.0, 0.9, 0.2), trial(0.8, 0.8, 0.3), trial(0.6, 0.7, 0.3)], 0.7, 0.9)
    assert choice.scale == 0.6
    assert "keeps most" in choice.reason


def test_of_equals_the_one_that_keeps_more_and_then_the_smaller_goes_on() -> None:
    assert choose([trial(1.0, 0.8, 0.66), trial(0.8, 0.8, 0.69), trial(0.6, 0.8, 0.68)], 0.7, 0.9).scale == 0.8
    assert choose([trial(1.0, 0.8, 0.7), trial(0.8, 0.8, 0.7)], 0.7, 0.9).scale == 0.8


def test_without_validation_rows_the_largest_that_keeps_enough_goes_on() -> None:
    trials = [trial(1.0, 0, 0.4, 0), trial(0.8, 0, 0.66, 0), trial(0.6, 0, 0.7, 0)]
    choice = choose(trials, 0.7, 0.9)
    assert choice.scale == 0.8
    assert "no validation rows" in choice.reason


def test_a_floor_of_one_can_be_met() -> None:
    assert choose([trial(1.0, 0.9, 0.7), trial(0.6, 0.5, 0.8)], 0.7, 1.0).scale == 1.0


def test_a_champion_that_knew_nothing_in_general_has_nothing_to_lose() -> None:
    assert choose([trial(1.0, 0.9, 0.0), trial(0.6, 0.5, 0.0)], 0.0, 0.9).scale == 1.0


def test_no_trial_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="No scale"):
        choose([], 0.7, 0.9)


def test_tags_name_the_run_and_the_scale_within_what_a_tag_may_hold() -> None:
    tag = scale_tag("assistant", "run-" + "0" * 32, 0.8)
    assert tag == "assistant:candidate-run-" + "0" * 32 + "-s80"
    assert len(tag.split(":")[1]) <= 80
