"""Open items in the order in which they are given out, in lanes: a desk looks only into those that may hold one for it.

Some choices go before others, by a head start and not for ever: an item of a low rank is given out once it has waited
longer than the head start of those before it, so that the random share, of which estimates are made, is never starved.
"""

from __future__ import annotations

import bisect
import datetime as dt
import heapq
from collections.abc import Iterator

from feedback.labelling.records import Choice, Item, Stage
from feedback.labelling.task import Desk, Filters
from feedback.labelling.workflow import DESKS, Standing

HEAD_START_HOURS: dict[Choice, float] = {
    "asked": 24.0 * 30, "disputed": 72.0, "low-rated": 48.0, "challenger": 48.0, "uncertain": 24.0, "random": 0.0,
    "gold": 0.0,
}  # fmt: skip
"""How much sooner an item is given out than a random one of its age."""

Place = tuple[dt.datetime, str]
"""Where an item stands in its lane: its time less the head start, and its id."""
LaneKey = tuple[Stage, str, str, str, str]
"""Stage, whose (of a return), project, language, topic."""


class Lanes:
    """For one thread."""

    def __init__(self) -> None:
        self._lanes: dict[LaneKey, list[Place]] = {}

    def add(self, item: Item, standing: Standing) -> None:
        bisect.insort(self._lanes.setdefault(_key(item, standing), []), _place(item))

    def remove(self, item: Item, standing: Standing) -> None:
        key, place = _key(item, standing), _place(item)
        lane = self._lanes.get(key, [])
        at = bisect.bisect_left(lane, place)
        if lane[at : at + 1] == [place]:
            del lane[at]
        if not lane:
            self._lanes.pop(key, None)

    def ids(self, person: str, desk: Desk, filters: Filters, languages: list[str], topics: list[str]) -> Iterator[str]:
        """Items for that desk in the order in which they are given out; what was returned to the person goes first,
        whatever they filter by."""
        returned = [lane for (stage, whose, *_), lane in self._lanes.items() if stage == "return" and whose == person]
        if desk == "annotate":
            yield from (item_id for _, item_id in heapq.merge(*returned))
        yield from (item_id for _, item_id in heapq.merge(*self._matching(desk, filters, languages, topics)))

    def count(self, desk: Desk, filters: Filters, languages: list[str], topics: list[str]) -> int:
        """How many items are for that desk, leaving out what was returned."""
        return sum(map(len, self._matching(desk, filters, languages, topics)))

    def _matching(self, desk: Desk, filters: Filters, languages: list[str], topics: list[str]) -> list[list[Place]]:
        return [
            lane
            for (stage, _, project, language, topic), lane in self._lanes.items()
            if stage != "return"
            and DESKS[stage] == desk
            and filters.project in ("", project)
            and wanted(language, filters.language, languages)
            and wanted(topic, filters.topic, topics)
        ]


def wanted(facet: str, named: str, able: list[str]) -> bool:
    """Whether an item of that language or topic is for somebody who named one, and is asked for some only. One of
    which nobody knows it is for everybody who named none."""
    return named in ("", facet) and (not able or not facet or facet in able)


def _key(item: Item, standing: Standing) -> LaneKey:
    return standing.stage, standing.whose, item.project, item.language, item.topic


def _place(item: Item) -> Place:
    return item.created_at - dt.timedelta(hours=HEAD_START_HOURS[item.choice]), item.item_id
