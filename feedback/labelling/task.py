"""What a person at the queue is shown, and what they send back."""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

from feedback.annotations import Annotation, Flag
from feedback.labelling.records import Choice, Decision, Item, Review, SkipReason, Stage
from feedback.turns import Message

Desk = Literal["annotate", "review", "expert"]
"""Where somebody sits: `annotate` also gives back what was returned to them."""


class Draft(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What was filled in so far, kept while the item is theirs. Nothing in it needs to be in range yet."""

    accuracy: int | None = None
    fluency: int | None = None
    corrected_reply: str | None = None
    category: str = ""
    flags: list[Flag] = []
    accept: list[str] = []
    note: str = ""
    reason: str = ""
    """Of a review: why."""


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """An annotation as others see it: by a letter, never by a name."""

    letter: str
    """A, B, … in the order in which they were given."""
    annotation: Annotation
    """Its `annotator` is empty."""
    mine: bool = False


class Task(msgspec.Struct, frozen=True, kw_only=True):
    """An item that somebody has before them."""

    item: Item
    """For whoever annotates `version` and `choice` are empty and `random`: neither must colour the grades."""
    stage: Stage
    lease_id: str
    expires_at: dt.datetime
    messages: list[Message]
    reply: str
    attachments: list[str]
    annotations: list[Shown] = []
    """None for who annotates; all for who reviews or decides; their own for whom it was returned to."""
    reviews: list[Review] = []
    """What was decided so far, without names. For a return the last one says why."""
    draft: Draft | None = None
    guideline: int = 0
    """The version of the project's guideline that holds; 0: there is none."""


class ReviewInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a reviewer, an expert, or an annotator who objects sends."""

    decision: Decision
    annotation_id: str = ""
    """Which annotation; may be left out where there is one only."""
    reason: str = ""
    """Needed for return, escalate, object and drop."""
    accuracy: int | None = None
    """Of mend and decide: the grades, and what else an annotation has."""
    fluency: int | None = None
    corrected_reply: str | None = None
    category: str = ""
    flags: list[Flag] = []
    accept: list[str] = []
    note: str = ""


class SkipInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody sends who would rather not."""

    reason: SkipReason
    note: str = ""


class Filters(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants to look at; they are given nothing beyond their profile either way."""

    project: str = ""
    language: str = ""
    topic: str = ""
    choice: Choice | Literal[""] = ""


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that somebody did."""

    item_id: str
    turn_id: str
    at: dt.datetime
    what: str
    """`annotated`, `skipped`, or a decision's name."""
    accuracy: int | None = None
    fluency: int | None = None
    stage: Stage
    """Where the item is now."""


class Today(msgspec.Struct, frozen=True, kw_only=True):
    """What one did today."""

    annotated: int
    reviewed: int
    skipped: int
    median_seconds: float | None
    done: list[Done]
    """Newest first, at most a hundred."""
