"""What the gateway asks of a word filter: check a whole text, or let a stream through piece by piece.

The promise that matters: for every way to cut a text into chunks, what comes out joined is what comes out of the whole
text, and no part of a word that is masked or blocked ever leaves. A stream holds back exactly the longest suffix that
could still become a hit, so ordinary text is not delayed. The interface is final; what is inside is the first version
(case and width are folded, nothing else).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

import msgspec

from service.words.automaton import Automaton, fold
from service.words.lists import Action, Rule, read_rules

Direction = Literal["in", "out"]
MASK = "*"


class Hit(msgspec.Struct, frozen=True, kw_only=True):
    """One hit: which rule, what is done about it, where. Never the text."""

    rule: str
    category: str
    action: Action
    direction: Direction
    start: int
    end: int
    """Half-open span in code points of the original text."""


class Checked(msgspec.Struct, frozen=True, kw_only=True):
    """A whole text after the filter."""

    text: str
    """Masked where a rule says mask or block; as it was where rules only flag."""
    hits: list[Hit]
    """By start, then by length; overlapping ones too."""
    blocked: bool


class WordFilter:
    """All rules of a list, ready to match. Immutable, so requests under way keep the one that they began with."""

    def __init__(self, rules: list[Rule]) -> None:
        self.rules = rules
        self._automaton = Automaton("".join(map(fold, rule.word)) for rule in rules)

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """The filter of a list; none filters nothing. Raises InvalidWords with file, line and reason."""
        return cls([] if path is None else read_rules(path))

    def check(self, text: str, direction: Direction) -> Checked:
        """Look through a whole text, masking every hit that is not only flagged."""
        if not self.rules:
            return Checked(text=text, hits=[], blocked=False)
        stream = StreamFilter(self.rules, self._automaton, direction, go_on=True)
        masked = stream.feed(text) + stream.end()
        return Checked(text=masked, hits=stream.hits, blocked=stream.blocked)

    def stream(self, direction: Direction) -> StreamFilter:
        """A filter for one text that comes in chunks."""
        return StreamFilter(self.rules, self._automaton, direction)


class StreamFilter:
    """One text in chunks. After a block nothing more comes out, whatever is fed."""

    def __init__(self, rules: list[Rule], automaton: Automaton, direction: Direction, *, go_on: bool = False) -> None:
        """`go_on` masks a blocking hit and goes on, as a whole text is checked."""
        self.blocked = False
        self._rules = rules
        self._automaton = automaton
        self._direction = direction
        self._go_on = go_on
        self._hits: list[Hit] = []
        self._state = 0
        self._pending: list[str] = []
        """Characters seen and not yet let out, masked ones already as such."""
        self._first = 0
        """Index in the original text of the first pending character."""
        self._origin: list[int] = []
        """Folded character → index of the original one that it came from."""

    @property
    def hits(self) -> list[Hit]:
        """So far, by start, then by length; spans index the original text, all chunks joined."""
        return sorted(self._hits, key=lambda hit: (hit.start, hit.end))

    def feed(self, chunk: str) -> str:
        """Take a chunk; return what may be shown now."""
        if not self._rules:
            return chunk
        if self.blocked and not self._go_on:
            return ""
        for character in chunk:
            self._pending.append(character)
            block_from = self._step(character)
            if block_from is not None:
                self.blocked = True
                if not self._go_on:
                    shown = "".join(self._pending[: block_from - self._first])
                    self._pending.clear()
                    return shown
        held = self._automaton.held[self._state]
        return self._release(self._origin[-held] if held else self._first + len(self._pending))

    def end(self) -> str:
        """The text has ended: return what was held back."""
        return self._release(self._first + len(self._pending))

    def _step(self, character: str) -> int | None:
        """Match one original character; return where a hit that blocks begins, if one ends here."""
        index = self._first + len(self._pending) - 1
        block_from: int | None = None
        noted: set[tuple[int, int]] = set()  # `ß` folds to `ss`: the word `s` ends in it twice, and is still one hit
        for folded in fold(character):
            self._origin.append(index)
            self._state = self._automaton.next(self._state, folded)
            for which, length in self._automaton.ends[self._state]:
                rule, start = self._rules[which], self._origin[-length]
                if (which, start) not in noted:
                    noted.add((which, start))
                    self._note(rule, start, index + 1)
                if rule.action == "block":
                    block_from = start if block_from is None else min(start, block_from)
        return block_from

    def _note(self, rule: Rule, start: int, end: int) -> None:
        hit = Hit(
            rule=rule.rule, category=rule.category, action=rule.action, direction=self._direction, start=start, end=end
        )
        self._hits.append(hit)
        if rule.action != "flag":
            for place in range(start - self._first, end - self._first):
                self._pending[place] = MASK

    def _release(self, until: int) -> str:
        count = until - self._first
        shown = "".join(self._pending[:count])
        del self._pending[:count]
        self._first = until
        return shown
