"""What is kept of a quarantine: that something is not to be believed, why, and that it was lifted. Only ever added."""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec

Target = Literal["rater", "rating", "preference", "annotation"]


class Quarantine(msgspec.Struct, frozen=True, kw_only=True):
    """Something that teaches nothing until an operator has looked at it."""

    quarantine_id: str
    created_at: dt.datetime
    kind: Target
    target: str
    """A rater's name, or an id."""
    reason: str
    """In kebab-case: `burst`, `near-identical-comments`, `votes-against-the-crowd`, `over-quota`, `by-operator`."""
    evidence: str
    """Numbers in words, for whoever decides; nobody's text."""


class Lift(msgspec.Struct, frozen=True, kw_only=True):
    """That a quarantine holds no longer."""

    lift_id: str
    quarantine_id: str
    created_at: dt.datetime
    operator: str
    reason: str
