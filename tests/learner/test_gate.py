"""The gate: every outcome, every reason, and the edges of each threshold."""

import itertools

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.errors import InvalidInput
from learner.gate import Rule, judge, retention_of, rule_of
from learner.records import Scores
from learner.settings import LearnerSettings

RULE = Rule(min_heldout=10, min_gain=0.05, retention_floor=0.9, gain_standard_errors=1.64)
NO_LUCK = msgspec.structs.replace(RULE, gain_standard_errors=0.0)
"""The rule without its question whether a gain may be luck."""


def scores(heldout: float, general: float, *, heldout_items: int = 20, general_items: int = 80) -> Scores:
    return Scores(heldout=heldout, heldout_items=heldout_items, general=general, general_items=general_items)


def test_a_candidate_that_learnt_and_kept_is_promoted_with_every_reason_in_its_favour() -> None:
    verdict = judge(scores(0.5, 0.66), scores(0.1, 0.7), RULE)
    assert verdict.outcome == "promote"
    assert [reason.split(":")[0] for reason in verdict.reasons] == ["For", "For", "For"]
    assert verdict.gain == pytest.approx(0.4)
    assert verdict.retention == pytest.approx(0.66 / 0.7)
    assert "0.100 → 0.500" in verdict.reasons[1] and "20 held-out questions" in verdict.reasons[0]


@pytest.mark.parametrize(
    ("candidate", "champion", "outcome", "against"),
    [
        (scores(0.12, 0.7), scores(0.1, 0.7), "refuse", "rose by 0.020"),
        (scores(0.05, 0.7), scores(0.1, 0.7), "refuse", "fell by 0.050"),
        (scores(0.1, 0.7), scores(0.1, 0.7), "refuse", "stayed the same"),
        (scores(0.9, 0.4), scores(0.1, 0.7), "refuse", "general ability"),
        (scores(0.9, 0.7, heldout_items=9), scores(0.1, 0.7, heldout_items=9), "not-enough-evidence", "9 held-out"),
        (scores(0.9, 0.7, heldout_items=20), scores(0.1, 0.7, heldout_items=19), "not-enough-evidence", "can't be"),
        (scores(0.9, 0.7, general_items=0), scores(0.1, 0.7, general_items=0), "not-enough-evidence", "can't be told"),
        (
            scores(0.9, 0.7, general_items=80),
            scores(0.1, 0.7, general_items=79),
            "not-enough-evidence",
            "can't be told",
        ),
        (scores(0.0, 0.7, heldout_items=0), scores(0.0, 0.7, heldout_items=0), "not-enough-evidence", "0 held-out"),
    ],
)
def test_what_speaks_against_a_candidate_decides_and_is_named(
    candidate: Scores, champion: Scores, outcome: str, against: str
) -> None:
    verdict = judge(candidate, champion, RULE)
    assert verdict.outcome == outcome
    assert any(reason.startswith("Against") and against in reason for reason in verdict.reasons)


def test_forgetting_is_refused_even_where_too_little_was_asked_to_see_a_gain() -> None:
    verdict = judge(scores(0.9, 0.3, heldout_items=3), scores(0.1, 0.7, heldout_items=3), RULE)
    assert verdict.outcome == "refuse"
    assert sum(reason.startswith("Against") for reason in verdict.reasons) == 2


def test_a_gain_of_exactly_the_minimum_passes_in_floating_point() -> None:
    assert 0.35 - 0.3 < 0.05
    assert judge(scores(0.35, 0.7), scores(0.3, 0.7), NO_LUCK).outcome == "promote"


@pytest.mark.parametrize(("right", "items", "outcome"), [
    (1, 14, "not-enough-evidence"), (2, 14, "not-enough-evidence"), (5, 14, "promote"),
    (8, 140, "promote"), (1, 10, "not-enough-evidence"), (10, 10, "promote"),
])  # fmt: skip
def test_a_gain_that_may_be_luck_is_not_enough_evidence(right: int, items: int, outcome: str) -> None:
    """One right answer of 14 more than none is how an untrained adapter once got through."""
    verdict = judge(scores(right / items, 0.7, heldout_items=items), scores(0.0, 0.7, heldout_items=items), RULE)
    assert verdict.gain >= RULE.min_gain
    assert verdict.outcome == outcome
    assert any("may be luck" in reason for reason in verdict.reasons) == (outcome != "promote")


def test_retention_of_exactly_the_floor_passes() -> None:
    assert judge(scores(0.9, 0.63), scores(0.1, 0.7), RULE).outcome == "promote"
    assert judge(scores(0.9, 0.62), scores(0.1, 0.7), RULE).outcome == "refuse"


def test_a_champion_without_general_ability_has_none_to_lose() -> None:
    assert retention_of(0.0, 0.0) == 1.0
    assert judge(scores(0.9, 0.0), scores(0.1, 0.0), RULE).outcome == "promote"


@pytest.mark.parametrize("wrong", [-0.1, 1.1, float("nan"), float("inf")])
def test_a_score_outside_0_to_1_is_an_error_not_a_verdict(wrong: float) -> None:
    with pytest.raises(InvalidInput, match="outside 0 to 1"):
        judge(scores(wrong, 0.5), scores(0.5, 0.5), RULE)
    with pytest.raises(InvalidInput, match="champion's general"):
        judge(scores(0.5, 0.5), scores(0.5, wrong), RULE)


def test_the_rule_comes_from_the_settings() -> None:
    settings = LearnerSettings(min_heldout=7, min_gain=0.2, retention_floor=0.8, gain_standard_errors=2.0)
    assert rule_of(settings) == Rule(min_heldout=7, min_gain=0.2, retention_floor=0.8, gain_standard_errors=2.0)


def test_over_a_whole_grid_a_promotion_means_all_three_conditions_and_only_then() -> None:
    shares = (0.0, 0.05, 0.1, 0.5, 0.6, 1.0)
    for old, new, kept_of, kept, items in itertools.product(shares, shares, shares, shares, (0, 9, 10)):
        verdict = judge(scores(new, kept, heldout_items=items), scores(old, kept_of, heldout_items=items), NO_LUCK)
        retained = kept_of == 0 or kept / kept_of >= 0.9 - 1e-9
        gained = new - old >= 0.05 - 1e-9
        if not retained:
            assert verdict.outcome == "refuse"
        elif items < 10:
            assert verdict.outcome == "not-enough-evidence"
        else:
            assert verdict.outcome == ("promote" if gained else "refuse")
        against = [reason for reason in verdict.reasons if reason.startswith("Against")]
        assert bool(against) == (verdict.outcome != "promote")
        assert len(verdict.reasons) == 3


@given(
    st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 1), st.floats(0, 0.2),
    st.integers(0, 50), st.integers(0, 50),
)  # fmt: skip
def test_a_better_candidate_never_fares_worse(
    old: float, new: float, general: float, kept: float, better: float, items: int, general_items: int
) -> None:
    champion = scores(old, general, heldout_items=items, general_items=general_items)
    first = judge(scores(new, kept, heldout_items=items, general_items=general_items), champion, RULE)
    raised = scores(min(new + better, 1.0), min(kept + better, 1.0), heldout_items=items, general_items=general_items)
    if first.outcome == "promote":
        assert judge(raised, champion, RULE).outcome == "promote"
