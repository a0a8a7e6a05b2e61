"""What labelling keeps: items of the queue, who had which, and what was decided about them. Rows, only ever added.

An item is one turn that somebody should look at, and why it was chosen. What was said of it are `annotations` that
carry its id; what was done with those are `reviews`. The state of an item is worked out from these (`workflow`), and
never stored.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal, get_args

import msgspec

Choice = Literal["disputed", "low-rated", "challenger", "uncertain", "random", "gold", "asked"]
CHOICES: tuple[Choice, ...] = get_args(Choice)
"""Why a turn became an item. `random` is drawn from all turns alike; `asked`: an operator named it."""
Stage = Literal["annotate", "review", "return", "expert", "done", "dropped"]
"""What an item waits for. `annotate`: a first or a second annotation; `return`: its annotator, to mend or to object."""
Decision = Literal["accept", "mend", "return", "escalate", "object", "decide", "drop"]
"""accept, mend, return, escalate and drop are a reviewer's; object an annotator's, to a return; decide an expert's."""
SkipReason = Literal["not-my-language", "not-my-topic", "unclear", "too-long", "upsetting", "other"]


class Item(msgspec.Struct, frozen=True, kw_only=True):
    """A turn in the queue."""

    item_id: str
    turn_id: str
    created_at: dt.datetime
    project: str
    """The alias that people chatted with."""
    choice: Choice
    probability: float
    """With which the turn was chosen, above 0 and at most 1: weighing by its inverse makes estimates unbiased."""
    annotators: int
    """How many are to annotate it without seeing each other: 1 or 2; 0: everybody once, as with gold."""
    review: bool
    """Whether a reviewer looks at it even where nobody disagrees."""
    language: str
    """`zh`, `en`, …: see `feedback.facets`."""
    topic: str
    version: str
    """The version that answered."""


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """That a person has an item before them, and nobody else is given it until then."""

    lease_id: str
    turn_id: str
    item_id: str
    created_at: dt.datetime
    person: str
    stage: Stage
    expires_at: dt.datetime


class Skip(msgspec.Struct, frozen=True, kw_only=True):
    """That a person would rather not say anything of an item."""

    skip_id: str
    turn_id: str
    item_id: str
    created_at: dt.datetime
    person: str
    reason: SkipReason
    note: str


class Review(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody decided about an item's annotations."""

    review_id: str
    turn_id: str
    item_id: str
    created_at: dt.datetime
    person: str
    decision: Decision
    annotation_id: str
    """The annotation that is accepted, mended, returned or objected about; of `decide`, the one that was made by it."""
    reason: str


class Guideline(msgspec.Struct, frozen=True, kw_only=True):
    """One version of a project's guideline. The latest holds; annotations name the one that they were made under."""

    guideline_id: str
    created_at: dt.datetime
    project: str
    version: int
    """1, 2, … in a project."""
    author: str
    text: str
    """Markdown."""


class Gold(msgspec.Struct, frozen=True, kw_only=True):
    """An item whose right answer is known: mixed in, to see how well people grade. The latest row of a turn holds."""

    gold_id: str
    turn_id: str
    item_id: str
    """The item by which everybody is given it."""
    created_at: dt.datetime
    author: str
    accuracy: int
    fluency: int
    note: str
    retired: bool


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What a person is asked to look at; the latest row holds. Nothing named: everything."""

    profile_id: str
    created_at: dt.datetime
    person: str
    languages: list[str]
    topics: list[str]
