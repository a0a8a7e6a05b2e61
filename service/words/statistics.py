"""How often each category and rule has hit since the gateway started: counts in memory, never any text.

One counter for the whole process, fed by whoever filtered something and read by `GET /words`. Not stored: every turn
keeps its own hits, so the history lies in the database, and these numbers answer "what is going on right now".
"""

from __future__ import annotations

import datetime as dt
import threading
from collections import Counter
from collections.abc import Iterable

import msgspec

from feedback.mint import now
from feedback.turns import FilterHit


class RuleCount(msgspec.Struct, frozen=True, kw_only=True):
    """How often one rule did one thing in one direction."""

    rule: str
    category: str
    action: str
    direction: str
    hits: int


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Counts since `since`."""

    since: dt.datetime
    hits: int
    categories: dict[str, dict[str, int]]
    """Category → `<direction> <action>` → hits, for example {"insult": {"in mask": 3}}."""
    rules: list[RuleCount]
    """The most frequent first."""


class Statistics:
    """The counter. Safe to feed from any thread."""

    def __init__(self) -> None:
        self._since = now()
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, str, str]] = Counter()

    def add(self, hits: Iterable[FilterHit]) -> None:
        """Count hits."""
        found = Counter((hit.category, hit.rule, hit.action, hit.direction) for hit in hits)
        if found:
            with self._lock:
                self._counts.update(found)

    def by_list(self) -> Counter[tuple[str, ...]]:
        """Hits by list, action and direction; a rule is named `list:line`."""
        with self._lock:
            counts = Counter(self._counts)
        found: Counter[tuple[str, ...]] = Counter()
        for (_, rule, action, direction), hits in counts.items():
            found[rule.rpartition(":")[0] or rule, action, direction] += hits
        return found

    def counts(self) -> list[RuleCount]:
        """Every rule that hit, by its name."""
        with self._lock:
            counts = Counter(self._counts)
        return [
            RuleCount(rule=rule, category=category, action=action, direction=direction, hits=hits)
            for (rule, action, direction, category), hits in sorted(
                ((rule, action, direction, category), hits)
                for (category, rule, action, direction), hits in counts.items()
            )
        ]

    def report(self, top: int) -> Report:
        """The counts, with the `top` most frequent rules."""
        with self._lock:
            counts = Counter(self._counts)
        categories: dict[str, dict[str, int]] = {}
        for (category, _, action, direction), hits in sorted(counts.items()):
            sums = categories.setdefault(category, {})
            sums[f"{direction} {action}"] = sums.get(f"{direction} {action}", 0) + hits
        rules = [
            RuleCount(rule=rule, category=category, action=action, direction=direction, hits=hits)
            for (category, rule, action, direction), hits in counts.most_common(top)
        ]
        return Report(since=self._since, hits=counts.total(), categories=categories, rules=rules)
