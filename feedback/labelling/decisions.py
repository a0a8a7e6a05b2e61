"""What reviewers and experts decide: whether it can be, where the item stands, and which annotation it makes. Pure."""

from __future__ import annotations

import msgspec

from feedback.annotations import Annotation, AnnotationInput, Tier
from feedback.errors import InvalidInput
from feedback.labelling.records import Decision, Stage
from feedback.labelling.task import ReviewInput
from feedback.labelling.workflow import Case, Standing

MAY_BE: dict[Stage, tuple[Decision, ...]] = {
    "review": ("accept", "mend", "return", "escalate", "drop"),
    "return": ("object",),
    "expert": ("decide", "drop"),
}
"""What may be decided about an item that stands there."""
WITH_REASON: tuple[Decision, ...] = ("return", "escalate", "object", "drop")
ABOUT_ONE: tuple[Decision, ...] = ("accept", "mend", "return")
"""These are about one annotation."""
GRADING: tuple[Decision, ...] = ("mend", "decide")


class InvalidReview(InvalidInput):
    code = "invalid-review"


def check_review(given: ReviewInput, case: Case, standing: Standing) -> ReviewInput:
    """The decision with the annotation named that it is about. Raises InvalidReview."""
    allowed = MAY_BE.get(standing.stage, ())
    if given.decision not in allowed:
        raise InvalidReview(
            f"An item at {standing.stage!r} can't have the decision {given.decision!r}.",
            f"Here one may: {', '.join(allowed) or 'decide nothing'}.",
        )
    if given.decision in WITH_REASON and not given.reason.strip():
        raise InvalidReview(f"{given.decision} needs a reason.", "Say in reason what the others should know.")
    if given.decision in GRADING and (given.accuracy is None or given.fluency is None):
        raise InvalidReview(f"{given.decision} needs grades.", "Send accuracy (1 to 4) and fluency (1 to 3).")
    return msgspec.structs.replace(given, annotation_id=_about(given, case, standing))


def verdict_of(given: ReviewInput, case: Case, person: str) -> AnnotationInput | None:
    """The annotation that the decision comes to, by a reviewer or an expert; none: it decides nothing about the reply.
    `given` is what `check_review` gave."""
    if given.decision == "accept":
        accepted = _named(given.annotation_id, case)
        return AnnotationInput(
            annotator=person,
            tier="reviewer",
            accuracy=accepted.accuracy,
            fluency=accepted.fluency,
            corrected_reply=accepted.corrected_reply,
            accept=accepted.accept,
            category=accepted.category,
            flags=accepted.flags,
        )
    if given.decision not in GRADING or given.accuracy is None or given.fluency is None:
        return None
    tier: Tier = "expert" if given.decision == "decide" else "reviewer"
    return AnnotationInput(
        annotator=person,
        tier=tier,
        accuracy=given.accuracy,
        fluency=given.fluency,
        corrected_reply=given.corrected_reply,
        accept=given.accept,
        category=given.category,
        flags=given.flags,
        note=given.note,
    )


def _about(given: ReviewInput, case: Case, standing: Standing) -> str:
    """Which annotation it is about: of several by one person only the latest is left."""
    if given.decision == "object":
        return standing.returned
    if given.decision not in ABOUT_ONE:
        return ""
    if given.annotation_id:
        return _named(given.annotation_id, case).annotation_id
    left = _left(case)
    if len(left) != 1:
        raise InvalidReview(f"{len(left)} annotations could be meant.", "Name one in annotation_id.")
    return left[0].annotation_id


def _left(case: Case) -> list[Annotation]:
    return list({one.annotator: one for one in case.first_hand}.values())


def _named(annotation_id: str, case: Case) -> Annotation:
    found = next((one for one in _left(case) if one.annotation_id == annotation_id), None)
    if found is None:
        raise InvalidReview(
            f"{annotation_id[:64]!r} is none of this item's annotations, or its author has made another since.",
            "Take the id from GET /queue/{item_id}.",
        )
    return found
