"""How much each rater's verdicts count, and which don't: what the pool's decisions are told of people.

Numbers and ids only, so that deciding about a turn stays pure. Whom nobody knows yet counts as everybody did before
there was anything to know: 1. Must never say anything about reviewers and experts but that they are quarantined: they
are who the others are measured by.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

LEAST_WEIGHT = 0.5
"""Of a rater nobody knows: 1. Below this a rater's word alone admits nothing to the pool, and a majority is none."""
LEAST_MENDING = 1.0
"""Below this nobody's correction is learnt: to write what is learnt takes more than to vote on it."""
HEAVIEST = 2.0
"""What the most trusted user's word weighs."""


class TrustUsed(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot says of the trust that it was frozen with; names nobody."""

    sha256: str
    """Of every weight and every quarantine that held."""
    users: int
    """Users of whom something is known."""
    annotators: int
    distrusted: int
    """Of both, those whose word alone admits nothing."""
    quarantined_raters: int
    quarantined_verdicts: int


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """Who counts how much."""

    users: Mapping[str, float] = {}
    """Rater → weight of their ratings, 0 to 2; who is not named weighs 1."""
    annotators: Mapping[str, float] = {}
    """Annotator → weight of their annotations, 0 to 1; who is not named weighs 1."""
    raters: frozenset[str] = frozenset()
    """Quarantined: nothing that they say counts."""
    verdicts: frozenset[str] = frozenset()
    """Ids of ratings, preferences and annotations that are quarantined themselves."""

    def counts(self, verdict_id: str, rater: str) -> bool:
        """Whether a verdict is not quarantined."""
        return verdict_id not in self.verdicts and rater not in self.raters

    def user(self, rater: str) -> float:
        return self.users.get(rater, 1.0)

    def annotator(self, name: str) -> float:
        return self.annotators.get(name, 1.0)

    def used(self) -> TrustUsed:
        """For a snapshot's manifest."""
        told = [sorted(self.users.items()), sorted(self.annotators.items()), sorted(self.raters), sorted(self.verdicts)]
        weights = (*self.users.values(), *self.annotators.values())
        return TrustUsed(
            sha256=hashlib.sha256(msgspec.json.encode(told)).hexdigest(),
            users=len(self.users),
            annotators=len(self.annotators),
            distrusted=sum(weight < LEAST_WEIGHT for weight in weights),
            quarantined_raters=len(self.raters),
            quarantined_verdicts=len(self.verdicts),
        )


ALL_ALIKE = Standing()
"""Everybody counts the same, and nothing is quarantined."""
