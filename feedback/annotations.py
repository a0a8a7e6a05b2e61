"""An annotation: a trained person's verdict on a turn, in one of three tiers. The highest tier's latest one decides."""

from __future__ import annotations

import datetime as dt
from typing import Literal, get_args

import msgspec

from feedback.errors import InvalidAnnotation

Tier = Literal["annotator", "reviewer", "expert"]
TIERS: tuple[Tier, ...] = ("annotator", "reviewer", "expert")
"""Lowest first."""

Flag = Literal["unsafe", "private-data", "nonsense"]
FLAGS: tuple[Flag, ...] = get_args(Flag)
"""What an annotator may mark a turn with: somebody should look at it, whatever its grades."""
CATEGORY_LIMIT = 64
"""Characters of a category."""
GOOD_ACCURACY, GOOD_FLUENCY = 3, 2
"""From which grades on a reply may be learnt as it stands."""


class AnnotationInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an annotation client sends."""

    annotator: str
    tier: Tier = "annotator"
    accuracy: int
    """1 wrong, 2 partly wrong, 3 right with flaws, 4 right."""
    fluency: int
    """1 hard to read, 2 readable, 3 fluent."""
    corrected_reply: str | None = None
    accept: list[str] = []
    """Phrases of which a right reply holds at least one: they make the turn a question that can be scored."""
    note: str = ""
    category: str = ""
    """What kind of question it is, in the project's own words."""
    flags: list[Flag] = []


class Annotation(msgspec.Struct, frozen=True, kw_only=True):
    """A stored annotation."""

    annotation_id: str
    turn_id: str
    created_at: dt.datetime
    annotator: str
    tier: Tier
    accuracy: int
    fluency: int
    corrected_reply: str | None
    accept: list[str]
    note: str
    category: str = ""
    flags: list[Flag] = []
    item_id: str = ""
    """The item of the queue that it answers; empty: it was given without one."""
    guideline: int = 0
    """The version of the project's guideline that it was made under; 0: there was none."""
    seconds: float | None = None
    """How long the annotator had it before them."""

    @property
    def good(self) -> bool:
        """Whether the reply may be learnt as it stands."""
        return self.accuracy >= GOOD_ACCURACY and self.fluency >= GOOD_FLUENCY


def check_annotation(given: AnnotationInput) -> None:
    """Raise InvalidAnnotation unless the grades are in range and the texts say something."""
    for name, value, top in (("accuracy", given.accuracy, 4), ("fluency", given.fluency, 3)):
        if not 1 <= value <= top:
            raise InvalidAnnotation(f"{name} is {value}, outside 1 to {top}.", f"Send a whole number from 1 to {top}.")
    if not given.annotator.strip():
        raise InvalidAnnotation("annotator is empty.", "Say who annotates: history and agreement need a name.")
    if given.corrected_reply is not None and not given.corrected_reply.strip():
        raise InvalidAnnotation("corrected_reply is empty.", "Write the right reply, or leave the field out.")
    if len(given.category) > CATEGORY_LIMIT:
        raise InvalidAnnotation("category is too long.", f"Name the kind of question in {CATEGORY_LIMIT} characters.")
    if any(not phrase.strip() for phrase in given.accept):
        raise InvalidAnnotation(
            "accept holds an empty phrase.",
            "Every reply holds the empty phrase: name one that only right replies have.",
        )
