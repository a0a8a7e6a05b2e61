"""What is compiled for one direction: automata, patterns, and what each thing that they find is used for.

A found word may serve several rules: two lists may have it, and a combination may need it. Decisions are not made here.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from service.words.automaton import Automaton, Raw
from service.words.groups import Part
from service.words.joints import Joints
from service.words.patterns import PatternGroup
from service.words.rules import Action, Direction, Rule
from service.words.walk import Walk, walk

HIDING: tuple[Action, ...] = ("block", "mask", "replace")


class Use(NamedTuple):
    """What a found word or pattern means."""

    order: int
    """The rule's place in the rule set."""
    rule: Rule
    action: Action
    part: Part
    """Which word of a combination it is; empty for a rule of its own."""
    spaced: bool
    """Whether spaces in it are its own."""
    shown: str | None
    """What stands for it when it is hidden; None: `*` a character."""


class Candidate(NamedTuple):
    """A use of something found. Compares by start, then end, then the rule's order."""

    start: int
    end: int
    order: int
    use: Use


class UseTable(Protocol):
    """What a thing that is found is used for, by its number."""

    def __getitem__(self, index: int) -> tuple[Use, ...]: ...


class Engine:
    """Everything that one direction needs to find candidates. Immutable."""

    def __init__(
        self, direction: Direction, automata: list[Automaton], uses: UseTable, groups: list[PatternGroup],
        *, allows: bool, simple: bool,
    ) -> None:  # fmt: skip
        """`uses`: for all words of all automata in order, then for all patterns; `allows`: some rule allows; `simple`:
        whatever is found is a hit, all hits are reported, and what hides them is `*`."""
        self.simple = simple
        self.direction = direction
        self.automata = automata
        self.groups = groups
        self.uses = uses
        self._offsets = []
        offset = 0
        for automaton in automata:
            self._offsets.append(offset)
            offset += automaton.size
        self.allows = allows
        self._mistakable = [each for each in automata if each.profile.noise or each.masks != "none"]
        """Those to which a mask may look like a part of a word."""

    def warm(self) -> None:
        """Make now what the first texts would otherwise wait for."""
        for automaton in self.automata:
            automaton.warm()

    def walks(self) -> list[Walk]:
        """Fresh walks for a stream."""
        return [walk(automaton, offset) for automaton, offset in zip(self.automata, self._offsets, strict=True)]

    def joints(self) -> Joints | None:
        """What tells where a mask must part words; none where no mask can be part of one."""
        return Joints(self._mistakable) if self._mistakable else None

    def find_words(self, text: str) -> list[Raw]:
        """Every word in a whole text."""
        if len(self.automata) == 1:
            return self._found(0, text)
        return [raw for number in range(len(self.automata)) for raw in self._found(number, text)]

    def _found(self, number: int, text: str) -> list[Raw]:
        raws = self.automata[number].find(text)
        offset = self._offsets[number]
        return [(start, end, word + offset) for start, end, word in raws] if offset and raws else raws

    def candidates(self, raws: list[Raw]) -> list[Candidate]:
        """What was found, once for each use of it."""
        return [Candidate(start, end, use.order, use) for start, end, word in raws for use in self.uses[word]]
