"""How items go through the tiers: each road once, and what must hold on every road."""

from __future__ import annotations

import datetime as dt
import random
from typing import Any, get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback.annotations import Annotation
from feedback.labelling.decisions import InvalidReview, check_review, verdict_of
from feedback.labelling.records import Decision, Item, Review, Skip, Stage
from feedback.labelling.task import ReviewInput
from feedback.labelling.workflow import CLOSED, Case, agree, may_take, stage_of, standing_of
from feedback.mint import new_id
from tests.fakes.rows import an_annotation

BEGAN = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
LIMIT = 3


class Road:
    """An item and what is said of it, a second apart."""

    def __init__(self, annotators: int = 1, review: bool = False) -> None:
        item = Item(
            item_id="item-1", turn_id="turn-1", created_at=BEGAN, project="assistant", choice="random",
            probability=1.0, annotators=annotators, review=review, language="en", topic="facts", version="1.0.0",
        )  # fmt: skip
        self.case, self._at = Case(item=item), BEGAN

    @property
    def stage(self) -> Stage:
        return standing_of(self.case, LIMIT).stage

    def annotate(self, person: str, accuracy: int = 4, fluency: int = 3, **fields: Any) -> str:
        one = an_annotation(
            "turn-1", annotator=person, accuracy=accuracy, fluency=fluency, created_at=self._tick(), item_id="item-1",
            **{"tier": "annotator"} | fields,
        )  # fmt: skip
        self.case = Case(**_parts(self.case) | {"annotations": (*self.case.annotations, one)})
        return one.annotation_id

    def decide(self, person: str, decision: Decision, annotation_id: str = "") -> None:
        one = Review(
            review_id=new_id("review"), turn_id="turn-1", item_id="item-1", created_at=self._tick(), person=person,
            decision=decision, annotation_id=annotation_id, reason="",
        )  # fmt: skip
        self.case = Case(**_parts(self.case) | {"reviews": (*self.case.reviews, one)})

    def skip(self, person: str) -> None:
        one = Skip(
            skip_id=new_id("skip"), turn_id="turn-1", item_id="item-1", created_at=self._tick(), person=person,
            reason="unclear", note="",
        )  # fmt: skip
        self.case = Case(**_parts(self.case) | {"skips": (*self.case.skips, one)})

    def may(self, person: str) -> bool:
        return may_take(person, self.case, standing_of(self.case, LIMIT))

    def _tick(self) -> dt.datetime:
        self._at += dt.timedelta(seconds=1)
        return self._at


def _parts(case: Case) -> dict[str, Any]:
    return {name: getattr(case, name) for name in ("item", "annotations", "reviews", "skips")}


def graded(accuracy: int, fluency: int) -> Annotation:
    return an_annotation("turn-1", accuracy=accuracy, fluency=fluency)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [((4, 3), (3, 2), True), ((3, 3), (2, 3), False), ((1, 1), (2, 2), True), ((4, 3), (4, 1), False)],
)
def test_two_agree_who_call_it_good_or_bad_alike_and_grade_it_nearly_alike(
    one: tuple[int, int], other: tuple[int, int], same: bool
) -> None:
    assert agree(graded(*one), graded(*other)) is agree(graded(*other), graded(*one)) is same


def test_one_annotation_of_one_is_enough_unless_it_is_flagged_or_a_look_is_wanted() -> None:
    for review, flags, stage in ((False, [], "done"), (False, ["nonsense"], "done"), (True, [], "review"),
                                 (False, ["private-data"], "review")):  # fmt: skip
        road = Road(review=review)
        road.annotate("li", flags=flags)
        assert road.stage == stage


def test_two_who_disagree_are_reviewed_and_two_who_agree_are_not() -> None:
    for second, stage in ((4, "done"), (1, "review")):
        road = Road(annotators=2)
        road.annotate("li")
        assert (road.stage, road.may("li"), road.may("mei")) == ("annotate", False, True)
        road.annotate("mei", accuracy=second)
        assert road.stage == stage


@pytest.mark.parametrize(
    ("decision", "stage"),
    [("accept", "done"), ("mend", "done"), ("escalate", "expert"), ("drop", "dropped"), ("return", "return")],
)
def test_each_decision_of_a_reviewer_leads_where_it_should(decision: Decision, stage: Stage) -> None:
    road = Road(review=True)
    first = road.annotate("li")
    road.decide("wang", decision, first)
    assert road.stage == stage


