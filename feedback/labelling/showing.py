"""What of an item is shown to whom: nobody sees names, and whoever annotates sees nothing that could colour the grades.
Pure."""

from __future__ import annotations

import datetime as dt
import statistics
import string
from collections.abc import Sequence

import msgspec

from feedback.annotations import Annotation
from feedback.labelling.records import Item, Review, Skip, Stage
from feedback.labelling.task import Done, Shown, Today
from feedback.labelling.workflow import Case, Standing

LATEST = 100
"""How many things that somebody did are told one by one."""


def item_shown(item: Item, stage: Stage) -> Item:
    """The item without what must not colour the grades, nor tell that it is gold, where somebody annotates."""
    if stage not in ("annotate", "return"):
        return item
    return msgspec.structs.replace(item, version="", choice="random", probability=1.0, annotators=1, review=False)


def annotations_shown(case: Case, standing: Standing, person: str) -> list[Shown]:
    """The annotations that this person sees, by letters."""
    if standing.stage == "annotate":
        return []
    letters: dict[str, str] = {}
    shown = []
    for one in case.first_hand:
        letter = letters.setdefault(one.annotator, letter_of(len(letters)))
        if standing.stage != "return" or one.annotator == person:
            without = msgspec.structs.replace(one, annotator="")
            shown.append(Shown(letter=letter, annotation=without, mine=one.annotator == person))
    return shown


def letter_of(place: int) -> str:
    """A, B, …, Z, AA, AB, …"""
    place, last = divmod(place, 26)
    return (letter_of(place - 1) if place else "") + string.ascii_uppercase[last]


def reviews_shown(case: Case, standing: Standing) -> list[Review]:
    """What was decided so far, without names, oldest first. Of a return its author sees what is about their own."""
    if standing.stage == "annotate":
        return []
    own = {one.annotation_id for one in case.annotations if one.annotator == standing.whose}
    return [
        msgspec.structs.replace(one, person="")
        for one in sorted(case.reviews, key=lambda one: (one.created_at, one.review_id))
        if standing.stage != "return" or one.annotation_id in own
    ]


def today_of(
    annotations: Sequence[Annotation], reviews: Sequence[Review], skips: Sequence[Skip], stages: dict[str, Stage]
) -> Today:
    """What somebody did. `annotations` also has those that their decisions made, which are not told twice; `stages`:
    where items are now, and those that it does not have are done."""
    own = [one for one in annotations if one.tier == "annotator"]
    done = [
        *(_done(one.item_id, one.turn_id, one.created_at, "annotated", stages, one) for one in own),
        *(_done(one.item_id, one.turn_id, one.created_at, one.decision, stages) for one in reviews),
        *(_done(one.item_id, one.turn_id, one.created_at, "skipped", stages) for one in skips),
    ]
    seconds = [one.seconds for one in own if one.seconds is not None]
    return Today(
        annotated=len(own),
        reviewed=len(reviews),
        skipped=len(skips),
        median_seconds=statistics.median(seconds) if seconds else None,
        done=sorted(done, key=lambda one: one.at, reverse=True)[:LATEST],
    )


def _done(
    item_id: str, turn_id: str, at: dt.datetime, what: str, stages: dict[str, Stage], grades: Annotation | None = None
) -> Done:
    return Done(
        item_id=item_id,
        turn_id=turn_id,
        at=at,
        what=what,
        accuracy=grades.accuracy if grades is not None else None,
        fluency=grades.fluency if grades is not None else None,
        stage=stages.get(item_id, "done"),
    )
