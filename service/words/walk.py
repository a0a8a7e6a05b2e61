"""Walking a trie character by character: which words have ended, and from where on the text may still become one.

A walk finds exactly what its automaton finds in the whole text. It is the path of every streamed character, so it uses
plain tuples and local names.
"""

from __future__ import annotations

from typing import Protocol

from service.words.automaton import Automaton, Raw
from service.words.trie import NODE, ONCE, ROOT, symbol

Way = tuple[int, int]
"""A node of the trie (shifted, as edges have it), and the index of the original character at which it began."""
Reached = tuple[int, int]
"""A step's answer, and where the way to it began."""


class Walk(Protocol):
    """What a stream asks of a walk."""

    def feed(self, chunk: str, index: int, raws: list[Raw]) -> None:
        """Take the next original characters, the first of which is at `index`; append what is now found for certain."""

    def held_from(self, end: int) -> int:
        """Where the longest end of the text that may still become a word, or a longer one, begins; `end` for none."""

    def open_at(self) -> list[int]:
        """Where each word began that the text may still become."""

    def end(self, raws: list[Raw]) -> None:
        """The text has ended."""


def walk(automaton: Automaton, offset: int) -> Walk:
    """The walk for an automaton whose words are numbered from `offset`."""
    return _RunWalk(automaton, offset) if automaton.profile.repeat else _PlainWalk(automaton, offset)


class _PlainWalk:
    """Repeats don't fold: one character, one step."""

    def __init__(self, automaton: Automaton, offset: int) -> None:
        self._symbols = automaton.symbols
        self._fold = automaton.table.fold
        self._edge = automaton.trie.edges.get
        self._first = automaton.trie.first.get
        self._word_at = automaton.trie.word_at
        self._offset = offset
        self._active: list[Way] = []
        """Ways that may still go on, by their start."""

    def feed(self, chunk: str, index: int, raws: list[Raw]) -> None:
        edge, first, symbols, active = self._edge, self._first, self._symbols, self._active
        for char in chunk:
            of = symbols[char]
            if of > 0:
                ways: list[Way] = []
                for node, start in active:
                    answer = edge(node | of, 0)
                    if answer:
                        if answer & 2:
                            raws.append((start, index + 1, self._word_at[answer >> 2] + self._offset))
                        if answer & 1:
                            ways.append((answer >> 2 << NODE, start))
                answer = first(of, 0)
                if answer:
                    if answer & 2:
                        raws.append((index, index + 1, self._word_at[answer >> 2] + self._offset))
                    if answer & 1:
                        ways.append((answer >> 2 << NODE, index))
                active = ways
            elif of < 0:
                active = self._several(self._fold(char), index, active, raws)
            index += 1
        self._active = active

    def _several(self, folded: str, index: int, active: list[Way], raws: list[Raw]) -> list[Way]:
        """One character that counts as several: `ß` as `ss`. The word `s` is found twice in it, and is one hit."""
        before = len(raws)
        for part in folded:
            ways: list[Way] = []
            for node, start in (*active, (ROOT, index)):
                answer = self._edge(node | ord(part) | ONCE, 0)
                if answer & 2:
                    raws.append((start, index + 1, self._word_at[answer >> 2] + self._offset))
                if answer & 1:
                    ways.append((answer >> 2 << NODE, start))
            active = ways
        raws[before:] = dict.fromkeys(raws[before:])
        return active

    def held_from(self, end: int) -> int:
        return min(self._active[0][1], end) if self._active else end

    def open_at(self) -> list[int]:
        return [start for _, start in self._active]

    def end(self, raws: list[Raw]) -> None:
        pass


class _RunWalk:
    """Repeats fold: one run of equal characters, one step, which is over only when the run is."""

    def __init__(self, automaton: Automaton, offset: int) -> None:
        self._symbols = automaton.symbols
        self._fold = automaton.table.fold
        self._edge = automaton.trie.edges.get
        self._first = automaton.trie.first.get
        self._word_at = automaton.trie.word_at
        self._needs = automaton.needs
        self._offset = offset
        self._of = 0
        """Symbol of the run that is open; 0 before the first."""
        self._length = 0
        """How long it is, as far as any word asks."""
        self._start = 0
        self._last = 0
        """Index of its last character."""
        self._base: list[Way] = []
        """Ways that had come to it."""
        self._reached: list[Reached] = []
        """What they reached, each for a length of the run that is enough for it."""

    def feed(self, chunk: str, index: int, raws: list[Raw]) -> None:
        symbols, edge, first = self._symbols, self._edge, self._first
        for char in chunk:
            of = symbols[char]
            if of > 0:
                if of == self._of:
                    self._longer(index)
                else:  # nearly always: `_open`, written out
                    base = self._close(raws) if self._reached else []
                    reached: list[Reached] = []
                    for node, start in base:
                        answer = edge(node | of, 0)
                        if answer:
                            reached.append((answer, start))
                    answer = first(of, 0)
                    if answer:
                        reached.append((answer, index))
                    self._of, self._length, self._start, self._last = of, 1, index, index
                    self._base, self._reached = base, reached
            elif of < 0:
                for part in self._fold(char):
                    of = ord(part) | ONCE
                    if of != self._of:
                        self._open(of, index, raws)
                    else:
                        self._longer(index)
            index += 1

    def _open(self, of: int, index: int, raws: list[Raw]) -> None:
        base = self._close(raws) if self._reached else []
        reached: list[Reached] = []
        for node, start in base:
            answer = self._edge(node | of, 0)
            if answer:
                reached.append((answer, start))
        answer = self._first(of, 0)
        if answer:
            reached.append((answer, index))
        self._of, self._length, self._start, self._last = of, 1, index, index
        self._base, self._reached = base, reached

    def _longer(self, index: int) -> None:
        self._last = index
        if self._length >= self._needs.get(self._of, 1):
            return
        self._length += 1
        more = symbol(chr(self._of & ONCE - 1), self._length)
        ways = [(self._edge(node | more, 0), start) for node, start in self._base]
        ways.append((self._first(more, 0), self._start))
        self._reached += [way for way in ways if way[0]]

    def _close(self, raws: list[Raw]) -> list[Way]:
        """The run is over: note its hits, and give the ways that go on from it."""
        base: list[Way] = []
        found: list[Raw] = []
        for answer, start in self._reached:
            if answer & 2:
                found.append((start, self._last + 1, self._word_at[answer >> 2] + self._offset))
            if answer & 1:
                base.append((answer >> 2 << NODE, start))
        if found:
            raws += dict.fromkeys(found)
        return base

    def held_from(self, end: int) -> int:
        for _, start in self._reached:
            if start < end:
                end = start
        return self._held_longer(end) if self._of in self._needs else end

    def _held_longer(self, end: int) -> int:
        """From where on a word needs the run to be longer than it is."""
        ways = [*self._base, (ROOT, self._start)]
        for more in range(self._length + 1, self._needs[self._of] + 1):
            needed = symbol(chr(self._of & ONCE - 1), more)
            for node, began in ways:
                if began < end and self._edge(node | needed, 0):
                    end = began
        return end

    def open_at(self) -> list[int]:
        if self._of in self._needs:  # the run may have to be longer
            return [start for _, start in (*self._base, *self._reached, (ROOT, self._start))]
        return [start for answer, start in self._reached if answer & 1]

    def end(self, raws: list[Raw]) -> None:
        self._close(raws)
        self._reached = []
