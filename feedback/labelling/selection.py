"""Which turns become items, and with which probability each could have. Pure: the chance is in the lots that come in.

Turns that nobody has in the queue yet (the frame) are counted by what speaks for looking at them, topic and version: a
cell. Each cell gets a chance from what is wanted, and a turn whose lot, uniform from 0 to 1, is below its cell's
chance is chosen (Poisson sampling). So its probability is known exactly, however biased the choice is on purpose, and
is kept with the item; `estimates` weighs by it. Every turn has a chance above 0, by the random share.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import TypeVar

import msgspec

from feedback.labelling.records import Choice
from feedback.settings import LabellingSettings

Key = TypeVar("Key", bound=Hashable)
REASONS: tuple[Choice, ...] = ("disputed", "low-rated", "challenger", "uncertain")
"""What may speak for a turn, strongest first; a turn that several speak for is named by the first that drew it."""
ENOUGH = 1e-9


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """Turns of the frame that are alike."""

    reasons: tuple[Choice, ...]
    """Of `REASONS`."""
    topic: str
    version: str
    size: int
    """How many there are."""
    lots: list[tuple[float, str]]
    """The lowest lots with their turns' ids, lowest first; `lots_needed` says how many."""


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that is to become an item."""

    turn_id: str
    choice: Choice
    probability: float
    """Of being chosen now, for whichever reason, above 0 and at most 1."""


def lots_needed(wanted: int) -> int:
    """How many of a cell's lots must come in, so that none that wins is missing, save once in 10^12 times."""
    return wanted + math.ceil(8 * math.sqrt(wanted)) + 20


def choose(cells: Sequence[Cell], wanted: int, rules: LabellingSettings) -> list[Chosen]:
    """About so many turns: more or fewer by chance, all where there are no more."""
    found: list[Chosen] = []
    for cell, chances in zip(cells, chances_of(cells, wanted, rules), strict=True):
        chance = min(1.0, sum(chances.values()))
        for lot, turn_id in cell.lots:
            if lot >= chance:
                break
            found.append(Chosen(turn_id=turn_id, choice=_drawn_by(lot, chances), probability=chance))
    return found


def chances_of(cells: Sequence[Cell], wanted: int, rules: LabellingSettings) -> list[dict[Choice, float]]:
    """For each cell, how much of its chance comes from which choice.

    Every reason gets an equal part of what the random share leaves; what a reason has no turns for goes to the others,
    and at last to the random ones. Within a reason the quotas of topics and versions hold, see `shares`.
    """
    everything = sum(cell.size for cell in cells)
    if not everything or wanted <= 0:
        return [{} for _ in cells]
    at_random = wanted * rules.random_share
    sizes = {reason: sum(cell.size for cell in cells if reason in cell.reasons) for reason in REASONS}
    parts = _dealt(sizes, dict.fromkeys(sizes, 1), wanted - at_random)
    at_random = wanted - sum(parts.values())
    chances: list[dict[Choice, float]] = [{} for _ in cells]
    for reason in REASONS:
        taking = [place for place, cell in enumerate(cells) if reason in cell.reasons]
        for place, chance in _within([cells[place] for place in taking], parts.get(reason, 0.0), rules):
            chances[taking[place]][reason] = chance
    for one in chances:
        one["random"] = min(1.0, at_random / everything)
    return chances


def shares(sizes: Mapping[Key, int], wanted: float, quota: float) -> dict[Key, float]:
    """How many of each group: in proportion to their sizes, but none more than `quota` (0 to 1) of what is wanted, as
    long as other groups have any left."""
    given = _dealt({key: min(float(size), quota * wanted) for key, size in sizes.items()}, sizes, wanted)
    left = {key: size - given.get(key, 0.0) for key, size in sizes.items()}
    more = _dealt(left, sizes, wanted - sum(given.values()))
    return {key: given.get(key, 0.0) + more.get(key, 0.0) for key in sizes}


def _within(cells: Sequence[Cell], wanted: float, rules: LabellingSettings) -> list[tuple[int, float]]:
    """Each cell's place and its chance, where so many are wanted of all together."""
    topics: dict[str, int] = defaultdict(int)
    versions: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for cell in cells:
        topics[cell.topic] += cell.size
        versions[cell.topic][cell.version] += cell.size
    by_topic = shares(topics, wanted, rules.topic_quota)
    by_both = {topic: shares(versions[topic], by_topic[topic], rules.version_quota) for topic in topics}
    return [
        (place, min(1.0, by_both[cell.topic][cell.version] / versions[cell.topic][cell.version]))
        for place, cell in enumerate(cells)
    ]


def _dealt(room: Mapping[Key, float], weights: Mapping[Key, float], wanted: float) -> dict[Key, float]:
    """`wanted` in proportion to the weights, none more than its room; what does not fit goes to the others."""
    given: dict[Key, float] = {}
    taking = [key for key in room if room[key] > ENOUGH and weights[key] > 0]
    while taking and wanted > ENOUGH:
        unit = wanted / sum(weights[key] for key in taking)
        full = [key for key in taking if unit * weights[key] >= room[key]]
        if not full:
            return given | {key: unit * weights[key] for key in taking}
        for key in full:
            given[key] = room[key]
            wanted -= room[key]
        taking = [key for key in taking if key not in given]
    return given


def _drawn_by(lot: float, chances: Mapping[Choice, float]) -> Choice:
    """Which of the choices a winning lot falls to: their chances lie one behind the other from 0 on."""
    for choice in REASONS:
        lot -= chances.get(choice, 0.0)
        if lot < 0:
            return choice
    return "random"
