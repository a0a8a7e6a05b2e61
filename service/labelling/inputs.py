"""What clients of the queue send and are answered, beyond `feedback.labelling.task`, and what can be wrong with it."""

from __future__ import annotations

import datetime as dt

import msgspec

from feedback.annotations import AnnotationInput, Flag
from feedback.errors import Conflict, NotFound
from feedback.labelling.board import Waiting
from feedback.labelling.records import Item, Stage
from feedback.labelling.task import Desk, Draft, Filters, Task


class UnknownItem(NotFound):
    code = "unknown-item"


class LeaseLost(Conflict):
    code = "lease-lost"


class NextInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody sends who wants work."""

    desk: Desk = "annotate"
    filters: Filters = Filters()


class Next(msgspec.Struct, frozen=True, kw_only=True):
    """What they are given."""

    task: Task | None
    """Null: nothing waits that is for them."""


class GradesInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An annotation as it is sent to the queue, which knows whose it is: see `AnnotationInput`."""

    accuracy: int
    fluency: int
    corrected_reply: str | None = None
    accept: list[str] = []
    note: str = ""
    category: str = ""
    flags: list[Flag] = []

    def by(self, person: str) -> AnnotationInput:
        """The same as this person's."""
        return AnnotationInput(annotator=person, **msgspec.structs.asdict(self))


class DraftShown(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody had filled in."""

    draft: Draft | None


class DraftKept(msgspec.Struct, frozen=True, kw_only=True):
    """It is on disk."""

    saved_at: dt.datetime
    expires_at: dt.datetime
    """Until when the item is theirs."""


class Settled(msgspec.Struct, frozen=True, kw_only=True):
    """An item that somebody has no longer."""

    item_id: str


class AskInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Turns that an operator wants looked at."""

    turn_ids: list[str]
    """At most 500."""
    annotators: int = 1
    """1 or 2."""
    review: bool = False
    """Whether a reviewer looks at it whatever the annotators say."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """The items that they are now, in the order in which they were named."""

    items: list[Item]


class ItemState(msgspec.Struct, frozen=True, kw_only=True):
    """An item as operators see it."""

    item: Item
    stage: Stage
    annotations: int
    people: list[str]
    """Who has it before them."""


class Queue(msgspec.Struct, frozen=True, kw_only=True):
    """How much waits."""

    yours: Waiting
    """Items that you could be given, whatever your role."""
    all: Waiting
