"""What people's verdicts on a turn come to: what is learnt from it, and on whose word.

Trained people outrank users: the highest tier's latest annotation decides alone. Without one the users decide, by the
latest rating of each: the reply is learnt as it stands only if more of them call it good as it stands than all others
together; else the latest correction is learnt; else nothing is. Anonymous ratings count as one rater's, so that nobody
outvotes a named user by rating often.

How much a person's word counts is `Standing`'s to say: users' votes are weighed by it, an annotator or users who are
not believed decide nothing, and what is quarantined was never said. Reviewers and experts are believed. A majority by
less than `LEAST_WEIGHT` is none, and who is believed less than somebody unknown corrects nothing.

Users are believed less than trained people (`WEIGHTS`), and never when models are compared: held-out items come from
annotations only. Raters who mean harm must not be able to move the yardstick that would find them out.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Literal

import msgspec

from feedback.annotations import TIERS, Annotation
from feedback.quality.standing import ALL_ALIKE, LEAST_MENDING, LEAST_WEIGHT, Standing
from feedback.ratings import Rating

Judge = Literal["user", "annotator", "reviewer", "expert"]
JUDGES: tuple[Judge, ...] = ("user", *TIERS)
"""Least believed first."""
Source = Literal["reply", "correction"]

WEIGHTS: dict[Judge, float] = {"user": 0.7, "annotator": 0.9, "reviewer": 1.0, "expert": 1.0}
"""How much a row counts in training, by who judged it, 0 to 1."""


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn's verdicts come to. `target` and `source` are none where nothing can be learnt."""

    reason: str
    """In kebab-case: `in:good-by-expert`, `in:corrected-by-user`, `out:rated-bad-no-correction`, `out:ratings-tied`,
    `out:raters-not-trusted`, `out:quarantined`, `out:no-verdict`."""
    target: str | None = None
    """The text to learn: the reply or its correction, as they are stored."""
    source: Source | None = None
    judged_by: Judge | None = None
    judged_at: dt.datetime | None = None
    """When the deciding verdict was given."""
    weight: float = 1.0
    """How far those who decided are believed, 0 to 1; `WEIGHTS` of their kind comes on top."""
    accept: list[str] = []
    """The deciding annotation's phrases, of which a right reply holds at least one."""


def judge(
    reply: str, ratings: Sequence[Rating], annotations: Sequence[Annotation], standing: Standing = ALL_ALIKE
) -> Judgement:
    """The judgement of one turn. Pure; the order of the verdicts does not matter."""
    rated = [one for one in ratings if standing.counts(one.rating_id, one.rater)]
    annotated = [one for one in annotations if standing.counts(one.annotation_id, one.annotator)]
    believed = [one for one in annotated if _weight(one, standing) >= LEAST_WEIGHT]
    if believed:
        deciding = max(believed, key=lambda one: (TIERS.index(one.tier), one.created_at, one.annotation_id))
        return _by_annotation(reply, deciding, _weight(deciding, standing))
    if rated:
        return _by_users(reply, rated, standing)
    if annotated:
        return Judgement(reason="out:raters-not-trusted")
    return Judgement(reason="out:quarantined" if ratings or annotations else "out:no-verdict")


def _weight(annotation: Annotation, standing: Standing) -> float:
    return standing.annotator(annotation.annotator) if annotation.tier == "annotator" else 1.0


def _by_annotation(reply: str, deciding: Annotation, weight: float) -> Judgement:
    target, source = _target(reply, deciding.good, deciding.corrected_reply)
    reason = f"in:{_HOW[source]}-by-{deciding.tier}" if source else "out:rated-bad-no-correction"
    return Judgement(
        reason=reason,
        target=target,
        source=source,
        judged_by=deciding.tier,
        judged_at=deciding.created_at,
        weight=weight,
        accept=deciding.accept,
    )


def _by_users(reply: str, ratings: Sequence[Rating], standing: Standing) -> Judgement:
    latest: dict[str, Rating] = {}
    for rating in sorted(ratings, key=lambda one: (one.created_at, one.rating_id)):
        latest[rating.rater] = rating
    counted = sorted(latest.values(), key=lambda one: (one.created_at, one.rating_id))
    weights = [standing.user(one.rater) for one in counted]
    if sum(weights) < LEAST_WEIGHT:
        return Judgement(reason="out:raters-not-trusted", judged_by="user", judged_at=counted[-1].created_at)
    correcting = [_differs(one.corrected_reply, reply) for one in counted]
    liked = sum(
        weight for one, weight, corrects in zip(counted, weights, correcting, strict=True) if one.good and not corrects
    )
    others = sum(weights) - liked
    good = liked - others >= LEAST_WEIGHT
    mending = [
        (one.corrected_reply, weight)
        for one, weight, corrects in zip(counted, weights, correcting, strict=True)
        if corrects and weight >= LEAST_MENDING and not good
    ]
    correction, weight = mending[-1] if mending else (None, liked)
    target, source = _target(reply, good, correction)
    tied = abs(liked - others) < LEAST_WEIGHT
    reason = f"in:{_HOW[source]}-by-user" if source else "out:ratings-tied" if tied else "out:rated-bad-no-correction"
    return Judgement(
        reason=reason,
        target=target,
        source=source,
        judged_by="user",
        judged_at=counted[-1].created_at,
        weight=min(1.0, weight),
    )


_HOW: dict[Source, str] = {"reply": "good", "correction": "corrected"}


def _target(reply: str, good: bool, correction: str | None) -> tuple[str | None, Source | None]:
    """A correction goes before the reply that it mends. One that says the same is none: a box filled in beforehand,
    which a person who graded the reply badly left as it was."""
    if correction is not None and _differs(correction, reply):
        return correction, "correction"
    return (reply, "reply") if good else (None, None)


def _differs(correction: str | None, reply: str) -> bool:
    return correction is not None and correction.strip() != reply.strip()
