"""Which of many texts a text nearly copies: so that a held-out question in other clothes is not trained on.

Two texts are near copies when the Jaccard similarity of their shingles reaches a threshold. A shingle is five
characters of folded text, or two where a character is worth a syllable or a word (Chinese, Japanese, Korean): five
would let one changed word hide a short Chinese question. Runs of either kind are cut by themselves, so that mixed
text needs no decision about its language, which one changed word could turn.

The search is exact and not quadratic (prefix filtering): of a text's shingles, rarest first, a near copy must share
one of the first few; postings are sorted by size, and the sizes that could still reach the threshold from that
position are a range of them. Texts that remain are compared in full. Must never miss a near copy to be faster.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

import msgspec

from feedback.split import fold

WIDTH, DENSE_WIDTH = 5, 2
"""Characters in a shingle; the second where a character is a syllable or a word."""

_RUNS = re.compile(
    "([\u1100-\u11ff\u2e80-\u30ff\u3100-\u31bf\u31f0-\u31ff\u3400-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff"
    "\U0001b000-\U0001b16f\U00020000-\U0003ffff]+)"
)


class Shape(msgspec.Struct, frozen=True):
    """A text as it is compared: made once, asked of several indexes."""

    folded: str
    shingles: set[str]


class NearCopies:
    """The texts to keep away from. Immutable; memory is proportional to their length, not to what is asked."""

    def __init__(self, texts: Iterable[str], similarity: float) -> None:
        """Index `texts`; `similarity` is the threshold, above 0, at most 1. Texts that fold to nothing are left out."""
        self._similarity = similarity
        self._exact = {folded for folded in map(fold, texts) if folded}
        self._texts = sorted(self._exact)
        self._seen_in: Counter[str] = Counter()
        shingled = [shingles(folded) for folded in self._texts]
        for found in shingled:
            self._seen_in.update(found)
        self._postings: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for size, at in sorted((len(found), at) for at, found in enumerate(shingled)):
            for shingle in self._rarest_first(shingled[at])[: self._prefix(size)]:
                self._postings[shingle].append((size, at))

    def near(self, shape: Shape) -> bool:
        """Whether a text of this shape is a near copy of an indexed one."""
        return shape.folded in self._exact or any(True for _ in self.copies(shape))

    def copies(self, shape: Shape) -> Iterator[str]:
        """Every indexed text, folded, of which a text of this shape is a near copy; among them itself, if it is one."""
        if not self._texts or not shape.folded:
            return
        size = len(shape.shingles)
        spare = size - self._least(size)  # how many shingles a near copy need not share
        known, unknown = [], 0
        for shingle in shape.shingles:
            if shingle in self._seen_in:
                known.append(shingle)
            elif (unknown := unknown + 1) > spare:
                return
        # The unknown shingles are the rarest of all, so they come first in the order.
        tried: set[int] = set()
        for place, shingle in enumerate(self._rarest_first(known)[: self._prefix(size) - unknown], unknown):
            for at in self._possible(shingle, size, place):
                if at not in tried and self._similar(shape.shingles, shingles(self._texts[at])):
                    yield self._texts[at]
                tried.add(at)

    def _possible(self, shingle: str, size: int, place: int) -> list[int]:
        """Indexed texts that have the shingle in their prefix and a size from which the threshold can be reached when
        the first shared shingle stands at `place` in the order."""
        postings = self._postings.get(shingle)
        if not postings:
            return []
        # shared <= size - place, and similarity = shared / (size + other - shared)
        largest = math.floor((size - place) * (1 + self._similarity) / self._similarity - size + 1e-9)
        start = bisect_left(postings, (self._least(size), 0))
        return [at for _, at in postings[start : bisect_left(postings, (largest + 1, 0))]]

    def _similar(self, one: set[str], other: set[str]) -> bool:
        shared = len(one & other)
        return shared >= self._similarity * (len(one) + len(other) - shared) - 1e-9

    def _least(self, size: int) -> int:
        """The fewest shingles that a near copy of a text of `size` shingles has, and shares with it."""
        return math.ceil(self._similarity * size - 1e-9)

    def _prefix(self, size: int) -> int:
        return size - self._least(size) + 1

    def _rarest_first(self, found: Iterable[str]) -> list[str]:
        return sorted(found, key=lambda shingle: (self._seen_in[shingle], shingle))


def shape_of(text: str) -> Shape:
    folded = fold(text)
    return Shape(folded, shingles(folded) if folded else set())


def shingles(folded: str) -> set[str]:
    """The shingles of a folded text; a run shorter than a shingle is one by itself."""
    if folded.isascii():
        return _cut(folded, WIDTH)
    found: set[str] = set()
    for at, run in enumerate(_RUNS.split(folded)):  # odd places hold the dense runs
        if run:
            found |= _cut(run, DENSE_WIDTH if at % 2 else WIDTH)
    return found


def _cut(run: str, width: int) -> set[str]:
    return {run[at : at + width] for at in range(max(1, len(run) - width + 1))}
