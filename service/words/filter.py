"""What the gateway asks of a word filter: check a whole text, or let a stream through piece by piece.

The promise that matters: for every way to cut a text into chunks, what comes out joined is what comes out of the whole
text, and no part of a word that is hidden or blocked ever leaves. A stream holds back exactly what could still become a
hit, so ordinary text is not delayed. The parts: `compile` makes engines of rules, engines find, `decide` judges,
`render` shows.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import msgspec

from service.words.automaton import MASK, Raw
from service.words.compile import Compiled, compiled
from service.words.decide import ENDED, Decisions, Selection
from service.words.engine import Candidate, Engine
from service.words.render import Renderer
from service.words.rules import Action, Direction, Rule, RuleSet
from service.words.window import Window


class Hit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One hit: which rule, what is done about it, where. Never the text."""

    rule: str
    category: str
    action: Action
    direction: Direction
    start: int
    end: int
    """Half-open span in code points of the original text."""
    severity: int = 0


class Checked(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A whole text after the filter."""

    text: str
    """Masked where a rule says mask or block; as it was where rules only flag."""
    hits: list[Hit]
    """By start, then by length; overlapping ones too, unless their list reports only the longest or the shortest."""
    blocked: bool


class WordFilter:
    """All rules, ready to match. Immutable, so requests under way keep the one that they began with."""

    def __init__(self, rules: Sequence[Rule] | RuleSet, cache: Path | None = None) -> None:
        """Compile. `cache` is a folder for what is compiled, for a faster start the next time. Raises InvalidWords."""
        rule_set = rules if isinstance(rules, RuleSet) else RuleSet(rules=rules, drop_hidden=bool(rules))
        self._compiled: Compiled = compiled(rule_set, cache)
        self.changes_on = self._compiled.changes_on
        """The day (UTC) on which other rules are in force, so that it must be compiled anew; None for never."""

    @classmethod
    def load(cls, path: Path | None) -> Self:
        """The filter of a list; none filters nothing. Raises InvalidWords with file, line and reason."""
        from service.words.lists import read_rules

        return cls([] if path is None else read_rules(path))

    def warm(self) -> None:
        """Make now what the first texts would otherwise wait for."""
        for engine in self._compiled.engines.values():
            engine.warm()

    def check(self, text: str, direction: Direction) -> Checked:
        """Look through a whole text, hiding every hit that is not only flagged."""
        engine = self._compiled.engines[direction]
        raws = engine.find_words(text)
        if engine.groups:
            window = Window(text)
            for group in engine.groups:
                raws = raws + group.walk().find(window, ended=True)
        if not raws:
            return Checked(text=self._compiled.clean(text), hits=[], blocked=False)
        simple = engine.simple and not engine.groups
        return self._simply(text, engine, raws) if simple else self._judged(text, engine, raws)

    def stream(self, direction: Direction) -> StreamFilter:
        """A filter for one text that comes in chunks."""
        return StreamFilter(self._compiled.engines[direction], self._compiled.drop_hidden)

    def _simply(self, text: str, engine: Engine, raws: list[Raw]) -> Checked:
        """The rest of a check where everything found is a hit and masks are `*`: a fifth of the cost of judging."""
        uses, direction = engine.uses, engine.direction
        found = [(start, end, use.order, use) for start, end, word in raws for use in uses[word]]
        found.sort()
        masked: list[str] = []
        hits: list[Hit] = []
        blocked = False
        at = 0
        for start, end, _, (_, rule, action, _, _, _) in found:
            hits.append(
                Hit(
                    rule=rule.rule, category=rule.category, action=action, direction=direction,
                    start=start, end=end, severity=rule.severity,
                )
            )  # fmt: skip
            if action == "flag":
                continue
            if action == "block":
                blocked = True
            if end > at:
                masked.append(text[at:start])
                masked.append(MASK * (end - max(at, start)))
                at = end
        masked.append(text[at:])
        return Checked(text=self._compiled.clean("".join(masked)), hits=hits, blocked=blocked)

    def _judged(self, text: str, engine: Engine, raws: list[Raw]) -> Checked:
        """The rest of a check, once it is known what words stand there."""
        stream = StreamFilter(engine, self._compiled.drop_hidden, go_on=True, text=text)
        shown = stream.take(raws)
        return Checked(text=shown, hits=stream.hits, blocked=stream.blocked)


class StreamFilter:
    """One text in chunks. After a block nothing more comes out, whatever is fed."""

    def __init__(self, engine: Engine, drop_hidden: bool, *, go_on: bool = False, text: str = "") -> None:
        """`go_on` hides a blocking hit and goes on, as a whole text is checked; `text` is a whole text."""
        self.blocked = False
        self._engine = engine
        self._go_on = go_on
        self._window = Window(text)
        self._walks = engine.walks() if not text else []
        self._patterns = [group.walk() for group in engine.groups]
        self._decisions = Decisions(engine, self._window)
        self._selection = Selection()
        self._renderer = Renderer(self._window, drop_hidden, engine.joints())
        self._hits: list[Hit] = []

    @property
    def hits(self) -> list[Hit]:
        """So far, by start, then by length; spans index the original text, all chunks joined."""
        return list(self._hits)

    @property
    def hit(self) -> bool:
        """Whether there are any."""
        return bool(self._hits)

    def feed(self, chunk: str) -> str:
        """Take a chunk; return what may be shown now."""
        if self.blocked and not self._go_on:
            return ""
        window = self._window
        index = window.end
        window.append(chunk)
        raws: list[Raw] = []
        held = window.end
        for walk in self._walks:
            walk.feed(chunk, index, raws)
            held = walk.held_from(held)
        for pattern in self._patterns:
            raws += pattern.find(window, ended=False)
            held = min(held, pattern.held_from())
        return self._judge(raws, held)

    def end(self) -> str:
        """The text has ended: return what was held back."""
        if self.blocked and not self._go_on:
            return ""
        raws: list[Raw] = []
        for walk in self._walks:
            walk.end(raws)
        for pattern in self._patterns:
            raws += pattern.find(self._window, ended=True)
        return self._judge(raws, ENDED)

    def take(self, raws: list[Raw]) -> str:
        """Judge a whole text in which these words were found."""
        return self._judge(raws, ENDED)

    def _judge(self, raws: list[Raw], frontier: float) -> str:
        decisions = self._decisions
        if raws or not decisions.idle:
            if raws:
                decisions.add(self._engine.candidates(raws))
            hits, frontier = decisions.decide(frontier)
            for start, together in itertools.groupby(hits, key=lambda hit: hit.start):
                self._note(list(together))
                if self.blocked and not self._go_on:
                    return self._renderer.show(start)
        until = self._window.end if frontier == ENDED else int(frontier)
        shown = self._renderer.show(until)
        if raws:
            decisions.forget(until)
        return shown

    def _note(self, together: list[Candidate]) -> None:
        self._renderer.hide(together)
        direction = self._engine.direction
        self._hits += [_hit(candidate, direction) for candidate in self._selection.reported(together)]
        self.blocked = self.blocked or any(hit.use.action == "block" for hit in together)


def _hit(candidate: Candidate, direction: Direction) -> Hit:
    start, end, _, use = candidate
    rule = use.rule
    return Hit(
        rule=rule.rule, category=rule.category, action=use.action, direction=direction,
        start=start, end=end, severity=rule.severity,
    )  # fmt: skip


def compile_rules(rule_set: RuleSet, cache: Path | None = None) -> WordFilter:
    """The filter of a set of rules. Raises InvalidWords with the rule's name and the reason."""
    return WordFilter(rule_set, cache)
