"""The words of one automaton: how they are folded, and the words after it, ready to compile.

Words come in chunks, as lists have them, and are folded some thousands at a time. Folded ones are kept end to end in a
few long strings: a million strings of their own would be a hundred megabytes.
Where repeats fold, neighbouring equal characters are one character with a count: `asshole` is `a s² h o l e`.
"""

from __future__ import annotations

import itertools
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

from service.words.blocks import BETWEEN
from service.words.folding import fold_table
from service.words.rules import MAX_WORD, Direction, Folding
from service.words.trie import ONCE, symbol

Chunk = str | list[str]
"""Some words: with BETWEEN between them, or as they are."""
Counts = tuple[int, ...]
"""How often each character of a word must stand."""
TOGETHER = 2_000
"""Words that are folded in one go: what one step of C holds up others, who are served meanwhile."""
_TWINS = re.compile(r"(.)\1", re.DOTALL)
_PRIVATE = "\uf8ff"
"""Between words that are folded in one go: a private character that no fold changes."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What the words of one automaton have in common."""

    folding: Folding
    noise: bool = False
    repeat: bool = False
    only: Direction | None = None


class BadWord(Exception):
    """A word that can't be looked for: which one, and why."""

    def __init__(self, place: int, reason: str) -> None:
        super().__init__(place, reason)
        self.place = place
        self.reason = reason


class Folded:
    """Folded words, in order."""

    def __init__(self, profile: Profile, chunks: Iterable[Chunk]) -> None:
        """Raises BadWord."""
        self._texts: list[str] = []
        """Words end to end, TOGETHER or somewhat more of them each."""
        self._lengths = array("i")
        self.counts: dict[int, Counts] = {}
        """Place → counts, of words in which they are not all one."""
        for words in _together(chunks):
            self._take(profile, _fold(profile, words))

    @property
    def lengths(self) -> npt.NDArray[np.int32]:
        """Of each word, in characters."""
        return np.frombuffer(self._lengths, np.int32) if self._lengths else np.zeros(0, np.int32)

    def symbols(self) -> npt.NDArray[np.int32]:
        """All words' symbols, end to end."""
        symbols = np.empty(sum(map(len, self._texts)), np.int32)
        at = 0
        for text in self._texts:
            symbols[at : at + len(text)] = np.frombuffer(text.encode("utf-32-le"), "<i4") | ONCE
            at += len(text)
        if self.counts:
            ends = np.cumsum(self.lengths, dtype=np.int64)
            for place, counts in self.counts.items():
                part = slice(ends[place] - len(counts), ends[place])
                symbols[part] = [symbol(chr(of & ONCE - 1), n) for of, n in zip(symbols[part], counts, strict=True)]
        return symbols

    def has(self, char: str) -> bool:
        """Whether some word has it."""
        return any(char in text for text in self._texts)

    def words(self) -> Iterator[str]:
        """Each, without repeats where those fold."""
        lengths = iter(self._lengths)
        for text in self._texts:
            at = 0
            while at < len(text):
                end = at + next(lengths)
                yield text[at:end]
                at = end

    def _take(self, profile: Profile, words: list[str]) -> None:
        if profile.repeat:
            for within, word in enumerate(words):
                if _TWINS.search(word):
                    chars, counts = _runs(word)
                    if max(counts) <= MAX_WORD:
                        words[within], self.counts[len(self._lengths) + within] = chars, counts
        lengths = array("i", map(len, words))
        if min(lengths) == 0 or max(lengths) > MAX_WORD:
            within, length = next((n, length) for n, length in enumerate(lengths) if not 0 < length <= MAX_WORD)
            reason = f"longer than {MAX_WORD} characters" if length else "nothing is left of it when folded"
            raise BadWord(len(self._lengths) + within, reason)
        self._texts.append("".join(words))
        self._lengths += lengths


def _together(chunks: Iterable[Chunk]) -> Iterator[list[str]]:
    some: list[str] = []
    for chunk in chunks:
        some += chunk.split(BETWEEN) if isinstance(chunk, str) else chunk
        if len(some) >= TOGETHER:
            yield some
            some = []
    if some:
        yield some


def _fold(profile: Profile, words: Sequence[str]) -> list[str]:
    table = fold_table(profile.folding, profile.noise)
    folded = table.text(_PRIVATE.join(words))[0].split(_PRIVATE) if len(words) > 1 else []
    return folded if len(folded) == len(words) else [table.word(word) for word in words]


def _runs(folded: str) -> tuple[str, Counts]:
    """A folded word with its repeats counted."""
    groups = [(char, sum(1 for _ in group)) for char, group in itertools.groupby(folded)]
    return "".join(char for char, _ in groups), tuple(count for _, count in groups)
