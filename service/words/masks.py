"""How short a mask can be: no row of `*` shorter than that can be the filter's own work.

A word's mask is as long as what hit, and that may be shorter than the word: `ß` hits for `ss`. So the question is how
few characters can fold to a word.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Iterable

from service.words.engine import HIDING
from service.words.folding import FoldTable, fold_table
from service.words.prefixes import shortest_match
from service.words.rules import Rule

_FOLDABLE = re.compile(r"[0-9a-z]{2}", re.IGNORECASE)
_RANGES = ((0xDF, 0x3400), (0xFB00, 0xFB50), (0xFE70, 0x10000), (0x1D400, 0x1F300))
"""Where the characters stand that fold to several."""


def shortest_mask(rules: Iterable[Rule]) -> int:
    """The length of the shortest mask of `*` that any of the rules may lead to."""
    shortest = 512
    for rule in rules:
        if rule.action not in HIDING and rule.action_out not in HIDING:
            continue
        if rule.word and len(rule.word) <= shortest * 8:
            shortest = min(shortest, _shortest_hit(rule, rule.word))
        elif rule.both is not None:
            shortest = min(shortest, sum(_shortest_hit(rule, word) for word in rule.both))
        elif rule.regex:
            shortest = min(shortest, shortest_match(rule.regex))
    return max(shortest, 1)


def _shortest_hit(rule: Rule, word: str) -> int:
    folding = rule.options.folding
    if folding.pinyin:
        return max(1, len(word) // 6)
    if word.isalnum() and not _FOLDABLE.search(word):
        return len(word)
    table = fold_table(folding, False)
    folded = table.word(word)
    several = _several(table)
    fewest = [0]
    for end in range(1, len(folded) + 1):
        ends = [fewest[end - length] for length in range(2, 5) if folded[max(0, end - length) : end] in several]
        fewest.append(1 + min([fewest[end - 1], *ends]))
    return max(fewest[-1], 1)


@functools.lru_cache(maxsize=32)
def _several(table: FoldTable) -> frozenset[str]:
    """Every text of several characters that one character folds to."""
    codes = (code for low, high in _RANGES for code in range(low, high))
    chars = (char for char in map(chr, codes) if unicodedata.decomposition(char) or char.isupper() or char.isnumeric())
    return frozenset(folded for folded in map(table.fold, chars) if len(folded) > 1) | {"ss"}
