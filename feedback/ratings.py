"""A rating: a user's verdict on a turn. Re-rating appends; the latest of each rater counts."""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

from feedback.errors import InvalidRating

GOOD_STARS = 4
"""From how many stars on a reply counts as good."""


class RatingInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client sends to rate a turn: a verdict or stars, and whatever else they care to say."""

    verdict: Literal["up", "down"] | None = None
    stars: int | None = None
    """1 to 5."""
    comment: str = ""
    reasons: list[str] = []
    corrected_reply: str | None = None
    """What the reply should have been."""
    task_completed: bool | None = None
    rater: str = ""


class Rating(msgspec.Struct, frozen=True, kw_only=True):
    """A stored rating."""

    rating_id: str
    turn_id: str
    created_at: dt.datetime
    verdict: Literal["up", "down"] | None
    stars: int | None
    comment: str
    reasons: list[str]
    corrected_reply: str | None
    task_completed: bool | None
    rater: str

    @property
    def good(self) -> bool:
        """Whether the reply was liked: stars decide where both are given, being the finer word."""
        return self.stars >= GOOD_STARS if self.stars is not None else self.verdict == "up"


def check_rating(given: RatingInput) -> None:
    """Raise InvalidRating unless the rating says something and is in range."""
    if given.verdict is None and given.stars is None:
        raise InvalidRating(
            "The rating has neither a verdict nor stars.", 'Send "verdict": "up" or "down", or "stars": 1 to 5.'
        )
    if given.stars is not None and not 1 <= given.stars <= 5:
        raise InvalidRating(
            f"stars is {given.stars}, outside 1 to 5.", "Send a whole number from 1 (worst) to 5 (best)."
        )
    if given.corrected_reply is not None and not given.corrected_reply.strip():
        raise InvalidRating(
            "corrected_reply is empty.", "Write what the reply should have been, or leave the field out."
        )
