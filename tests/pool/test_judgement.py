"""What verdicts come to: the highest tier's latest annotation, else the users' majority."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest

from feedback.annotations import Annotation
from feedback.judgement import WEIGHTS, judge
from feedback.mint import now
from feedback.ratings import Rating
from tests.fakes.rows import a_rating, an_annotation

START = now()


def later(seconds: int) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def up(rater: str, at: int = 0, **fields: object) -> Rating:
    return a_rating("turn-1", rater=rater, created_at=later(at), **fields)


def down(rater: str, at: int = 0, **fields: object) -> Rating:
    return up(rater, at, verdict="down", **fields)


def expert(at: int = 0, **fields: object) -> Annotation:
    return an_annotation("turn-1", created_at=later(at), **fields)


def bad(tier: str, at: int = 0, **fields: object) -> Annotation:
    return expert(at, tier=tier, accuracy=1, **fields)


BAD = "out:rated-bad-no-correction"
CASES: list[tuple[str, list[Rating], list[Annotation], str, str | None]] = [
    ("nothing said", [], [], "out:no-verdict", None),
    ("liked", [up("ann")], [], "in:good-by-user", "the reply"),
    ("disliked", [down("ann")], [], BAD, None),
    ("stars outrank the thumb", [up("ann", stars=2)], [], BAD, None),
    ("more like it", [up("ann"), up("bob"), down("eve")], [], "in:good-by-user", "the reply"),
    ("as many like it", [up("ann"), down("eve")], [], "out:ratings-tied", None),
    ("changed her mind", [up("ann", 1), down("ann", 2)], [], BAD, None),
    ("changed her mind back", [down("ann", 1), up("ann", 2)], [], "in:good-by-user", "the reply"),
    ("the nameless are one", [up("", 1), up("", 2), up("", 3), down("ann")], [], "out:ratings-tied", None),
    ("corrected", [down("ann", corrected_reply="better")], [], "in:corrected-by-user", "better"),
    ("liked, but better so", [up("ann", corrected_reply="better")], [], "in:corrected-by-user", "better"),
    (
        "the latest correction",
        [down("ann", 2, corrected_reply="late"), down("bob", 1, corrected_reply="early")],
        [],
        "in:corrected-by-user",
        "late",
    ),
    (
        "taken back with the rating that carried it",
        [down("ann", 1, corrected_reply="better"), down("ann", 2)],
        [],
        BAD,
        None,
    ),
    (
        "one corrects what most like",
        [up("ann"), up("bob"), down("eve", corrected_reply="banana")],
        [],
        "in:good-by-user",
        "the reply",
    ),
    ("a correction that says the same", [down("ann", corrected_reply=" the reply\n")], [], BAD, None),
    ("right, says the expert", [down("ann"), down("bob")], [expert()], "in:good-by-expert", "the reply"),
    ("wrong, says the annotator", [up("ann")], [bad("annotator")], BAD, None),
    ("hard to read", [], [expert(fluency=1)], BAD, None),
    ("the expert outranks a later reviewer", [], [expert(1), bad("reviewer", 2)], "in:good-by-expert", "the reply"),
    (
        "the reviewer outranks a later annotator",
        [],
        [bad("annotator", 2), expert(1, tier="reviewer")],
        "in:good-by-reviewer",
        "the reply",
    ),
    ("the later of one tier", [], [expert(2), bad("expert", 1)], "in:good-by-expert", "the reply"),
    (
        "the deciding annotation's correction only",
        [down("ann", corrected_reply="the user's")],
        [bad("reviewer"), bad("annotator", 1, corrected_reply="the annotator's")],
        BAD,
        None,
    ),
    ("flawed, and mended", [], [expert(accuracy=3, corrected_reply="good")], "in:corrected-by-expert", "good"),
    ("wrong, the box left as it was", [], [bad("expert", corrected_reply="the reply")], BAD, None),
]


@pytest.mark.parametrize(
    ("ratings", "annotations", "reason", "target"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_verdicts_come_to_this_in_whatever_order_they_are_read(
    ratings: list[Rating], annotations: list[Annotation], reason: str, target: str | None
) -> None:
    for some, others in itertools.product(itertools.permutations(ratings), itertools.permutations(annotations)):
        found = judge("the reply", some, others)
        assert (found.reason, found.target) == (reason, target)
        assert (found.target is None) == (found.source is None)


def test_the_deciding_annotation_gives_the_phrases_the_judge_and_the_time() -> None:
    found = judge("the reply", [up("ann", 9)], [expert(1, accept=["yes"]), expert(2, tier="annotator", accept=["no"])])
    assert (found.accept, found.judged_by, found.judged_at) == (["yes"], "expert", later(1))


def test_trained_people_weigh_more_than_users() -> None:
    assert 0 < WEIGHTS["user"] < WEIGHTS["annotator"] < WEIGHTS["reviewer"] == WEIGHTS["expert"] == 1