def test_what_is_returned_is_its_authors_alone_who_mends_or_objects() -> None:
    mended, objected = Road(review=True), Road(review=True)
    for road in (mended, objected):
        road.decide("wang", "return", road.annotate("li"))
        assert (road.may("li"), road.may("mei"), road.may("wang")) == (True, False, False)
    mended.annotate("li", accuracy=2)
    assert (mended.stage, mended.may("wang"), mended.may("li")) == ("review", True, False)
    objected.decide("li", "object")
    assert (objected.stage, objected.may("wang"), objected.may("li"), objected.may("zhou")) == (
        "expert", False, False, True,
    )  # fmt: skip
    objected.decide("zhou", "decide")
    assert objected.stage == "done"


def test_enough_skips_drop_an_item_but_never_what_somebody_has_said_of_it() -> None:
    unseen, half = Road(annotators=2), Road(annotators=2)
    half.annotate("li")
    for road in (unseen, half):
        for person in ("a", "b", "c"):
            assert road.stage == "annotate"
            road.skip(person)
    assert (unseen.stage, half.stage) == ("dropped", "done")


def test_what_an_erased_person_said_counts_no_more_and_a_return_to_them_is_none() -> None:
    road = Road(review=True)
    road.decide("wang", "return", road.annotate("li"))
    road.case = Case(item=road.case.item, reviews=road.case.reviews)
    assert road.stage == "annotate"


def test_gold_stays_open_for_everybody_who_has_not_done_it() -> None:
    road = Road(annotators=0)
    road.annotate("li", flags=["unsafe"])
    assert (road.stage, road.may("li"), road.may("mei")) == ("annotate", False, True)


def test_a_decision_that_does_not_fit_is_refused_with_what_would() -> None:
    road = Road(annotators=2)
    first, second = road.annotate("li"), road.annotate("mei", accuracy=1)
    for decided, says in (
        (ReviewInput(decision="decide", accuracy=4, fluency=3), "accept, mend"),
        (ReviewInput(decision="return", annotation_id=first), "reason"),
        (ReviewInput(decision="mend", annotation_id=first), "accuracy"),
        (ReviewInput(decision="accept"), "annotation_id"),
        (ReviewInput(decision="accept", annotation_id="annotation-0"), "annotation"),
    ):
        with pytest.raises(InvalidReview, match=says):
            check_review(decided, road.case, standing_of(road.case, LIMIT))
    accepted = check_review(
        ReviewInput(decision="accept", annotation_id=second), road.case, standing_of(road.case, LIMIT)
    )
    verdict = verdict_of(accepted, road.case, "wang")
    assert verdict is not None
    assert (verdict.tier, verdict.annotator, verdict.accuracy) == ("reviewer", "wang", 1)


PEOPLE = ("a", "b", "c", "d", "e")


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 2), st.booleans(), st.randoms(use_true_random=False))
def test_whatever_people_do_who_may_nobody_decides_about_their_own_work(
    annotators: int, review: bool, dice: random.Random
) -> None:
    road = Road(annotators, review)
    for _ in range(20):
        before = road.stage
        able = [person for person in PEOPLE if road.may(person)]
        if before in CLOSED:
            assert not able
            break
        if not able:
            break
        _act(road, dice.choice(able), dice)
        _check(road, before)
    everything = [*road.case.annotations], [*road.case.reviews], [*road.case.skips]
    for rows in everything:
        dice.shuffle(rows)
    assert stage_of(road.case.item, *everything, LIMIT) == road.stage, "the order of the rows does not matter"


def _act(road: Road, person: str, dice: random.Random) -> None:
    """Something that they may do there."""
    shown = [one.annotation_id for one in road.case.first_hand]
    match road.stage:
        case _ if dice.random() < 0.1:
            road.skip(person)
        case "annotate":
            road.annotate(person, dice.randint(1, 4), dice.randint(1, 3), flags=dice.choice([[], [], ["unsafe"]]))
        case "return" if dice.random() < 0.5:
            road.decide(person, "object")
        case "return":
            road.annotate(person, dice.randint(1, 4))
        case "review":
            road.decide(person, dice.choice(["accept", "mend", "return", "escalate", "drop"]), dice.choice(shown))
        case _:
            road.decide(person, "decide")


def _check(road: Road, before: Stage) -> None:
    case, own = road.case, {one.annotator for one in road.case.first_hand}
    assert len(own) <= case.item.annotators
    deciding = {one.person for one in case.reviews if one.decision == "decide"}
    reviewing = {one.person for one in case.reviews if one.decision not in ("decide", "object")}
    assert not own & reviewing
    assert not deciding & (own | reviewing)
    assert road.stage in get_args(Stage)
    if before == "annotate":
        assert road.stage in ("annotate", "review", "done", "dropped")
    if road.stage == "done":
        assert case.annotations, "nothing is done of which nobody said anything"
