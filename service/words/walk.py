"""Walking a trie character by character: which words have ended, and from where on the text may still become one.

A walk finds exactly what its automaton finds in the whole text. It is stepped in Python, so whole texts don't use it,
but for one case: where noise is skipped, a word that is hidden is noise to the words around it. Else `毛x主席`, with
`x` hidden, would become `毛*主席`, which hits when it is filtered again. `skip` gives a walk back the state that it had
before the hidden word, beside the one that it has.
"""

from __future__ import annotations

import bisect
from typing import Any, NamedTuple, Protocol

from service.words.automaton import Automaton, Raw
from service.words.trie import ROOT, symbol

Active = tuple[int, int]
"""A node of the trie, and the index of the original character at which the way to it began."""
Reached = tuple[int, int]
"""A step's answer, and where the way to it began."""


class Walk(Protocol):
    """What a stream asks of a walk."""

    noise: bool

    def step(self, char: str, index: int, raws: list[Raw]) -> None:
        """Take the next original character; append what is now found for certain."""

    def ending(self, index: int) -> list[Raw]:
        """The words that end with the character at `index`, those that a repeat may yet lengthen too."""

    def skip(self, start: int, index: int) -> None:
        """A hidden word went from `start` to `index`: go on from before it as well."""

    def held_from(self, end: int) -> int:
        """Where the longest end of the text that may still become a word, or a longer one, begins; `end` for none."""

    def forget(self, before: int) -> None:
        """Nothing will be asked any more about characters before this index."""

    def end(self, raws: list[Raw]) -> None:
        """The text has ended."""


def walk(automaton: Automaton, offset: int) -> Walk:
    """The walk for an automaton whose words are numbered from `offset`."""
    return _RunWalk(automaton, offset) if automaton.profile.repeat else _PlainWalk(automaton, offset)


class _PlainWalk:
    """Repeats don't fold: one character, one step."""

    def __init__(self, automaton: Automaton, offset: int) -> None:
        self.noise = automaton.profile.noise
        self._fold = automaton.table.fold
        self._trie = automaton.trie
        self._first = automaton.trie.first
        self._word_at = automaton.trie.word_at
        self._offset = offset
        self._active: list[Active] = []
        """Ways that may still go on, by their start. Replaced, never changed, as the past refers to it."""
        self._past: list[tuple[int, list[Active]]] = []
        self._ended: tuple[int, list[Raw]] = (-1, [])

    def step(self, char: str, index: int, raws: list[Raw]) -> None:
        found = len(raws)
        folded = self._fold(char)
        for part in folded:
            of = ord(part) | 1 << 21
            active: list[Active] = []
            for node, start in self._active:
                answer = self._trie.step(node, of)
                if answer:
                    self._take(answer, start, index, active, raws)
            answer = self._first.get(of, 0)
            if answer:
                self._take(answer, index, index, active, raws)
            self._active = active
        if len(folded) > 1:  # `ß` folds to `ss`: the word `s` is found twice in it, and is one hit
            raws[found:] = dict.fromkeys(raws[found:])
        if self.noise and folded:
            if self._active or (self._past and self._past[-1][1]):
                self._past.append((index, self._active))
            self._ended = (index, raws[found:])

    def _take(self, answer: int, start: int, index: int, active: list[Active], raws: list[Raw]) -> None:
        if answer & 2:
            raws.append((start, index + 1, self._word_at[answer >> 2] + self._offset))
        if answer & 1:
            active.append((answer >> 2, start))

    def ending(self, index: int) -> list[Raw]:
        return self._ended[1] if self._ended[0] == index else []

    def skip(self, start: int, index: int) -> None:
        before = bisect.bisect_left(self._past, (start,)) - 1
        if before >= 0 and self._past[before][1]:
            self._active = sorted({*self._past[before][1], *self._active}, key=lambda way: way[1])
            self._past.append((index, self._active))

    def held_from(self, end: int) -> int:
        return self._active[0][1] if self._active else end

    def forget(self, before: int) -> None:
        _forget(self._past, before)

    def end(self, raws: list[Raw]) -> None:
        pass


