"""What a correction changed, in words, and in single characters where a script puts no space between words.

The pages' script shows the same while one types (`changes.js`). Texts that are too long to compare quickly come out as
one piece gone and one piece new between their common ends: right, only coarse.
"""

from __future__ import annotations

import difflib
import re
from typing import Literal

import msgspec

PIECES_LIMIT = 1_500
"""Pieces of a text, beyond its common ends with the other, that are compared one by one."""
_PIECE = re.compile(
    "[\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff\u0e00-\u0e7f]"
    r"|\w+|\s+|.",
    re.DOTALL,
)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of text."""

    what: Literal["same", "gone", "new"]
    text: str


def changes(before: str, after: str) -> list[Change]:
    """How `after` came of `before`: same and new together are `after`, same and gone `before`."""
    old, new = _PIECE.findall(before), _PIECE.findall(after)
    start = 0
    while start < min(len(old), len(new)) and old[start] == new[start]:
        start += 1
    end = 0
    while end < min(len(old), len(new)) - start and old[-1 - end] == new[-1 - end]:
        end += 1
    middle = _middle(old[start : len(old) - end], new[start : len(new) - end])
    found = [("same", "".join(old[:start])), *middle, ("same", "".join(old[len(old) - end :]))]
    return [Change(what=what, text=text) for what, text in found if text]


def _middle(old: list[str], new: list[str]) -> list[tuple[Literal["same", "gone", "new"], str]]:
    if len(old) > PIECES_LIMIT or len(new) > PIECES_LIMIT:
        return [("gone", "".join(old)), ("new", "".join(new))]
    out: list[tuple[Literal["same", "gone", "new"], str]] = []
    for tag, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag == "equal":
            out.append(("same", "".join(old[a:b])))
        else:
            out += [("gone", "".join(old[a:b])), ("new", "".join(new[c:d]))]
    return out
