"""From a set of rules to engines: which words share an automaton, and which rules a found word serves.

Words are put together by how they are folded, so that a text is folded once for each way and not once for each list.
A word with characters that its own list skips as noise (`@@@@`, `1.5`) is matched with nothing skipped. A rule that
makes no sense is refused here with its name and a reason. Compiled automata can be kept in a folder: each under the
hash of its words, so that a stale one is never read.
"""

from __future__ import annotations

import datetime as dt
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from feedback.errors import InvalidWords
from feedback.files import replace_file
from feedback.mint import now
from service.words.automaton import SLICE, Automaton, Profile, Words, digest, fold_words
from service.words.characters import is_noise
from service.words.detectors import detector, label
from service.words.engine import HIDING, Engine, Part, Use
from service.words.folding import fold_table
from service.words.patterns import Pattern, PatternGroup, Seen
from service.words.render import Tags
from service.words.rules import (
    MAX_WITHIN,
    MAX_WORD,
    Direction,
    Folding,
    ListOptions,
    Rule,
    RuleSet,
    known_detector,
)

Named = tuple[int, Part, bool]
"""What a word stands for: a rule's place, which part of it, and whether spaces in it are its own."""
DIRECTIONS: tuple[Direction, ...] = ("in", "out")
MADE = 10_000
"""Uses that are kept once made."""
PARTS = 64
"""Dicts in place of one of a million words: while one grows, nobody else is served."""
EXACT = ListOptions(
    folding=Folding(case=False, width=False, style=False, simplified=False, digits=False, invisible=False)
)
"""How the filter's own labels are allowed: a text that was filtered must pass as it is."""


class Compiled(msgspec.Struct, frozen=True):
    """A rule set, ready."""

    engines: dict[Direction, Engine]
    rules: list[Rule]
    """In force, labels among them."""
    drop_hidden: bool
    changes_on: dt.date | None

    def clean(self, text: str) -> str:
        """A text in which nothing was found, as it is shown."""
        return Tags().drop(text) if self.drop_hidden else text


def compiled(rule_set: RuleSet, cache: Path | None = None, today: dt.date | None = None) -> Compiled:
    """Compile the rules that are in force. Raises InvalidWords with the rule's name."""
    today = today or now().date()
    holding = rule_set.rules
    if not all(rule.holds(today) for rule in holding):
        holding = [rule for rule in holding if rule.holds(today)]
    for rule in holding:
        _refuse(rule)
    shown = dict.fromkeys(_labels(holding))
    labels = [Rule(rule=f"label:{n}", word=text, action="allow", options=EXACT) for n, text in enumerate(shown)]
    rules = holding + labels if labels else holding
    groups = {profile: group for profile, group in _groups(rules).items() if group.texts}
    made = [_make(profile, group, rules, cache) for profile, group in groups.items()]
    return Compiled(
        engines={direction: _engine(direction, rules, made) for direction in DIRECTIONS},
        rules=rules,
        drop_hidden=rule_set.drop_hidden,
        changes_on=_changes(rule_set.rules, today),
    )