class _Run(NamedTuple):
    """Equal characters in a row, and the ways through them."""

    char: str
    length: int
    start: int
    last: int
    """Index of the last of them."""
    base: tuple[Active, ...]
    """Ways that had come to the run."""
    reached: tuple[Reached, ...]
    """Where they are, each for a length of the run that is enough for it."""
    rooted: bool
    """Whether words may begin with it: not if the same characters are in a longer run too."""


class _RunWalk:
    """Repeats fold: one run, one step, which is over only when the run is."""

    def __init__(self, automaton: Automaton, offset: int) -> None:
        self.noise = automaton.profile.noise
        self._fold = automaton.table.fold
        self._trie = automaton.trie
        self._most = automaton.most
        self._offset = offset
        self._runs: tuple[_Run, ...] = ()
        """The run that is open; beside it those from before hidden words."""
        self._past: list[tuple[int, tuple[_Run, ...]]] = []

    def step(self, char: str, index: int, raws: list[Raw]) -> None:
        for part in self._fold(char):
            runs: list[_Run] = []
            base: list[Active] = []
            opens = not self._runs
            for run in self._runs:
                if run.char == part:
                    runs.append(self._longer(run, index))
                else:
                    opens = True
                    self._close(run, raws)
                    base += [(answer >> 2, start) for answer, start in run.reached if answer & 1]
            if opens:
                opened = _Run(part, 0, index, index, tuple(dict.fromkeys(base)), (), not runs)
                runs.append(self._longer(opened, index))
            self._runs = tuple(dict.fromkeys(runs))
            if self.noise:
                self._past.append((index, self._runs))

    def _longer(self, run: _Run, index: int) -> _Run:
        length = run.length + 1
        if length > self._most:
            return run._replace(last=index)
        of = symbol(run.char, length)
        ways = [(self._trie.step(node, of), start) for node, start in run.base]
        if run.rooted:
            ways.append((self._trie.first.get(of, 0), run.start))
        reached = run.reached + tuple(way for way in ways if way[0])
        return run._replace(length=length, last=index, reached=reached)

    def _close(self, run: _Run, raws: list[Raw]) -> None:
        raws += dict.fromkeys(self._hits(run))

    def _hits(self, run: _Run) -> list[Raw]:
        word_at = self._trie.word_at
        return [
            (start, run.last + 1, word_at[answer >> 2] + self._offset) for answer, start in run.reached if answer & 2
        ]

    def ending(self, index: int) -> list[Raw]:
        return [hit for run in self._runs if run.last == index for hit in self._hits(run)]

    def skip(self, start: int, index: int) -> None:
        before = bisect.bisect_left(self._past, (start,)) - 1
        if before >= 0 and self._past[before][1]:
            self._runs = tuple(dict.fromkeys((*self._past[before][1], *self._runs)))
            self._past.append((index, self._runs))

    def held_from(self, end: int) -> int:
        return min((start for run in self._runs for start in self._open(run)), default=end)

    def _open(self, run: _Run) -> list[int]:
        starts = [start for _, start in run.reached]
        ways = (*run.base, (ROOT, run.start)) if run.rooted else run.base
        for more in range(run.length + 1, self._most + 1):
            of = symbol(run.char, more)
            starts += [start for node, start in ways if self._trie.step(node, of)]
        return starts

    def forget(self, before: int) -> None:
        _forget(self._past, before)

    def end(self, raws: list[Raw]) -> None:
        for run in self._runs:
            self._close(run, raws)
        self._runs = ()


def _forget(past: list[tuple[int, Any]], before: int) -> None:
    """Keep the last state from before the index: it is the one that held there."""
    keep = bisect.bisect_left(past, (before,)) - 1
    if keep > 0:
        del past[:keep]
