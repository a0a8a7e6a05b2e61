"""Which side of the yardstick a conversation lies on: trained on, validated on, or held out.

Decided by the folded opening of the conversation (its first user message) alone, by a hash and fixed percentages, so
that equal openings land on the same side in every snapshot for ever: what was once held out is never trained on. It
looks at the text as it was stored, before cleaning, so that a new cleaning rule can't move a conversation.

Folding leaves letters, digits and most symbols, in lower case and half width; case, width, whitespace, punctuation and
invisible characters don't make another question. It may put two different questions on one side ("3-2", "32"), which
costs nothing, and must never put one question on two. Must never change without a new `DOMAIN`: that would move
conversations that models were already trained on.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from typing import Literal

from feedback.settings import PoolSettings
from feedback.turns import Message

Side = Literal["train", "validation", "heldout"]

DOMAIN = b"ratchet-split-1\0"
"""Goes into the hash before the text, so that no other hash of the same text tells the side."""


def split_of(opening: str, rules: PoolSettings) -> Side:
    """The side of a conversation that opens with this user message.

    Held out comes first in the range, so changing `validation_percent` never moves a held-out conversation.
    """
    digest = hashlib.sha256(DOMAIN + fold(opening).encode()).digest()
    percent = int.from_bytes(digest[:8], "big") / 2**64 * 100
    if percent < rules.heldout_percent:
        return "heldout"
    return "validation" if percent < rules.heldout_percent + rules.validation_percent else "train"


def opening_of(messages: Sequence[Message]) -> str:
    """The first user message, empty where there is none."""
    return next((message.content for message in messages if message.role == "user"), "")


def prompt_of(messages: Sequence[Message]) -> str:
    """The last user message, empty where there is none."""
    return next((message.content for message in reversed(messages) if message.role == "user"), "")


def fold(text: str) -> str:
    """The text without what does not make another question; folding twice changes nothing more."""
    if text.isascii():
        return text.lower().translate(_KEPT)
    while True:
        folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).translate(_KEPT)
        if folded == text:
            return folded
        text = folded  # a mark that followed a comma now follows a letter, and may compose with it


class _Kept(dict[int, int | None]):
    """For `str.translate`: a code point to itself, or to nothing; filled as characters are met."""

    def __missing__(self, point: int) -> int | None:
        self[point] = None if _folded_away(chr(point)) else point
        return self[point]


def _folded_away(character: str) -> bool:
    """Separators, punctuation, modifiers such as `^`, control, format and half surrogates, and variation selectors.

    Unassigned and private code points stay: a later Unicode may make letters of them.
    """
    category = unicodedata.category(character)
    if category[0] in "ZP" or category in ("Cc", "Cf", "Cs", "Sk"):
        return True
    return character == "~" or "\ufe00" <= character <= "\ufe0f"


_KEPT = _Kept()
