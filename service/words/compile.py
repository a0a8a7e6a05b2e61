"""From a set of rules to engines: what is compiled, and which rules a found word serves.

Words are put together by how they are folded (`groups`). A rule that makes no sense is refused here with its name and a
reason. Compiled automata can be kept in a folder, each under the hash of its words, so that a stale one is never read;
then a large one that is not there yet is made by a process of its own.
"""

from __future__ import annotations

import bisect
import datetime as dt
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from feedback.errors import InvalidWords
from feedback.mint import now
from service.words.apart import compile_apart
from service.words.automaton import Automaton
from service.words.blocks import Rules, WordBlock, as_rules
from service.words.characters import is_noise
from service.words.detectors import detector, label
from service.words.engine import HIDING, Engine, Use
from service.words.folded import BadWord, Profile
from service.words.groups import Group, Meanings, Named, Part, grouped
from service.words.kept import keep, load, name_of
from service.words.patterns import Pattern, PatternGroup, Seen
from service.words.render import Tags
from service.words.rules import MAX_WITHIN, Direction, Folding, ListOptions, Rule, RuleSet, known_detector
from service.words.trie import Numbers

DIRECTIONS: tuple[Direction, ...] = ("in", "out")
MADE = 10_000
"""Uses that are kept once made."""
LARGE = 50_000
"""Words from which a group is compiled apart, where it can be kept: fewer take less than half a second."""
EXACT = ListOptions(
    folding=Folding(case=False, width=False, style=False, simplified=False, digits=False, invisible=False)
)
"""How the filter's own labels are allowed: a text that was filtered must pass as it is."""


class Compiled(msgspec.Struct, frozen=True):
    """A rule set, ready."""

    engines: dict[Direction, Engine]
    drop_hidden: bool
    changes_on: dt.date | None

    def clean(self, text: str) -> str:
        """A text in which nothing was found, as it is shown."""
        return Tags().drop(text) if self.drop_hidden else text


def compiled(rule_set: RuleSet, cache: Path | None = None, today: dt.date | None = None) -> Compiled:
    """Compile the rules that are in force. Raises InvalidWords with the rule's name, OSError where the disk refuses."""
    today = today or now().date()
    every = as_rules(rule_set.rules)
    holding = every.holding(today)
    for rule in holding.kinds():
        _refuse(rule)
    shown = dict.fromkeys(_labels(holding.kinds()))
    labels = [Rule(rule=f"label:{n}", word=text, action="allow", options=EXACT) for n, text in enumerate(shown)]
    rules = Rules([*holding.parts, labels])
    made = [_make(profile, group, rules, cache) for profile, group in grouped(rules).items()]
    return Compiled(
        engines={direction: _engine(direction, rules, made) for direction in DIRECTIONS},
        drop_hidden=rule_set.drop_hidden,
        changes_on=_changes(every.kinds(), today),
    )


class Uses(dict[int, tuple[Use, ...]]):
    """What each thing that an engine finds is used for, made when asked: a million words are a million integers.

    The dict has what was asked for before; it is bounded.
    """

    def __init__(self, rules: Rules, direction: Direction) -> None:
        super().__init__()
        self._rules = rules
        self._direction = direction
        self._starts: list[int] = []
        self._meanings: list[Meanings | list[list[Named]]] = []

    def extend(self, start: int, meanings: Meanings | list[list[Named]]) -> None:
        """Meanings of more things, which are numbered from `start`."""
        self._starts.append(start)
        self._meanings.append(meanings)

    def __missing__(self, index: int) -> tuple[Use, ...]:
        if len(self) >= MADE:
            self.clear()
        which = bisect.bisect_right(self._starts, index) - 1
        named = self._meanings[which][index - self._starts[which]]
        made = self[index] = tuple(self._use(*each) for each in named)
        return made

    def _use(self, order: int, part: Part, spaced: bool) -> Use:
        rule = self._rules[order]
        action = rule.act(self._direction)
        shown = rule.replacement
        if action != "replace" and shown is None and rule.detector:
            shown = label(rule.detector)
        return Use(order, rule, action, part, spaced, shown)


class _Made(msgspec.Struct, frozen=True):
    """An automaton and what its words stand for."""

    automaton: Automaton
    meanings: Meanings


