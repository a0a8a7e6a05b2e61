"""Which words share an automaton, and what each of them stands for.

Words are put together by how they are folded, so that a text is folded once for each way and not once for each list.
A word with characters that its own list skips as noise (`@@@@`, `1.5`) is matched with nothing skipped. Plain lists go
in as they are, slice by slice: no step of Python for each word.
"""

from __future__ import annotations

import bisect
from array import array
from collections.abc import Iterator
from typing import Literal

import msgspec

from service.words.blocks import BETWEEN, SLICE, Rules, WordBlock
from service.words.characters import is_noise
from service.words.folded import Chunk, Profile
from service.words.folding import fold_table
from service.words.rules import Direction, Rule
from service.words.trie import Numbers

Part = Literal["", "first", "second"]
Named = tuple[int, Part, bool]
"""What a word stands for: a rule's place, which part of it, and whether spaces in it are its own."""
_PLAIN: tuple[Part, bool] = ("", False)


class Group:
    """Words of one profile, before they are folded, and what each stands for."""

    def __init__(self) -> None:
        self.chunks: list[Chunk] = []
        self.orders = array("i")
        """Of each word its rule's place."""
        self.special: dict[int, tuple[Part, bool]] = {}
        """Where a word is part of a combination, or has spaces of its own: few."""
        self._open: list[str] | None = None

    def __len__(self) -> int:
        return len(self.orders)

    def add(self, text: str, order: int, part: Part = "", spaced: bool = False) -> None:
        """One word."""
        if part or spaced:
            self.special[len(self.orders)] = (part, spaced)
        if self._open is None or len(self._open) >= SLICE:
            self._open = []
            self.chunks.append(self._open)
        self._open.append(text)
        self.orders.append(order)

    def add_slice(self, words: str, orders: range) -> None:
        """A slice of a block."""
        self.chunks.append(words)
        self.orders.extend(orders)
        self._open = None


class Meanings:
    """What each word of an automaton stands for, by its number."""

    def __init__(self, group: Group, numbers: Numbers) -> None:
        self._orders = group.orders
        self._special = group.special
        self._first = numbers.first.data
        self._again = numbers.again.data
        self._again_at = numbers.again_at.data

    def __getitem__(self, index: int) -> list[Named]:
        places = [self._first[index]]
        at = bisect.bisect_left(self._again, index)
        while at < len(self._again) and self._again[at] == index:
            places.append(self._again_at[at])
            at += 1
        return [(self._orders[place], *self._special.get(place, _PLAIN)) for place in places]


def grouped(rules: Rules) -> dict[Profile, Group]:
    """All words by profile. Those with noise of their own are not matched with noise skipped."""
    groups: dict[Profile, Group] = {}
    known: dict[tuple[int, Direction | None], tuple[Group, Group | None]] = {}
    for start, part in rules.starts():
        if isinstance(part, WordBlock):
            _add_block(part, start, *_groups_for(part.template, groups))
            continue
        for order, rule in enumerate(part, start):
            if rule.regex or rule.detector:
                continue
            key = (id(rule.options), rule.only)
            if key not in known:
                known[key] = _groups_for(rule, groups)
            for text, which in _texts(rule):
                _add(rule, text, order, which, *known[key])
    return {profile: group for profile, group in groups.items() if len(group)}


def _groups_for(rule: Rule, groups: dict[Profile, Group]) -> tuple[Group, Group | None]:
    """Where a rule's words go: with nothing skipped, and with noise skipped if its list does that."""
    options = rule.options
    plain = Profile(folding=options.folding, repeat=options.repeat, only=rule.only)
    one = groups.setdefault(plain, Group())
    if not options.noise:
        return one, None
    return one, groups.setdefault(msgspec.structs.replace(plain, noise=True), Group())


def _add_block(block: WordBlock, order: int, plain: Group, skipping: Group | None) -> None:
    for words in block.slices:
        orders = range(order, order + words.count(BETWEEN) + 1)
        order = orders.stop
        if skipping is None:
            plain.add_slice(words, orders)
        elif words.replace(BETWEEN, "").isalnum():
            skipping.add_slice(words, orders)
        else:
            for each, text in zip(orders, words.split(BETWEEN), strict=True):
                _add(block.template, text, each, "", plain, skipping)


def _add(rule: Rule, text: str, order: int, part: Part, plain: Group, skipping: Group | None) -> None:
    if skipping is None:
        plain.add(text, order, part)
        return
    own = _own_noise(rule, text)
    if own:
        plain.add(text, order, part, True)
    if not own or (own.isspace() and len(own) < len(text)):
        skipping.add(text, order, part, bool(own))


def _own_noise(rule: Rule, text: str) -> str:
    """The characters of a word that its own list would skip."""
    if text.isalnum():
        return ""
    return "".join(char for char in fold_table(rule.options.folding, False).word(text) if is_noise(char))


def _texts(rule: Rule) -> Iterator[tuple[str, Part]]:
    if rule.word:
        yield rule.word, ""
    if rule.both is not None:
        yield rule.both[0], "first"
        yield rule.both[1], "second"
