"""Trust: who is right gets heavier, who is not gets lighter, and nobody below nothing; and what judging makes of it."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.judgement import judge
from feedback.quality.crowd import against_the_crowd
from feedback.quality.drift import drift
from feedback.quality.grades import Grade, Grades
from feedback.quality.quarantine import Book, Finding
from feedback.quality.standing import HEAVIEST, Standing
from feedback.quality.trust import TRAINED_PRIOR, by_name, standing_of, trust_in_annotators, trust_in_users
from feedback.quality.votes import Votes, read_votes
from feedback.settings import QualitySettings
from feedback.store.database import Store
from feedback.store.tables import ANNOTATIONS, LIFTS, QUARANTINES, RATINGS, TURNS
from tests.fakes.rows import a_rating, a_turn, an_annotation

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
RULES = QualitySettings()
SOME = [("ann", 0, True), ("bob", 0, True), ("eve", 0, False), ("ann", 1, False), ("bob", 1, False), ("eve", 1, True)]


def votes_of(said: list[tuple[str, int, bool]], trained: dict[int, bool] | None = None) -> Votes:
    """(rater, turn, good) in the order of time."""
    raters = sorted({rater for rater, _, _ in said})
    turns = max((turn for _, turn, _ in said), default=-1) + 1
    known = np.full(turns, np.nan)
    for turn, good in (trained or {}).items():
        known[turn] = float(good)
    return Votes(
        turn=np.array([turn for _, turn, _ in said], dtype=np.int64),
        rater=np.array([raters.index(rater) for rater, _, _ in said], dtype=np.int64),
        at=np.arange(len(said), dtype=np.int64),
        good=np.array([good for *_, good in said], dtype=np.bool_),
        raters=raters,
        trained=known,
    )


def weights(votes: Votes) -> dict[str, float]:
    return {name: one.weight for name, one in by_name(trust_in_users(votes)).items()}


def test_who_agrees_with_trained_people_outweighs_who_does_not() -> None:
    said = [
        (who, turn, (turn % 2 == 0) == right) for turn in range(40) for who, right in (("ann", True), ("eve", False))
    ]
    found = weights(votes_of(said, {turn: turn % 2 == 0 for turn in range(40)}))
    assert found["ann"] == HEAVIEST
    assert found["eve"] == 0.0


def test_a_vote_that_nobody_can_be_compared_with_says_nothing_of_its_rater() -> None:
    (one,) = trust_in_users(votes_of([("ann", turn, True) for turn in range(50)]))
    assert (one.weight, one.compared, one.agreed) == (1.0, 0, None)


def test_who_always_says_good_knows_nothing_however_many_replies_are_good() -> None:
    trained = {turn: turn % 5 > 0 for turn in range(100)}
    said = [("yes", turn, True) for turn in range(100)] + [("ann", turn, trained[turn]) for turn in range(100)]
    found = by_name(trust_in_users(votes_of(said, trained)))
    assert found["yes"].agreed == pytest.approx(0.8)
    assert found["yes"].weight < 0.5 < found["ann"].weight


def test_three_odd_votes_make_nobody_an_enemy() -> None:
    said = [("new", turn, False) for turn in range(3)]
    assert weights(votes_of(said, {0: True, 1: True, 2: True}))["new"] > 0.3


def test_the_crowd_finds_who_votes_upside_down_without_a_trained_person() -> None:
    said = [(who, turn, (turn % 3 > 0) == (who != "eve")) for turn in range(60) for who in ("ann", "bob", "cem", "eve")]
    votes = votes_of(said)
    found = weights(votes)
    assert found["eve"] == 0.0
    assert min(found["ann"], found["bob"], found["cem"]) > 1
    (finding,) = against_the_crowd(votes, found, RULES, {})
    assert (finding.kind, finding.target, finding.reason) == ("rater", "eve", "votes-against-the-crowd")
    assert finding.evidence == "Agrees with others in 0% of 60 votes that can be compared; chance would in 50%."
    after = dt.datetime.fromtimestamp(1, dt.UTC)  # later than all of these votes
    assert against_the_crowd(votes, found, RULES, {"eve": after}) == []


@given(st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 6), st.booleans()), max_size=60), st.randoms())
def test_trust_stays_in_range_and_hangs_on_no_order(said: list[tuple[str, int, bool]], chance: object) -> None:
    once = {(rater, turn): good for rater, turn, good in said}
    rows = [(rater, turn, good) for (rater, turn), good in once.items()]
    found = trust_in_users(votes_of(rows))
    assert all(0 < one.trust < 1 and 0 <= one.weight <= HEAVIEST for one in found)
    again = trust_in_users(votes_of(rows[::-1]))
    for one, other in zip(found, again, strict=True):
        assert one.weight == pytest.approx(other.weight, abs=1e-3)


def grade(turn: str, person: str, accuracy: int, tier: str = "annotator", fluency: int = 3) -> Grade:
    return Grade(turn, person, tier, accuracy, fluency)  # type: ignore[arg-type]


def test_annotators_are_measured_by_gold_by_reviewers_and_less_by_each_other() -> None:
    gold = {f"g{at}": grade(f"g{at}", "expert", 1, "expert") for at in range(10)}
    given = [grade(f"g{at}", who, 1 if who == "mei" else 4) for at in range(10) for who in ("mei", "joe")]
    given += [grade("r", "mei", 4), grade("r", "joe", 1), grade("r", "wang", 4, "reviewer")]
    given += [grade("p", "mei", 4), grade("p", "joe", 1)]
    found = by_name(trust_in_annotators(Grades(given, gold)))
    assert (found["mei"].gold, found["mei"].gold_right, found["joe"].gold_right) == (10, 1.0, 0.0)
    assert found["mei"].compared == 12
    assert found["mei"].trust > TRAINED_PRIOR
    assert (found["mei"].weight, found["joe"].weight) == (1.0, 0.0)


def test_only_the_first_grade_of_a_turn_is_blind() -> None:
    grades = Grades([grade("t", "mei", 1), grade("t", "joe", 4), grade("t", "mei", 4)], {})
    assert grades.units("accuracy") == [{"mei": 1, "joe": 4}]


def test_nobody_is_measured_by_their_own_gold() -> None:
    grades = Grades([grade("t", "mei", 1)], {"t": grade("t", "mei", 4, "expert")})
    (one,) = trust_in_annotators(grades)
    assert (one.gold, one.weight) == (0, 1.0)


def test_a_light_rater_admits_nothing_and_a_slim_majority_is_none() -> None:
    eve, ann = a_rating("t", rater="eve"), a_rating("t", rater="ann", verdict="down")
    assert judge("reply", [eve], [], Standing(users={"eve": 0.4})).reason == "out:raters-not-trusted"
    assert judge("reply", [eve], [], Standing(users={"eve": 0.5})).weight == 0.5
    assert judge("reply", [eve, ann], [], Standing(users={"eve": 1.4})).reason == "out:ratings-tied"
    assert judge("reply", [eve, ann], [], Standing(users={"eve": 1.5})).reason == "in:good-by-user"


def test_who_is_believed_less_than_somebody_unknown_corrects_nothing() -> None:
    mended = a_rating("t", rater="eve", verdict="down", corrected_reply="a lie")
    assert judge("reply", [mended], [], Standing(users={"eve": 0.99})).target is None
    assert judge("reply", [mended], [], Standing(users={"eve": 1.0})).target == "a lie"


def test_what_is_quarantined_was_never_said() -> None:
    rating = a_rating("t", rater="eve")
    annotation = an_annotation("t", annotator="mei", tier="annotator", accuracy=1)
    assert judge("reply", [rating], [], Standing(raters=frozenset({"eve"}))).reason == "out:quarantined"
    held = Standing(verdicts=frozenset({annotation.annotation_id}))
    assert judge("reply", [rating], [annotation], held).reason == "in:good-by-user"
    distrusted = Standing(annotators={"mei": 0.2})
    assert judge("reply", [rating], [annotation], distrusted).reason == "in:good-by-user"
    assert judge("reply", [], [annotation], distrusted).reason == "out:raters-not-trusted"


def test_reviewers_and_experts_are_believed_whatever_is_said_of_them_as_annotators() -> None:
    annotation = an_annotation("t", annotator="mei", tier="reviewer")
    assert judge("reply", [], [annotation], Standing(annotators={"mei": 0.0})).reason == "in:good-by-reviewer"


def test_the_latest_rating_counts_once_and_quarantined_ones_do_not(store: Store) -> None:
    turn = a_turn()
    store.add(TURNS, turn).result()
    first = a_rating(turn.turn_id, rater="ann", created_at=NOW - dt.timedelta(hours=2))
    second = a_rating(turn.turn_id, rater="ann", created_at=NOW - dt.timedelta(hours=1), stars=1, verdict=None)
    other = a_rating(turn.turn_id, rater="eve", created_at=NOW)
    for one in (first, second, other):
        store.add(RATINGS, one).result()
    store.add(ANNOTATIONS, an_annotation(turn.turn_id, accuracy=1)).result()
    with store.reader() as cursor:
        votes = read_votes(cursor, NOW - dt.timedelta(days=1))
    assert list(zip([votes.raters[at] for at in votes.rater], votes.good.tolist(), strict=True)) == [
        ("ann", False), ("eve", True),
    ]  # fmt: skip
    assert votes.trained.tolist() == [0.0]
    book = Book([], [])
    row = book.new([_by_operator("eve")], NOW)[0]
    store.add(QUARANTINES, row).result()
    with store.reader() as cursor:
        assert read_votes(cursor, NOW - dt.timedelta(days=1)).raters == ["ann"]
        held = Book.read(cursor)
        assert standing_of(cursor, RULES, NOW).raters == frozenset({"eve"})
    store.add(LIFTS, held.lift(row.quarantine_id, "ada", "seen", NOW)).result()
    with store.reader() as cursor:
        assert standing_of(cursor, RULES, NOW).raters == frozenset()
        assert Book.read(cursor).forgiven() == {"eve": NOW}


def _by_operator(rater: str) -> Finding:
    return Finding(kind="rater", target=rater, reason="by-operator", evidence="")


def test_the_manifest_names_nobody_and_tells_one_trust_from_another() -> None:
    one, other = Standing(users={"王芳": 0.4}), Standing(users={"王芳": 0.5})
    assert one.used().sha256 != other.used().sha256
    assert (one.used().distrusted, other.used().distrusted) == (1, 0)
    assert "王芳" not in repr(one.used())


def test_drift_finds_a_lasting_change_and_not_a_bad_day() -> None:
    rng = np.random.default_rng(5)
    steady = [rng.choice([2, 3, 4]) for _ in range(300)]
    moved = [*steady[:100], *[1 + (at % 2) for at in range(30)]]
    found = drift([float(one) for one in moved], 30)
    assert found is not None and found[0] == "down" and found[2] < 1.8
    assert drift([*map(float, steady[:100]), 1.0, 1.0, 1.0, *map(float, steady[100:])], 30) is None


def test_drift_is_seldom_a_false_alarm() -> None:
    rng = np.random.default_rng(11)
    alarms = sum(drift(rng.choice([2.0, 3.0, 4.0], 200).tolist(), 30) is not None for _ in range(300))
    assert alarms < 15, f"{alarms} of 300 steady raters"


def test_drift_says_nothing_before_there_is_a_beginning() -> None:
    assert drift([1.0] * 30, 30) is None
    assert drift([1.0, 4.0] * 50, 0) is None
