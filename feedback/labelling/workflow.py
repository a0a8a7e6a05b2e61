"""How an item goes through the three tiers, worked out anew from what was said of it. Pure; nothing here is stored.

    annotate ──► agreed, nothing flagged, no look wanted ──► done
        └─────► else ──► review ──► accept, mend ──► done        drop ──► dropped
                           ▲  ├──► return ──► its author annotates anew ──► review
                           │  │                └─► or objects ─────► expert
                           └──┘   └──► escalate ──► expert ──► decide ──► done

Nobody reviews or decides what they annotated, nobody decides what they reviewed, and a second annotator is not the
first. Must never: depend on the order in which rows are read; need more than the item's own rows.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from feedback.annotations import Annotation
from feedback.errors import Forbidden
from feedback.labelling.records import Item, Review, Skip, Stage
from feedback.labelling.task import Desk

LOOKED_AT = frozenset({"unsafe", "private-data"})
"""Flags that a reviewer looks at, whoever agrees."""
APART = 1
"""How far two people's grades may lie apart who agree."""
CLOSED: tuple[Stage, ...] = ("done", "dropped")
DESKS: dict[Stage, Desk] = {"annotate": "annotate", "return": "annotate", "review": "review", "expert": "expert"}
"""Where an item that is open is worked on."""


class OwnWork(Forbidden):
    code = "own-work"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """An item and all that was said of it, in any order."""

    item: Item
    annotations: tuple[Annotation, ...] = ()
    """Those that carry the item's id, of any tier."""
    reviews: tuple[Review, ...] = ()
    skips: tuple[Skip, ...] = ()

    @property
    def first_hand(self) -> list[Annotation]:
        """Annotators' own, oldest first: what reviewers look at."""
        found = (one for one in self.annotations if one.tier == "annotator")
        return sorted(found, key=lambda one: (one.created_at, one.annotation_id))

    @property
    def people(self) -> set[str]:
        """Who had to do with it."""
        annotators = {one.annotator for one in self.annotations}
        return annotators | {one.person for one in self.reviews} | {one.person for one in self.skips}


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Where an item stands."""

    stage: Stage
    whose: str = ""
    """Of a return: the only person who may take it."""
    returned: str = ""
    """Of a return: the annotation that was given back."""


def agree(one: Annotation, other: Annotation) -> bool:
    """Whether two people say the same: both good or both not, and no grade far from the other's."""
    near = abs(one.accuracy - other.accuracy) <= APART and abs(one.fluency - other.fluency) <= APART
    return near and one.good == other.good


def stage_of(
    item: Item, annotations: Sequence[Annotation], reviews: Sequence[Review], skips: Sequence[Skip], skips_limit: int
) -> Stage:
    """What the item waits for; see `standing_of`."""
    case = Case(item=item, annotations=tuple(annotations), reviews=tuple(reviews), skips=tuple(skips))
    return standing_of(case, skips_limit).stage


def standing_of(case: Case, skips_limit: int) -> Standing:
    """Where the item stands, after everything that was said of it. Gold stays open: everybody is given it once."""
    walk = _Walk(case, skips_limit)
    if case.item.annotators == 0:
        return Standing(stage="annotate")
    told: list[tuple[object, str, Annotation | Review | Skip]] = [
        *((one.created_at, one.annotation_id, one) for one in case.annotations),
        *((one.created_at, one.review_id, one) for one in case.reviews),
        *((one.created_at, one.skip_id, one) for one in case.skips),
    ]
    for *_, one in sorted(told, key=lambda entry: entry[:2]):
        if walk.standing.stage in CLOSED:
            break
        walk.step(one)
    return walk.standing


def may_take(person: str, case: Case, standing: Standing) -> bool:
    """Whether the item could be given to this person, as far as they and the item go; not whether their role is enough.

    Who skipped it is not asked again, except for what is returned to them.
    """
    wrote = any(one.annotator == person for one in case.annotations)
    reviewed = any(one.person == person for one in case.reviews)
    skipped = any(one.person == person for one in case.skips)
    match standing.stage:
        case "annotate":
            return not (wrote or reviewed or skipped)
        case "return":
            return person == standing.whose
        case "review":
            return not (wrote or skipped)
        case "expert":
            return not (wrote or reviewed or skipped)
        case _:
            return False


class _Walk:
    """Goes through what was said, oldest first."""

    def __init__(self, case: Case, skips_limit: int) -> None:
        self.standing = Standing(stage="annotate")
        self._case = case
        self._limit = skips_limit
        self._said: dict[str, Annotation] = {}
        """The latest of each annotator."""
        self._skipped: set[str] = set()
        """Who would rather not, since it stands where it does."""

    def step(self, one: Annotation | Review | Skip) -> None:
        before = self.standing
        match one:
            case Annotation():
                self._annotated(one)
            case Review():
                self._reviewed(one)
            case Skip():
                self._skip(one)
        if self.standing != before:
            self._skipped.clear()

    def _annotated(self, one: Annotation) -> None:
        if one.tier != "annotator":
            return  # made by a decision, which says what it comes to
        self._said[one.annotator] = one
        if self.standing.stage == "annotate" and len(self._said) >= self._case.item.annotators:
            self._compare()
        elif self.standing.stage == "return" and one.annotator == self.standing.whose:
            self._go("review")

    def _compare(self) -> None:
        """Everybody has said what they think who will."""
        said = list(self._said.values())
        flagged = any(LOOKED_AT.intersection(one.flags) for one in said)
        apart = not all(agree(said[0], other) for other in said[1:])
        self._go("review" if flagged or apart or self._case.item.review else "done")

    def _reviewed(self, one: Review) -> None:
        match one.decision:
            case "accept" | "mend" | "decide":
                self._go("done")
            case "drop":
                self._go("dropped")
            case "escalate" | "object":
                self._go("expert")
            case "return":
                given_back = next((a for a in self._said.values() if a.annotation_id == one.annotation_id), None)
                if given_back is not None:  # else its author was erased, and it waits for somebody else
                    self.standing = Standing(
                        stage="return", whose=given_back.annotator, returned=given_back.annotation_id
                    )

    def _skip(self, one: Skip) -> None:
        if self.standing.stage == "return":
            if one.person == self.standing.whose:
                self._go("expert")  # an objection without words
            return
        self._skipped.add(one.person)
        if len(self._skipped) < self._limit:
            return
        match self.standing.stage:
            case "annotate" if self._said:  # nobody else will: it goes on with what there is
                self._compare()
            case "review":
                self._go("expert")
            case _:
                self._go("dropped")

    def _go(self, stage: Stage) -> None:
        self.standing = Standing(stage=stage)