class _Group:
    """Words of one profile, before they are folded, and what each stands for."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.orders = array("q")
        self.special: dict[int, tuple[Part, bool]] = {}
        """Where a word is part of a combination, or has spaces of its own: few."""

    def add(self, text: str, order: int, part: Part = "", spaced: bool = False) -> None:
        if part or spaced:
            self.special[len(self.texts)] = (part, spaced)
        self.texts.append(text)
        self.orders.append(order)


class Uses(dict[int, tuple[Use, ...]]):
    """What each thing that an engine finds is used for, made when asked: a million words are a million integers.

    The dict has what was asked for before; it is bounded.
    """

    def __init__(self, rules: Sequence[Rule], direction: Direction) -> None:
        super().__init__()
        self._rules = rules
        self._direction = direction
        self._first = array("q")
        self._more: dict[int, list[Named]] = {}

    def extend(self, first: array[int], more: dict[int, list[Named]]) -> None:
        """Uses of more things: the order of one rule for each, and all uses where there is more to say."""
        self._more.update((index + len(self._first), named) for index, named in more.items())
        self._first += first

    def __missing__(self, index: int) -> tuple[Use, ...]:
        if len(self) >= MADE:
            self.clear()
        named = self._more.get(index) or [(self._first[index], "", False)]
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
    first: array[int]
    more: dict[int, list[Named]]


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


def _texts(rule: Rule) -> Iterator[tuple[str, Part]]:
    if rule.word:
        yield rule.word, ""
    if rule.both is not None:
        yield rule.both[0], "first"
        yield rule.both[1], "second"


def _groups(rules: list[Rule]) -> dict[Profile, _Group]:
    """All words by profile. Those with noise of their own are not matched with noise skipped."""
    groups: dict[Profile, _Group] = {}
    known: dict[tuple[int, Direction | None], tuple[_Group, _Group | None]] = {}
    for order, rule in enumerate(rules):
        if rule.regex or rule.detector:
            continue
        key = (id(rule.options), rule.only)
        if key not in known:
            known[key] = _groups_for(rule, groups)
        plain, skipping = known[key]
        for text, part in _texts(rule):
            if skipping is None:
                plain.add(text, order, part)
                continue
            own = _own_noise(rule, text)
            if own:
                plain.add(text, order, part, True)
            if not own or (own.isspace() and len(own) < len(text)):
                skipping.add(text, order, part, bool(own))
    return groups


def _groups_for(rule: Rule, groups: dict[Profile, _Group]) -> tuple[_Group, _Group | None]:
    options = rule.options
    plain = Profile(folding=options.folding, repeat=options.repeat, only=rule.only)
    one = groups.setdefault(plain, _Group())
    if not options.noise:
        return one, None
    return one, groups.setdefault(msgspec.structs.replace(plain, noise=True), _Group())


def _own_noise(rule: Rule, text: str) -> str:
    """The characters of a word that its own list would skip."""
    if text.isalnum():
        return ""
    return "".join(char for char in fold_table(rule.options.folding, False).word(text) if is_noise(char))


def _make(profile: Profile, group: _Group, rules: list[Rule], cache: Path | None) -> _Made:
    known: list[dict[tuple[str, tuple[int, ...]] | str, int]] = [{} for _ in range(PARTS)]
    made = Words([], {})
    first = array("q")
    more: dict[int, list[Named]] = {}
    for place, (chars, counts) in enumerate(fold_words(profile, group.texts)):
        order = group.orders[place]
        if not chars or len(chars) > MAX_WORD or (counts and max(counts) > MAX_WORD):
            reason = f"longer than {MAX_WORD} characters" if chars else "nothing is left of it when folded"
            raise InvalidWords(f"{rules[order].rule}: {reason}.", "Change the word, or switch a folding off.")
        key = (chars, counts) if counts else chars
        index = known[hash(key) % PARTS].setdefault(key, len(first))
        named = (order, *group.special.get(place, ("", False)))
        if index < len(first):
            more.setdefault(index, [(first[index], "", False)]).append(named)
            continue
        first.append(order)
        made.chars.append(chars)
        if counts:
            made.counts[index] = counts
        if place in group.special:
            more[index] = [named]
    while known:
        known.pop()  # one by one, and texts by slices: to free a million at once would hold others up
    let_go(group.texts)
    automaton = _automaton(profile, made, cache)
    let_go(made.chars)
    return _Made(automaton, first, more)


def let_go(items: list[Any]) -> None:
    """Empty a long list by slices, so that others are served meanwhile."""
    while items:
        del items[-SLICE:]


def _automaton(profile: Profile, words: Words, cache: Path | None) -> Automaton:
    """Compile words, or load them where they were compiled before."""
    if cache is None:
        return Automaton.build(profile, words)
    file = cache / f"{digest(profile, words)}.words"
    if file.exists():
        kept = Automaton.from_bytes(profile, words, file.read_bytes())
        if kept is not None:
            return kept
    made = Automaton.build(profile, words)
    replace_file(file, made.to_bytes())
    return made


def _engine(direction: Direction, rules: list[Rule], made: list[_Made]) -> Engine:
    uses = Uses(rules, direction)
    here = [each for each in made if each.automaton.profile.only in (None, direction)]
    for each in here:
        uses.extend(each.first, each.more)
    number = sum(each.automaton.size for each in here)
    by_view: dict[Seen, list[tuple[int, Pattern]]] = {}
    for order, rule in enumerate(rules):
        if (rule.regex or rule.detector) and rule.holds_in(direction):
            pattern = _pattern(rule)
            by_view.setdefault(pattern.seen, []).append((order, pattern))
    groups = []
    for seen, patterns in by_view.items():
        groups.append(PatternGroup(seen, [pattern for _, pattern in patterns], number))
        uses.extend(array("q", (order for order, _ in patterns)), {})
        number += len(patterns)
    allows = any(rule.holds_in(direction) and rule.act(direction) == "allow" for rule in rules)
    simple = not groups and all(_is_simple(rule, direction) for rule in rules)
    simple = simple and not any(each.automaton.has_masks for each in here)
    return Engine(direction, [each.automaton for each in here], uses, groups, allows=allows, simple=simple)


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


def _labels(rules: list[Rule]) -> Iterator[str]:
    for rule in rules:
        if rule.replacement is not None:
            yield rule.replacement
        elif rule.detector:
            yield label(rule.detector)


def _changes(rules: Iterable[Rule], today: dt.date) -> dt.date | None:
    """The next day on which a rule comes into force or goes out of it."""
    day = dt.timedelta(days=1)
    days = [rule.valid_from for rule in rules if rule.valid_from] + [
        rule.valid_until + day for rule in rules if rule.valid_until and rule.valid_until < dt.date.max
    ]
    return min((each for each in days if each > today), default=None)
