"""From a regular expression, one for everything that may still become a match of it.

RE2 can't say that more text is needed, and a stream must know it. But the beginnings of a pattern's matches are a
regular language too, so the pattern for them is made once: for `ab|c+` it is `(?:a?)|(?:c*)`, roughly. Matched against
the end of what has come, it tells from where on to wait. It is read with Python's own parser, whose syntax is nearly
RE2's; what it can't read is taken to be open everywhere.
"""

from __future__ import annotations

import re
import warnings
from re import _constants as op  # type: ignore[attr-defined]
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

ANYTHING = r"(?s:.*)"
_CATEGORIES = {
    op.CATEGORY_DIGIT: r"\d", op.CATEGORY_NOT_DIGIT: r"\D", op.CATEGORY_SPACE: r"\s", op.CATEGORY_NOT_SPACE: r"\S",
    op.CATEGORY_WORD: r"\w", op.CATEGORY_NOT_WORD: r"\W",
}  # fmt: skip
_PLACES = {
    op.AT_BEGINNING: "^", op.AT_BEGINNING_STRING: r"\A", op.AT_END: "$", op.AT_END_STRING: r"\z",
    op.AT_BOUNDARY: r"\b", op.AT_NON_BOUNDARY: r"\B",
}  # fmt: skip
_FLAGS = ((re.IGNORECASE, "i"), (re.MULTILINE, "m"), (re.DOTALL, "s"))
Parsed = list[tuple[Any, Any]]


def beginnings(pattern: str) -> str:
    """A pattern (RE2) of what is no match yet, or can become a longer one. Never raises for what RE2 takes."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            parsed = parser.parse(pattern)
        return _with_flags(parsed.state.flags, _begin(list(parsed)))
    except (re.error, _Unread, OverflowError, RecursionError):
        return ANYTHING


class _Unread(Exception):
    """Something that RE2 and Python don't mean alike."""


def _with_flags(flags: int, text: str) -> str:
    letters = "".join(letter for flag, letter in _FLAGS if flags & flag)
    return f"(?{letters}:{text})"


def _begin(parsed: Parsed) -> str:
    """Beginnings of a sequence: those of its first part, or the first part and beginnings of the rest."""
    if not parsed:
        return r"[^\x00-\x{10FFFF}]"  # what is empty has no beginning
    first, rest = parsed[0], parsed[1:]
    if first[0] is op.AT and first[1] in (op.AT_BEGINNING, op.AT_BEGINNING_STRING):
        return f"{_PLACES[first[1]]}(?:{_begin(rest)})" if rest else _begin([])
    if not rest:
        return _begin_of(first)
    return f"(?:{_begin_of(first)}|{_whole([first])}(?:{_begin(rest)}))"


def _begin_of(part: tuple[Any, Any]) -> str:
    kind, value = part
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
        _, most, inner = value
        again = "*" if most is op.MAXREPEAT else f"{{0,{max(most - 1, 0)}}}"
        return f"(?:(?:{_whole(list(inner))}){again}(?:{_begin(list(inner))}))" if most else _begin([])
    if kind is op.SUBPATTERN:
        _, added, removed, inner = value
        if removed:
            raise _Unread
        return _with_flags(added, _begin(list(inner)))
    if kind is op.BRANCH:
        return "(?:" + "|".join(_begin(list(branch)) for branch in value[1]) + ")"
    _whole([part])  # raises for what can't be read
    return "(?:)"


def _whole(parsed: Parsed) -> str:
    """The pattern again, as RE2 writes it."""
    return "".join(map(_whole_of, parsed))


def _whole_of(part: tuple[Any, Any]) -> str:
    kind, value = part
    if kind is op.LITERAL:
        return _char(value)
    if kind is op.NOT_LITERAL:
        return f"[^{_char(value)}]"
    if kind is op.ANY:
        return "."
    if kind is op.IN:
        return _class(value)
    if kind is op.AT and value in _PLACES:
        return _PLACES[value]
    if kind in (op.MAX_REPEAT, op.MIN_REPEAT):
        least, most, inner = value
        upper = "" if most is op.MAXREPEAT else str(most)
        return f"(?:{_whole(list(inner))}){{{least},{upper}}}"
    if kind is op.SUBPATTERN and not value[2]:
        return _with_flags(value[1], _whole(list(value[3])))
    if kind is op.BRANCH:
        return "(?:" + "|".join(_whole(list(branch)) for branch in value[1]) + ")"
    raise _Unread


def _class(items: Parsed) -> str:
    negated = "^" if items and items[0][0] is op.NEGATE else ""
    text = ""
    for kind, value in items:
        if kind is op.LITERAL:
            text += _char(value)
        elif kind is op.RANGE:
            text += f"{_char(value[0])}-{_char(value[1])}"
        elif kind is op.CATEGORY:
            text += _CATEGORIES[value]
        elif kind is not op.NEGATE:
            raise _Unread
    return f"[{negated}{text}]"


def _char(code: int) -> str:
    return f"\\x{{{code:x}}}"
