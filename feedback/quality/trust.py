"""How far each rater's word is to be believed, from what others say of the same turns.

A user is measured by trained people's verdicts and, less, by what the other users say, weighed by how far those are
believed: so the trust is worked out in rounds. What counts is how often they know a good reply *and* how often they
know a bad one, half and half: who always says "good" knows nothing, however many replies are good. A trained annotator
is measured by gold, by who reviewed the same turn, and, less, by others who annotated it.

Each begins where most people are and moves away with evidence (`PRIOR`, `STRENGTH`), so that three odd votes make
nobody an enemy. Worse than chance weighs nothing, and never less: else whoever is distrusted could vote upside down.
Pure but for the reading in `standing_of`.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import duckdb
import msgspec

from feedback.quality.grades import Grades, read_grades
from feedback.quality.quarantine import Book
from feedback.quality.standing import HEAVIEST, Standing
from feedback.settings import QualitySettings

if TYPE_CHECKING:
    from feedback.quality.votes import Numbers, Votes

PRIOR = 0.75
"""How often somebody whom nobody knows is taken to be right about a good reply, and about a bad one."""
STRENGTH = 4.0
"""How many votes that is worth, for each of the two."""
TRAINED_PRIOR, TRAINED_STRENGTH = 0.85, 10.0
"""The same of annotators: how often they grade as those do who know."""
CROWD = 0.5
"""What a vote that only other raters can be compared with is worth, beside one that a trained person can."""
ROUNDS = 5


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """How far one rater is believed."""

    rater: str
    """A user or an annotator; empty: whoever gives no name."""
    trained: bool
    """Whether they annotate."""
    trust: float
    """How often they are right, 0 to 1, as far as can be told; 0.5 is chance."""
    weight: float
    """What their word weighs; who is not known weighs 1."""
    compared: int
    """How many of their verdicts could be compared with anybody's."""
    agreed: float | None
    """Of these, the share in which they said the same; none where nothing could be compared."""
    gold: int = 0
    """Gold items that they graded."""
    gold_right: float | None = None
    """Of these, the share that they graded right: good or not as it is, and each grade at most one step off."""


def standing_of(cursor: duckdb.DuckDBPyConnection, rules: QualitySettings, now: dt.datetime) -> Standing:
    """Who counts how much now, by one state of the store."""
    from feedback.quality.votes import read_votes  # numpy

    book = Book.read(cursor)
    users = trust_in_users(read_votes(cursor, now - dt.timedelta(days=rules.window_days)))
    annotators = trust_in_annotators(read_grades(cursor))
    return standing_from(users, annotators, book)


def standing_from(users: Iterable[Trust], annotators: Iterable[Trust], book: Book) -> Standing:
    """The standing that trust and quarantines come to."""
    return Standing(
        users={one.rater: one.weight for one in users},
        annotators={one.rater: one.weight for one in annotators},
        raters=book.raters,
        verdicts=book.verdicts,
    )


def trust_in_users(votes: Votes) -> list[Trust]:
    """The trust in each user who rated, by name."""
    import numpy as np

    if not len(votes):
        return []
    raters = len(votes.raters)
    weight = np.ones(raters)
    for _ in range(ROUNDS):
        chance, worth = expected(votes, weight)
        trust = _shrunk(votes, chance, worth)
        weight = np.clip(np.log(trust / (1 - trust)) / _logit(PRIOR), 0.0, HEAVIEST)
    compared = np.bincount(votes.rater, worth > 0, minlength=raters)
    same = np.where(votes.good, chance, 1 - chance)
    agreed = np.bincount(votes.rater, same * (worth > 0), minlength=raters)
    found = [
        Trust(
            rater=name,
            trained=False,
            trust=round(float(trust[at]), 4),
            weight=round(float(weight[at]), 4),
            compared=int(compared[at]),
            agreed=round(float(agreed[at] / compared[at]), 4) if compared[at] else None,
        )
        for at, name in enumerate(votes.raters)
    ]
    return sorted(found, key=lambda one: one.rater)


def expected(votes: Votes, weight: Numbers) -> tuple[Numbers, Numbers]:
    """For each vote: how likely its turn is good by what all others said, 0 to 1, and what a comparison with that is
    worth, 0 to 1. A trained person's verdict is certain; nobody's is worth nothing."""
    import numpy as np

    said = weight[votes.rater] * _logit(PRIOR) * np.where(votes.good, 1.0, -1.0)
    sums = np.bincount(votes.turn, said, minlength=len(votes.trained))
    chance = 1 / (1 + np.exp(-np.clip(sums[votes.turn] - said, -30, 30)))
    worth = CROWD * np.abs(2 * chance - 1)
    worth[worth < 1e-9] = 0.0  # what is left of a difference of equal sums
    trained = votes.trained[votes.turn]
    known = ~np.isnan(trained)
    return np.where(known, trained, chance), np.where(known, 1.0, worth)


def _shrunk(votes: Votes, chance: Numbers, worth: Numbers) -> Numbers:
    """Each rater's trust: half of how well they know good replies, half of how well they know bad ones."""
    import numpy as np

    halves = []
    for likely, right in ((chance, votes.good), (1 - chance, ~votes.good)):
        evidence = likely * worth
        seen = np.bincount(votes.rater, evidence, minlength=len(votes.raters))
        hits = np.bincount(votes.rater, evidence * right, minlength=len(votes.raters))
        halves.append((PRIOR * STRENGTH + hits) / (STRENGTH + seen))
    return np.clip((halves[0] + halves[1]) / 2, 0.01, 0.99)


def trust_in_annotators(grades: Grades) -> list[Trust]:
    """The trust in everybody who annotated, by name; it weighs what they say as annotators only."""
    return [_trust_in_annotator(name, grades) for name in grades.annotators]


def _trust_in_annotator(name: str, grades: Grades) -> Trust:
    gold = grades.against_gold(name)
    outranking = grades.against_outranking(name)
    peers = grades.against_peers(name)
    hits = sum(gold) + sum(outranking) + CROWD * sum(peers)
    seen = len(gold) + len(outranking) + CROWD * len(peers)
    trust = (TRAINED_PRIOR * TRAINED_STRENGTH + hits) / (TRAINED_STRENGTH + seen)
    compared = [*gold, *outranking, *peers]
    weight = _logit(min(trust, 0.99)) / _logit(TRAINED_PRIOR)
    return Trust(
        rater=name,
        trained=True,
        trust=round(trust, 4),
        weight=round(min(1.0, max(0.0, weight)), 4),
        compared=len(compared),
        agreed=_share(compared),
        gold=len(gold),
        gold_right=_share(gold),
    )


def _share(same: list[bool]) -> float | None:
    return round(sum(same) / len(same), 4) if same else None


def _logit(share: float) -> float:
    return math.log(share / (1 - share))


def by_name(trusts: Iterable[Trust]) -> Mapping[str, Trust]:
    """Rater → trust."""
    return {one.rater: one for one in trusts}