def _refuse(rule: Rule) -> None:
    """Raise InvalidWords for a rule that makes no sense in itself."""
    kinds = [bool(rule.word), bool(rule.regex), bool(rule.detector), rule.both is not None]
    if sum(kinds) != 1:
        raise InvalidWords(f"{rule.rule}: {sum(kinds)} of word, regex, detector and both.", "Give exactly one of them.")
    if rule.detector and not known_detector(rule.detector):
        raise InvalidWords(f"{rule.rule}: there is no detector {rule.detector!r}.", "See rules.DETECTORS for them.")
    if rule.both is not None and not (0 <= rule.within <= MAX_WITHIN and all(rule.both)):
        raise InvalidWords(f"{rule.rule}: a combination needs two words.", f"Within 0 to {MAX_WITHIN} characters.")
    if rule.both is not None and "allow" in (rule.action, rule.action_out):
        raise InvalidWords(f"{rule.rule}: a combination can't allow.", "Allow a phrase, by a word of its own.")
    if "replace" in (rule.action, rule.action_out) and not rule.replacement:
        raise InvalidWords(f"{rule.rule}: nothing to replace with.", "Give a replacement, or mask.")
    if rule.replacement is not None and all(map(is_noise, rule.replacement)):
        raise InvalidWords(
            f"{rule.rule}: the replacement has no letter, so that what stands around it would join up.",
            "Give a replacement with a letter, or mask without one.",
        )
    if rule.options.folding.radicals and rule.options.folding.pinyin:
        raise InvalidWords(f"{rule.rule}: no homophones of split characters.", "Fold `pinyin` in a list of its own.")


def _make(profile: Profile, group: Group, rules: Rules, cache: Path | None) -> _Made:
    try:
        automaton, numbers = _automaton(profile, group, cache)
    except BadWord as error:
        name = rules[group.orders[error.place]].rule
        raise InvalidWords(f"{name}: {error.reason}.", "Change the word, or switch a folding off.") from error
    group.chunks.clear()
    return _Made(automaton, Meanings(group, numbers))


def _automaton(profile: Profile, group: Group, cache: Path | None) -> tuple[Automaton, Numbers]:
    """Compile words, or load them where they were compiled before."""
    if cache is None:
        return Automaton.build(profile, group.chunks)
    file = cache / name_of(profile, group.chunks)
    found = load(file, profile)
    if found is None and len(group) > LARGE:
        compile_apart(profile, group.chunks, file)
        found = load(file, profile)
    if found is None:
        found = Automaton.build(profile, group.chunks)
        keep(file, *found)
    return found


def _engine(direction: Direction, rules: Rules, made: list[_Made]) -> Engine:
    uses = Uses(rules, direction)
    here = [each for each in made if each.automaton.profile.only in (None, direction)]
    number = 0
    for each in here:
        uses.extend(number, each.meanings)
        number += each.automaton.size
    groups = []
    for seen, patterns in _patterns(direction, rules).items():
        groups.append(PatternGroup(seen, [pattern for _, pattern in patterns], number))
        uses.extend(number, [[(order, "", False)] for order, _ in patterns])
        number += len(patterns)
    kinds = list(rules.kinds())
    allows = any(rule.holds_in(direction) and rule.act(direction) == "allow" for rule in kinds)
    simple = not groups and all(_is_simple(rule, direction) for rule in kinds)
    simple = simple and not any(each.automaton.masks != "none" for each in here)
    return Engine(direction, [each.automaton for each in here], uses, groups, allows=allows, simple=simple)


def _patterns(direction: Direction, rules: Rules) -> dict[Seen, list[tuple[int, Pattern]]]:
    """By what they see of a text, each with its rule's place."""
    by_view: dict[Seen, list[tuple[int, Pattern]]] = {}
    for start, part in rules.starts():
        for order, rule in enumerate([] if isinstance(part, WordBlock) else part, start):
            if (rule.regex or rule.detector) and rule.holds_in(direction):
                pattern = _pattern(rule)
                by_view.setdefault(pattern.seen, []).append((order, pattern))
    return by_view


def _is_simple(rule: Rule, direction: Direction) -> bool:
    options, action = rule.options, rule.act(direction)
    if options.noise or options.whole_word or options.folding.radicals or options.match != "overlap" or not rule.word:
        return False
    return action == "flag" or (action in HIDING and rule.replacement is None)


def _pattern(rule: Rule) -> Pattern:
    folding = rule.options.folding
    if rule.detector:
        return detector(rule.detector, folding)
    try:
        return Pattern(rule.regex, seen="width" if folding.width else "written", fold_case=folding.case)
    except InvalidWords as error:
        raise InvalidWords(f"{rule.rule}: {error.message}", error.mend) from error


def _labels(rules: Iterable[Rule]) -> Iterator[str]:
    for rule in rules:
        if rule.replacement is not None:
            yield rule.replacement
        elif rule.detector:
            yield label(rule.detector)


def _changes(rules: Iterable[Rule], today: dt.date) -> dt.date | None:
    """The next day on which a rule comes into force or goes out of it."""
    day = dt.timedelta(days=1)
    days = set()
    for rule in rules:
        if rule.valid_from:
            days.add(rule.valid_from)
        if rule.valid_until and rule.valid_until < dt.date.max:
            days.add(rule.valid_until + day)
    return min((each for each in days if each > today), default=None)
