"""Cases by which a filter is judged: a list, a text, and what must come out. `ratchet words test` runs a file of them.

One JSON object a line: `words`, `allow`, `regex`, `detect`, how they are matched (`fold`, `noise`, `repeat`,
`whole_word`, `match`) and an `action`; `text`, or `chunks` of one; then what is judged: `hits` (surface texts by start,
then by length), `spans` (half-open, in code points), `masked` (the whole text after the action), `joined` (what a
stream lets out of the chunks). A field that is absent is not judged; one that nobody knows is named, not guessed at.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from feedback.errors import InvalidInput
from service.words.filter import WordFilter
from service.words.rules import Action, Direction, Folding, ListOptions, Match, Rule, RuleSet


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """One case."""

    id: str
    words: list[str] = []
    allow: list[str] = []
    regex: list[str] = []
    detect: list[str] = []
    fold: list[str] | None = None
    """Names of the foldings that are on; none given: those that are on by default."""
    noise: bool = False
    repeat: bool = False
    whole_word: bool = False
    match: Match = "overlap"
    action: Action = "mask"
    replacement: str | None = None
    direction: Direction = "in"
    text: str | None = None
    chunks: list[str] | None = None
    hits: list[str] | None = None
    spans: list[tuple[int, int]] | None = None
    masked: str | None = None
    joined: str | None = None
    blocked: bool | None = None
    note: str = ""
    unknown: list[str] = []
    """Fields that this release does not judge."""


_FIELDS = {field.name for field in msgspec.structs.fields(Case)}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a case: nothing in `wrong` is a pass."""

    case: str
    wrong: list[str]


def read_cases(path: Path) -> list[Case]:
    """The cases of a file. Raises InvalidInput with line and reason."""
    try:
        lines = path.read_text("utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{path} can't be read: {error}.", "Name a file of cases in UTF-8.") from error
    cases = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                given = msgspec.json.decode(line, type=dict[str, Any])
                unknown = sorted(set(given) - _FIELDS)
                cases.append(msgspec.convert({**given, "unknown": unknown}, Case))
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise InvalidInput(f"{path}, line {number}: {error}.", "One case a line, as JSON.") from error
    if not cases:
        raise InvalidInput(f"{path} holds no case.", "One case a line, as JSON.")
    return cases


def judge(case: Case) -> Outcome:
    """Run a case. Pure."""
    return Outcome(case=case.id, wrong=list(_wrong(case, WordFilter(_rules(case)))))


def _rules(case: Case) -> RuleSet:
    on = Folding() if case.fold is None else Folding(**{name: name in case.fold for name in _names(case.fold)})
    options = ListOptions(
        folding=on, noise=case.noise, repeat=case.repeat, whole_word=case.whole_word, match=case.match
    )

    def rule(name: str, **kind: str) -> Rule:
        given = {"rule": name, "action": case.action, "replacement": case.replacement, **kind}
        return msgspec.structs.replace(msgspec.convert(given, Rule), options=options)

    rules = [
        *(rule(f"words:{n}", word=word) for n, word in enumerate(case.words, 1)),
        *(rule(f"regex:{n}", regex=pattern) for n, pattern in enumerate(case.regex, 1)),
        *(rule(f"detect:{n}", detector=name) for n, name in enumerate(case.detect, 1)),
        *(rule(f"allow:{n}", word=word, action="allow") for n, word in enumerate(case.allow, 1)),
    ]
    return RuleSet(rules=rules, drop_hidden=on.invisible)


def _names(fold: list[str]) -> tuple[str, ...]:
    """Every folding's name. Raises InvalidInput where a case names another."""
    known = tuple(field.name for field in msgspec.structs.fields(Folding))
    for name in fold:
        if name not in known:
            raise InvalidInput(f"There is no folding {name!r}.", f"Foldings are {', '.join(known)}.")
    return known


def _wrong(case: Case, words: WordFilter) -> Iterator[str]:
    """Each judged field that is not as it must be."""
    text = "".join(case.chunks or []) if case.text is None else case.text
    checked = words.check(text, case.direction)
    found, blocked = checked.hits, checked.blocked
    if case.chunks is not None:
        stream = words.stream(case.direction)
        joined = "".join(stream.feed(chunk) for chunk in case.chunks) + stream.end()
        found, blocked = stream.hits, stream.blocked
        yield from _differs("joined", case.joined, joined)
    yield from _differs("hits", case.hits, [text[hit.start : hit.end] for hit in found])
    yield from _differs("spans", case.spans, [(hit.start, hit.end) for hit in found])
    yield from _differs("masked", case.masked, checked.text)
    yield from _differs("blocked", case.blocked, blocked)


def _differs(field: str, wanted: object, got: object) -> Iterator[str]:
    if wanted is not None and wanted != got:
        yield f"{field}: wanted {wanted!r}, got {got!r}"
