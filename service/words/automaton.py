"""All words that are folded in one way, compiled: found in a whole text by one pass of the matching library.

Words are kept as paths of a trie too, for streams (`walk`). Where repeats fold, neighbouring equal characters are one
character with a count: `asshole` is `a s² h o l e`, and hits wherever every count is at least the word's own.
What is compiled can be kept in a file (`kept`) and loaded in a fraction of the time.
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Iterable
from typing import Literal, Self

import numpy as np
from daachorse import CharwiseDoubleArrayAhoCorasick as Matcher

from service.words.folded import Chunk, Counts, Folded, Profile
from service.words.folding import FoldTable, Places, fold_table
from service.words.trie import ONCE, Ints32, Numbers, Trie

Raw = tuple[int, int, int]
"""A word found: start and end in the original text, and its number in the automaton."""
MASK = "*"
Masks = Literal["none", "inside", "first"]
"""Whether no word has `*`, some word has, or some word even begins with it."""
"""What stands for each character of a word that is masked."""
SHARD = 100_000
"""Words in one automaton of the matching library: one of a million takes four times as long to build as ten, and more
than twice the memory, and is no faster on texts, since it does not fit into any cache."""
_TWINS = re.compile(r"(.)\1", re.DOTALL)


class Symbols(dict[str, int]):
    """Character → its symbol, once; 0 for one that folds to nothing, -1 for one that folds to several."""

    def __init__(self, table: FoldTable) -> None:
        self._fold = table.fold

    def __missing__(self, char: str) -> int:
        folded = self._fold(char)
        self[char] = 0 if not folded else ord(folded) | ONCE if len(folded) == 1 else -1
        return self[char]


class Automaton:
    """Compiled words. Immutable."""

    def __init__(
        self, profile: Profile, size: int, matchers: list[Matcher], trie: Trie, counts: dict[int, Counts],
        needs: dict[int, int], masks: Masks = "none",
    ) -> None:  # fmt: skip
        """Of `size` words, `matchers` have SHARD each. `counts`: number of a word → how often each character must
        stand, where that is not once; `needs`: symbol of a character (once) → how often some word needs it in a row,
        where that is more than once; `masks`: whether some word has `*` in it, as the mask has."""
        self.profile = profile
        self.size = size
        self.counts = counts
        self.needs = needs
        self.masks = masks
        self.table: FoldTable = fold_table(profile.folding, profile.noise)
        self.matchers = matchers
        self.trie = trie
        self.symbols = Symbols(self.table)

    @classmethod
    def build(cls, profile: Profile, chunks: Iterable[Chunk]) -> tuple[Self, Numbers]:
        """Compile words as lists have them, and tell their numbers. Raises BadWord."""
        folded = Folded(profile, chunks)
        symbols, lengths = folded.symbols(), folded.lengths
        needs = _needs(symbols)
        trie, numbers = Trie.build(symbols, lengths)  # before the matchers, as it takes the most memory
        del symbols
        size = len(numbers.first)
        is_first = np.zeros(len(lengths), np.bool_)
        is_first[numbers.first] = True
        words = itertools.compress(folded.words(), is_first.tobytes())
        matchers = [Matcher(list(itertools.islice(words, SHARD))) for _ in range(0, size, SHARD)]
        counts = _by_number(folded.counts, numbers.first)
        return cls(profile, size, matchers, trie, counts, needs, _masks(folded)), numbers

    def warm(self) -> None:
        """Make now what the first texts would otherwise wait for."""
        self.table.warm()
        _ = self.trie.edges, self.trie.first

    def find(self, text: str) -> list[Raw]:
        """Every word in a text, overlapping ones too, by their ends."""
        folded, places = self.table.text_and_places(text)
        if self.profile.repeat and _TWINS.search(folded):
            return self._find_runs(folded, None if places is None else places())
        found = self._match(folded)
        if not found:
            return []
        if self.counts:
            found = [hit for hit in found if hit[2] not in self.counts]
        if places is None:
            return found
        where = places().data
        pairs = [(where[start], where[end - 1] + 1, word) for start, end, word in found]
        return list(dict.fromkeys(pairs))  # `ß` folds to `ss`: the word `s` is found twice in it, and is one hit

    def _match(self, folded: str) -> list[Raw]:
        found: list[Raw] = self.matchers[0].find_overlapping(folded)
        for number, matcher in enumerate(self.matchers[1:], 1):
            found += [(start, end, word + number * SHARD) for start, end, word in matcher.find_overlapping(folded)]
        return found

    def _find_runs(self, folded: str, places: Places | None) -> list[Raw]:
        codes = np.frombuffer(folded.encode("utf-32-le"), dtype="<u4")
        starts = np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1])))
        ends = np.append(starts[1:], len(codes))
        found = self._match(codes[starts].tobytes().decode("utf-32-le"))
        if not found:
            return []
        lengths = (ends - starts).tolist()
        first = (starts if places is None else places[starts]).tolist()
        last = (ends - 1 if places is None else places[ends - 1]).tolist()
        pairs = []
        for start, end, word in found:
            counts = self.counts.get(word)
            if counts is None or all(map(int.__ge__, lengths[start:end], counts)):
                pairs.append((first[start], last[end - 1] + 1, word))
        return list(dict.fromkeys(pairs))


def _masks(folded: Folded) -> Masks:
    if not folded.has(MASK):
        return "none"
    return "first" if any(word[0] == MASK for word in folded.words()) else "inside"


def _needs(symbols: Ints32) -> dict[int, int]:
    counted = np.unique(symbols[symbols >= 2 * ONCE]).tolist()  # ascending by count: the highest stays
    return {of & ONCE - 1 | ONCE: of // ONCE for of in counted}


def _by_number(counts: dict[int, Counts], first: Ints32) -> dict[int, Counts]:
    """Of words by place, those that came first by their numbers."""
    made = {}
    for place, each in counts.items():
        number = bisect.bisect_left(first.data, place)
        if number < len(first) and first[number] == place:
            made[number] = each
    return made
