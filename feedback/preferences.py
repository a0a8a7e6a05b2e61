"""A preference: of two drafts that answer one prompt, which one a person would rather have had.

Both drafts are turns of their own. Who made which is not shown until the choice is stored. Choosing again appends; the
latest of each rater counts.
"""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

from feedback.errors import InvalidInput

Preferred = Literal["first", "second", "tie", "neither"]


class InvalidPreference(InvalidInput):
    code = "invalid-preference"


class PreferenceInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client sends to choose between two drafts."""

    first: str
    """The turn of one draft."""
    second: str
    """The turn of the other."""
    preferred: Preferred
    reasons: list[str] = []
    comment: str = ""
    rater: str = ""


class Preference(msgspec.Struct, frozen=True, kw_only=True):
    """A stored preference."""

    preference_id: str
    turn_id: str
    """The first draft."""
    other_turn_id: str
    """The second draft."""
    created_at: dt.datetime
    rater: str
    preferred: Preferred
    reasons: list[str]
    comment: str


def check_preference(given: PreferenceInput) -> None:
    """Raise InvalidPreference where it names one turn twice."""
    if given.first == given.second:
        raise InvalidPreference("first and second are the same turn.", "Name the turns of two drafts.")
