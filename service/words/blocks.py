"""The words of a plain list as one object, and rules that are partly such lists.

A million rules as structs are 300 MB, seconds of making them, and as long to free. But all lines of a plain list mean
the same and differ in word and line number only. So a block keeps their text, some hundred words in a string, and makes
a rule of one when somebody asks: for a word that was found. Whoever goes through all rules takes `parts` and treats a
block as a whole.
"""

from __future__ import annotations

import bisect
import datetime as dt
import itertools
from array import array
from collections.abc import Iterator, Sequence
from typing import Self, overload

import msgspec

from service.words.rules import Rule

SLICE = 512
"""Words in one string: to make a rule of one of them, so many are split (some 10 µs)."""
BETWEEN = "\n"
"""Between words of a slice; in no word of a plain list."""


class WordBlock(Sequence[Rule]):
    """Rules that differ in word and line only. Immutable once it was filled."""

    def __init__(self, template: Rule, slices: list[str], lines: array[int]) -> None:
        """`template`: what they have in common, and as `rule` the list's name; `slices`: SLICE words each, but for the
        last; `lines`: each word's line."""
        self.template = template
        self.slices = slices
        self._lines = lines

    def like(self, rule: Rule) -> Self:
        """The same words, with everything else as a rule has it."""
        return type(self)(msgspec.structs.replace(rule, rule=self.template.rule, word=""), self.slices, self._lines)

    def __len__(self) -> int:
        return len(self._lines)

    @overload
    def __getitem__(self, place: int) -> Rule: ...

    @overload
    def __getitem__(self, place: slice) -> list[Rule]: ...

    def __getitem__(self, place: int | slice) -> Rule | list[Rule]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        number, within = divmod(place, SLICE)
        return self._rule(self.slices[number].split(BETWEEN)[within], self._lines[place])

    def __iter__(self) -> Iterator[Rule]:
        words = itertools.chain.from_iterable(each.split(BETWEEN) for each in self.slices)
        return map(self._rule, words, self._lines)

    def _rule(self, word: str, line: int) -> Rule:
        return msgspec.structs.replace(self.template, rule=f"{self.template.rule}:{line}", word=word)


class BlockBuilder:
    """Makes a block of lines."""

    def __init__(self, template: Rule) -> None:
        """`template`: see WordBlock."""
        self._template = template
        self._slices: list[str] = []
        self._lines = array("i")
        self._open: list[str] = []

    def add(self, words: list[str], line: int) -> None:
        """Words of lines from this one on; those that are empty or a comment are none."""
        kept = [word != "" and word[0] != "#" for word in words]
        self._lines.extend(itertools.compress(range(line, line + len(words)), kept))
        self._open += itertools.compress(words, kept)
        whole = len(self._open) - len(self._open) % SLICE
        self._slices += [BETWEEN.join(self._open[at : at + SLICE]) for at in range(0, whole, SLICE)]
        del self._open[:whole]

    def done(self) -> WordBlock:
        """All of them."""
        if self._open:
            self._slices.append(BETWEEN.join(self._open))
        return WordBlock(self._template, self._slices, self._lines)


Part = list[Rule] | WordBlock


class Rules(Sequence[Rule]):
    """Rules of several parts, one after the other."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = [part for part in parts if len(part)]
        self._ends = list(itertools.accumulate(map(len, self.parts)))

    def starts(self) -> Iterator[tuple[int, Part]]:
        """Each part, with the place of its first rule."""
        return zip([0, *self._ends], self.parts, strict=False)

    def holding(self, day: dt.date) -> Rules:
        """Those that are in force on a day (UTC)."""
        return Rules([
            ([] if not part.template.holds(day) else part) if isinstance(part, WordBlock)
            else [rule for rule in part if rule.holds(day)]
            for part in self.parts
        ])  # fmt: skip

    def kinds(self) -> Iterator[Rule]:
        """Every rule, but of each block one: it tells all that its rules have in common."""
        for part in self.parts:
            yield from [part[0]] if isinstance(part, WordBlock) else part

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    @overload
    def __getitem__(self, place: int) -> Rule: ...

    @overload
    def __getitem__(self, place: slice) -> list[Rule]: ...

    def __getitem__(self, place: int | slice) -> Rule | list[Rule]:
        if isinstance(place, slice):
            return [self[each] for each in range(*place.indices(len(self)))]
        place = range(len(self))[place]
        number = bisect.bisect_right(self._ends, place)
        part = self.parts[number]
        return part[place - self._ends[number] + len(part)]

    def __iter__(self) -> Iterator[Rule]:
        return itertools.chain.from_iterable(self.parts)


def as_rules(rules: Sequence[Rule]) -> Rules:
    """Any rules, by parts."""
    if isinstance(rules, Rules):
        return rules
    return Rules([rules if isinstance(rules, WordBlock) else list(rules)])
