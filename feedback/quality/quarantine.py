"""Which quarantines hold, and what becomes of new suspicions.

A quarantine holds until an operator lifts it. What was lifted is not raised again on the same evidence: a single
verdict never, a rater only for what they did since. Must never put anybody's text into the evidence.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import duckdb
import msgspec

from feedback.errors import Conflict, InvalidInput, NotFound
from feedback.mint import new_id
from feedback.quality.records import Lift, Quarantine, Target
from feedback.store.tables import LIFTS, QUARANTINES

Reason = Literal["burst", "near-identical-comments", "votes-against-the-crowd", "over-quota", "by-operator"]
HOLDS = "NOT EXISTS (SELECT 1 FROM lifts WHERE lifts.quarantine_id = quarantines.quarantine_id)"
"""Follows `FROM quarantines WHERE`."""
HELD_RATERS = f"SELECT target FROM quarantines WHERE kind = 'rater' AND {HOLDS}"
HELD_VERDICTS = f"SELECT target FROM quarantines WHERE kind <> 'rater' AND {HOLDS}"


class UnknownQuarantine(NotFound):
    code = "unknown-quarantine"


class AlreadyLifted(Conflict):
    code = "already-lifted"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A suspicion, before anybody is told."""

    kind: Target
    target: str
    reason: Reason
    evidence: str


class QuarantineInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator sends to quarantine something."""

    kind: Target
    target: str
    """A rater's name, or the id of a rating, a preference or an annotation."""
    evidence: str = ""
    """Why, in the operator's words."""


class LiftInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator sends to lift a quarantine."""

    reason: str = ""


class QuarantineShown(msgspec.Struct, frozen=True, kw_only=True):
    """A quarantine, and how it ended if it did."""

    quarantine: Quarantine
    lift: Lift | None = None


class Book:
    """Every quarantine and every lift, as one reader sees them."""

    def __init__(self, quarantines: Sequence[Quarantine], lifts: Sequence[Lift]) -> None:
        self._lifts = {lift.quarantine_id: lift for lift in lifts}
        self.shown = [
            QuarantineShown(quarantine=one, lift=self._lifts.get(one.quarantine_id))
            for one in sorted(quarantines, key=lambda one: one.quarantine_id, reverse=True)
        ]
        """Newest first."""
        self._held = {(one.quarantine.kind, one.quarantine.target) for one in self.shown if one.lift is None}

    @classmethod
    def read(cls, cursor: duckdb.DuckDBPyConnection) -> Book:
        return cls(
            [QUARANTINES.item(row) for row in cursor.execute(QUARANTINES.select).fetchall()],
            [LIFTS.item(row) for row in cursor.execute(LIFTS.select).fetchall()],
        )

    @property
    def held(self) -> list[Quarantine]:
        return [one.quarantine for one in self.shown if one.lift is None]

    @property
    def raters(self) -> frozenset[str]:
        """Quarantined raters."""
        return frozenset(target for kind, target in self._held if kind == "rater")

    @property
    def verdicts(self) -> frozenset[str]:
        """Quarantined ratings, preferences and annotations."""
        return frozenset(target for kind, target in self._held if kind != "rater")

    def forgiven(self) -> dict[str, dt.datetime]:
        """Rater → when their latest quarantine was lifted: what they did until then is not held against them."""
        found: dict[str, dt.datetime] = {}
        for one in self.shown:
            if one.lift is not None and one.quarantine.kind == "rater":
                name = one.quarantine.target
                found[name] = max(one.lift.created_at, found.get(name, one.lift.created_at))
        return found

    def new(self, findings: Iterable[Finding], now: dt.datetime) -> list[Quarantine]:
        """The quarantines that findings come to: one for each target, none where one holds already or was lifted.

        Findings about a forgiven rater must be about what they did since (`forgiven`).
        """
        raters = self.raters
        cleared = {
            (one.quarantine.kind, one.quarantine.target)
            for one in self.shown
            if one.lift is not None and one.quarantine.kind != "rater"
        }
        fresh: dict[tuple[str, str], Quarantine] = {}
        for one in findings:
            key = (one.kind, one.target)
            if key in self._held or key in cleared or key in fresh or (one.kind == "rater" and one.target in raters):
                continue
            fresh[key] = quarantine_of(one, now)
        return list(fresh.values())

    def lift(self, quarantine_id: str, operator: str, reason: str, now: dt.datetime) -> Lift:
        """The lift of a quarantine that holds. Raises UnknownQuarantine, AlreadyLifted."""
        shown = next((one for one in self.shown if one.quarantine.quarantine_id == quarantine_id), None)
        if shown is None:
            raise UnknownQuarantine("There is no such quarantine.", "GET /quarantines lists them.")
        if shown.lift is not None:
            raise AlreadyLifted("This quarantine was lifted before.", "Nothing is left to do.")
        return Lift(
            lift_id=new_id("lift"), quarantine_id=quarantine_id, created_at=now, operator=operator, reason=reason
        )


def quarantine_of(finding: Finding, now: dt.datetime) -> Quarantine:
    """The row that a finding becomes."""
    given: dict[str, Any] = msgspec.structs.asdict(finding)
    return Quarantine(quarantine_id=new_id("quarantine"), created_at=now, **given)


def check_quarantine(given: QuarantineInput) -> Finding:
    """The finding that an operator's word is. Raises InvalidInput for an empty target."""
    if not given.target.strip():
        raise InvalidInput("target is empty.", "Name a rater, or the id of a rating, a preference or an annotation.")
    return Finding(kind=given.kind, target=given.target, reason="by-operator", evidence=given.evidence)
