"""How right a reply is, as a number from 0 to 1. Pure: text in, score out.

Two ways. Where an item carries `accept` phrases, a reply that holds any of them scores 1, else 0: the phrase must stand
on its own ("7:40" is not in "17:40", 七 is not in 七十). Where it carries only a reference, the score is ROUGE-L's F1
(the longest common subsequence of tokens), with Chinese and kana counted by the character, because they have no spaces.

Both compare folded texts, so that case, full-width forms, punctuation and spacing don't decide. What must never happen:
that a phrase is found inside another word or number, for then every model looks right.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from functools import cache, lru_cache
from typing import Any, Literal

from feedback.errors import InvalidInput

Fault = Literal["", "empty", "repeats"]

_CHARACTERWISE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
"""Kana and Chinese characters: scripts without spaces between words."""
_NUMERALS = "〇零一二三四五六七八九十百千万亿两"
_APOSTROPHES = re.compile(r"(?<=\w)['’ʼ](?=\w)")
_SIGN = re.compile(r"(?<![\w)\s])-(?=\d)|(?<=\s)-(?=\d)|^-(?=\d)")
_SEPARATOR = re.compile(r"(?<=\d)([.:])(?=\d)|(?<=\d)(,)(?=\d{3}(?!\d))")
_KEPT_SIGN, _KEPT_POINT, _KEPT_COLON, _KEPT_COMMA = "\ue000", "\ue001", "\ue002", "\ue003"
"""Private-use stand-ins for the punctuation that belongs to a number, while all other punctuation becomes a space."""
_KEPT = {".": _KEPT_POINT, ":": _KEPT_COLON, ",": _KEPT_COMMA}
_BACK = str.maketrans({_KEPT_SIGN: "-", _KEPT_POINT: ".", _KEPT_COLON: ":", _KEPT_COMMA: ","})
_GAP_IN_CHINESE = re.compile(f"(?<=(?![{_NUMERALS}])[{_CHARACTERWISE}])\\s+(?=(?![{_NUMERALS}])[{_CHARACTERWISE}])")
"""Spaces between two characters, neither of them a numeral: 一 二 三 is a list, not a number."""
_TOKEN = re.compile(f"[{_CHARACTERWISE}]|[^\\s{_CHARACTERWISE}]+")


def score(reply: str, accept: Sequence[str], reference: str) -> float:
    """How right `reply` is, 0 to 1: by `accept` where there are phrases, else by likeness to `reference`.

    Raises InvalidInput where there is neither, or where no phrase has a letter or digit in it.
    """
    if accept:
        return 1.0 if holds_any(reply, accept) else 0.0
    if not fold(reference):
        raise InvalidInput(
            "An item has neither accept phrases nor a reference.", "Give one of them: nothing else can be scored."
        )
    return likeness(reply, reference)


def holds_any(reply: str, accept: Sequence[str]) -> bool:
    """Whether any of the phrases stands in the reply, on word boundaries. Raises InvalidInput for an empty phrase."""
    folded = fold(reply)
    return any(_phrase(phrase).search(folded) is not None for phrase in accept)


def likeness(reply: str, reference: str) -> float:
    """ROUGE-L F1 of two texts, 0 to 1, over words of spaced scripts and single characters of Chinese and kana."""
    return float(_rouge().score(reference, reply)["rougeL"].fmeasure)


def fault_of(reply: str) -> Fault:
    """What is wrong with a reply whatever it says: `empty`, or `repeats` (a loop of the same words), else nothing.

    A loop: the last tokens are one run of 1 to 8 tokens four times over (six times for a single token), or fewer than
    a third of the reply's 4-token runs are different ones, counted from 24 tokens on.
    """
    tokens = tokenize(reply)
    if not tokens:
        return "empty"
    for width in range(1, 9):
        times = 6 if width == 1 else 4
        tail = tokens[-width * times :]
        if len(tail) == width * times and tail == tail[:width] * times:
            return "repeats"
    runs = Counter(tuple(tokens[at : at + 4]) for at in range(len(tokens) - 3))
    return "repeats" if len(tokens) >= 24 and len(runs) < sum(runs.values()) / 3 else ""


def tokenize(text: str) -> list[str]:
    """The folded text's words; each character of Chinese or kana is a word of its own."""
    return _TOKEN.findall(fold(text))


@lru_cache(maxsize=4096)
def fold(text: str) -> str:
    """NFKC and casefold; punctuation becomes a space, except inside numbers (7:40, 3.5, 1,000, -5); apostrophes inside
    words vanish; runs of spaces become one; spaces set between Chinese characters vanish, those of punctuation stay."""
    text = unicodedata.normalize("NFKC", text).casefold().replace("\u2212", "-")
    text = _GAP_IN_CHINESE.sub("", _APOSTROPHES.sub("", text))
    text = _SIGN.sub(_KEPT_SIGN, text)
    text = _SEPARATOR.sub(lambda found: _KEPT[found[0]], text)
    text = "".join(" " if _is_punctuation(character) else character for character in text)
    return " ".join(text.split()).translate(_BACK)


@lru_cache(maxsize=4096)
def _phrase(phrase: str) -> re.Pattern[str]:
    folded = fold(phrase)
    if not folded:
        raise InvalidInput("An accept phrase has no letter or digit.", "Name a phrase that only right replies have.")
    return re.compile(_boundary(folded[0], before=True) + re.escape(folded) + _boundary(folded[-1], before=False))


def _boundary(edge: str, *, before: bool) -> str:
    """What may not stand next to a phrase that begins (or ends) with `edge`, as a look-around."""
    look = "(?<!{})" if before else "(?!{})"
    if edge in _NUMERALS:
        return look.format(f"[{_NUMERALS}]")
    if re.match(f"[{_CHARACTERWISE}]", edge):
        return ""
    if not edge.isdigit():
        return look.format(f"[^\\W{_CHARACTERWISE}]")
    # A number also goes on through a point, a colon or a comma, and a sign belongs to it.
    word = look.format(f"[^\\W{_CHARACTERWISE}]")
    return word + (r"(?<!\d[.:,])(?<![\s]-)(?<!^-)" if before else r"(?![.:,]\d)")


def _is_punctuation(character: str) -> bool:
    """Punctuation, symbols and control characters; the stand-ins for a number's own punctuation are not."""
    kind = unicodedata.category(character)
    return kind[0] in "PSZ" or kind in ("Cc", "Cf")


@cache
def _rouge() -> Any:
    # Imported here: rouge_score brings nltk, which whoever only wants accept phrases need not wait for.
    from rouge_score.rouge_scorer import RougeScorer
    from rouge_score.tokenizers import Tokenizer

    class Tokens(Tokenizer):  # type: ignore[misc]  # rouge_score has no types
        def tokenize(self, text: str) -> list[str]:
            return tokenize(text)

    return RougeScorer(["rougeL"], tokenizer=Tokens())
