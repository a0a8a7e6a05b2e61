"""The desks: what annotators, reviewers and experts are given next, and what they do with it. See `Desk`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import msgspec

from feedback.annotations import Annotation, AnnotationInput
from feedback.labelling.records import Item, Review, Stage
from feedback.labelling.task import Desk as DeskName
from feedback.labelling.task import Draft, Filters, ReviewInput, SkipInput, Task, Today


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """How many items wait, by desk: for a person, those that they could be given."""

    annotate: int
    returned: int
    """Of a person: given back to them, to mend or to object; counted in `annotate` too."""
    review: int
    expert: int


class ItemState(msgspec.Struct, frozen=True, kw_only=True):
    """An item as operators see it."""

    item: Item
    stage: Stage
    annotations: int
    person: str
    """Who has it before them; empty: nobody."""


class Desk:
    """On `parts.desk`. Raises UnknownItem (404), LeaseLost (409, the draft is kept), OwnWork (403), InvalidReview and
    InvalidAnnotation (400), BlockedText (400). A person is a name as `people.person_of(request)` gives it."""

    async def next(self, person: str, desk: DeskName, filters: Filters | None = None) -> Task | None:
        """The item that they have at this desk, or the next one, which is theirs from now on; none: nothing waits."""
        raise NotImplementedError

    async def task(self, person: str, item_id: str) -> Task:
        """That item, if it is theirs, or free for them to take: then it is theirs from now on."""
        raise NotImplementedError

    async def draft(self, person: str, item_id: str) -> Draft | None:
        """What they had filled in, also where the item is no longer theirs."""
        raise NotImplementedError

    async def autosave(self, person: str, item_id: str, draft: Draft) -> dt.datetime:
        """Keep what is filled in so far; the item is theirs for another `lease_minutes`: until when."""
        raise NotImplementedError

    async def annotate(self, person: str, item_id: str, given: AnnotationInput) -> Annotation:
        """Their annotation (tier and annotator of what is given do not matter). The same again is stored once."""
        raise NotImplementedError

    async def skip(self, person: str, item_id: str, given: SkipInput) -> None:
        """They would rather not; they aren't given it again."""
        raise NotImplementedError

    async def decide(self, person: str, item_id: str, given: ReviewInput) -> Review:
        """A reviewer's or an expert's decision, or an annotator's objection. The same again is stored once."""
        raise NotImplementedError

    async def release(self, person: str, item_id: str) -> None:
        """They let it go; the draft is kept for them."""
        raise NotImplementedError

    async def today(self, person: str, since: dt.datetime | None = None) -> Today:
        """What they did since then; none: since midnight, UTC."""
        raise NotImplementedError

    async def waiting(self, person: str = "") -> Waiting:
        """How many items wait; for a person, those that they could be given."""
        raise NotImplementedError

    def items(self, stage: Stage | None = None) -> list[ItemState]:
        """Open items, by id."""
        raise NotImplementedError

    async def ask_for(self, turn_ids: Sequence[str], *, annotators: int = 1, review: bool = False) -> list[Item]:
        """Turns that an operator wants looked at, as items; those that wait already are given as they are."""
        raise NotImplementedError
