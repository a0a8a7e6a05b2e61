"""Trained people's grades as they are compared: who gave which turn which, without its text.

Of each person the first annotation of a turn counts: later ones were made having seen what others said of it. Those of
a reviewer or an expert are no blind grades, but what the annotator's are measured by.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

import duckdb
import msgspec

from feedback.annotations import GOOD_ACCURACY, GOOD_FLUENCY, TIERS, Tier
from feedback.quality.agreement import Level
from feedback.quality.quarantine import HELD_RATERS, HELD_VERDICTS

Question = Literal["accuracy", "fluency", "good"]
LEVELS: dict[Question, Level] = {"accuracy": "ordinal", "fluency": "ordinal", "good": "nominal"}
"""What is asked of people, and how its answers lie to each other."""
_ANNOTATIONS = f"""
    SELECT turn_id, annotator, tier, accuracy, fluency FROM annotations
    WHERE annotator NOT IN ({HELD_RATERS}) AND annotation_id NOT IN ({HELD_VERDICTS})
    ORDER BY created_at, annotation_id
"""
_GOLD = """
    SELECT turn_id, arg_max(accuracy, gold_id), arg_max(fluency, gold_id) FROM gold
    GROUP BY turn_id HAVING NOT arg_max(retired, gold_id)
"""


class Grade(msgspec.Struct, frozen=True):
    """What somebody graded a turn with."""

    turn_id: str
    person: str
    tier: Tier
    accuracy: int
    fluency: int

    @property
    def good(self) -> bool:
        """As of an annotation."""
        return self.accuracy >= GOOD_ACCURACY and self.fluency >= GOOD_FLUENCY

    def like(self, other: Grade) -> bool:
        """Whether two would not quarrel: both good or both not, and no grade more than a step apart."""
        near = abs(self.accuracy - other.accuracy) <= 1 and abs(self.fluency - other.fluency) <= 1
        return near and self.good == other.good


class Grades:
    """All grades, oldest first, and the gold that holds."""

    def __init__(self, grades: Sequence[Grade], gold: Mapping[str, Grade]) -> None:
        self._gold = gold
        self._blind: dict[str, dict[str, Grade]] = defaultdict(dict)
        self._outranking: dict[str, Grade] = {}
        self._by_person: dict[str, list[Grade]] = defaultdict(list)
        for one in grades:
            if one.tier == "annotator":
                if one.person not in self._blind[one.turn_id]:
                    self._blind[one.turn_id][one.person] = one
                    self._by_person[one.person].append(one)
            elif (before := self._outranking.get(one.turn_id)) is None or _rank(one) >= _rank(before):
                self._outranking[one.turn_id] = one

    @property
    def annotators(self) -> list[str]:
        return sorted(self._by_person)

    def of(self, person: str) -> list[Grade]:
        """A person's blind grades, oldest first."""
        return self._by_person.get(person, [])

    def units(self, question: Question) -> list[dict[str, int]]:
        """What each blindly graded turn got, by person."""
        return [
            {person: int(getattr(grade, question)) for person, grade in found.items()} for found in self._blind.values()
        ]

    def against_gold(self, person: str) -> list[bool]:
        """For each gold item that they graded, oldest first: whether rightly. The author's own grades are not asked."""
        return [
            one.like(gold)
            for one in self.of(person)
            if (gold := self._gold.get(one.turn_id)) is not None and gold.person != person
        ]

    def against_outranking(self, person: str) -> list[bool]:
        """For each turn that a reviewer or an expert graded as well, and that is no gold: whether alike."""
        return [
            one.like(other)
            for one in self.of(person)
            if one.turn_id not in self._gold
            and (other := self._outranking.get(one.turn_id)) is not None
            and other.person != person
        ]

    def against_peers(self, person: str) -> list[bool]:
        """For each other annotator of each of their turns that nobody else can tell them of: whether alike."""
        return [
            one.like(other)
            for one in self.of(person)
            if one.turn_id not in self._gold and one.turn_id not in self._outranking
            for name, other in self._blind[one.turn_id].items()
            if name != person
        ]

    def agreed(self, person: str) -> list[bool]:
        """For each of their turns that can be compared, oldest first: whether alike with who knows best."""
        found = []
        for one in self.of(person):
            peers = [other for name, other in self._blind[one.turn_id].items() if name != person]
            best = self._gold.get(one.turn_id) or self._outranking.get(one.turn_id)
            if best is not None and best.person != person:
                found.append(one.like(best))
            elif peers:
                found.append(2 * sum(map(one.like, peers)) >= len(peers))
        return found


def _rank(grade: Grade) -> int:
    return TIERS.index(grade.tier)


def read_grades(cursor: duckdb.DuckDBPyConnection) -> Grades:
    """All that are stored and not quarantined."""
    grades = [Grade(*row) for row in cursor.execute(_ANNOTATIONS).fetchall()]
    authors = dict(cursor.execute("SELECT turn_id, arg_max(author, gold_id) FROM gold GROUP BY turn_id").fetchall())
    gold = {
        turn_id: Grade(turn_id, authors[turn_id], "expert", accuracy, fluency)
        for turn_id, accuracy, fluency in cursor.execute(_GOLD).fetchall()
    }
    return Grades(grades, gold)
