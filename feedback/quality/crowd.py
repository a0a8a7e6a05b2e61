"""Raters who vote against everybody: not because they differ, but so often that chance would do better.

Of a rater's votes those count that others' words can be compared with. Their share of agreement is taken for good and
for bad replies each, so that nobody is suspected for rating only what went wrong. Pure.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING

from feedback.quality.quarantine import Finding
from feedback.quality.trust import expected
from feedback.settings import QualitySettings

if TYPE_CHECKING:
    from feedback.quality.votes import Flags, Votes

CHANCE = 0.5
LUCK = 3.0
"""Standard errors by which they must stay below chance: one honest coin in 700 does."""
SURE = 0.6
"""How sure the others must be of a turn, 0 to 1, for a vote on it to be compared: 0 is undecided."""


def against_the_crowd(
    votes: Votes, weights: Mapping[str, float], rules: QualitySettings, forgiven: Mapping[str, dt.datetime]
) -> list[Finding]:
    """Findings about raters, by what they voted since they were last forgiven."""
    import numpy as np

    if rules.crowd_votes <= 0 or not len(votes):
        return []
    weight = np.array([weights.get(name, 1.0) for name in votes.raters])
    chance, _ = expected(votes, weight)
    compared = np.abs(2 * chance - 1) >= SURE
    for name, at in forgiven.items():
        if name in votes.raters:
            compared &= (votes.rater != votes.raters.index(name)) | (votes.at > at.timestamp() * 1e6)
    found = []
    for rater, (agreed, seen) in _shares(votes, chance >= CHANCE, compared).items():
        bound = 0.5 * LUCK / np.sqrt(seen)  # a coin's standard error is 0.5 / √n
        if rater and seen >= rules.crowd_votes and agreed < CHANCE - bound:
            words = f"Agrees with others in {agreed:.0%} of {seen} votes that can be compared; chance would in 50%."
            found.append(Finding(kind="rater", target=rater, reason="votes-against-the-crowd", evidence=words))
    return found


def _shares(votes: Votes, likely: Flags, compared: Flags) -> dict[str, tuple[float, int]]:
    """Rater → share of agreement, good and bad replies each by half where there are both, and of how many votes."""
    import numpy as np

    many = len(votes.raters)
    shares, parts, seen = np.zeros(many), np.zeros(many), np.zeros(many)
    for side in (likely, ~likely):
        chosen = compared & side
        count = np.bincount(votes.rater, chosen, minlength=many)
        right = np.bincount(votes.rater, chosen & (votes.good == likely), minlength=many)
        seen += count
        parts += count > 0
        shares += np.divide(right, count, out=np.zeros(many), where=count > 0)
    return {name: (float(shares[at] / parts[at]), int(seen[at])) for at, name in enumerate(votes.raters) if parts[at]}


def without(votes: Votes, raters: set[str]) -> Votes:
    """The votes of all others."""
    import numpy as np

    gone = np.array([name in raters for name in votes.raters], dtype=np.bool_)
    kept = ~gone[votes.rater]
    return dataclasses.replace(
        votes, turn=votes.turn[kept], rater=votes.rater[kept], at=votes.at[kept], good=votes.good[kept]
    )
