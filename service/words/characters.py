"""What single characters count as: the tables behind folding, from Unicode's data, OpenCC's dictionaries and our own.

Each fold is a function of one character alone. That is what lets a stream fold as it comes and every offset map back;
what would need its neighbours (OpenCC's phrases, composed letters) is made a matter of single characters instead:
a Traditional character with several Simplified forms counts as one with all of them, and a letter counts as its base
whether its accent is composed or follows. Words are folded the same way, so nothing is lost by it.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable

import opencc

from service.words.radicals import split_radicals
from service.words.rules import Folding

Fold = Callable[[str], str]
ZERO_WIDTH = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u3164\uffa0\u2800")
"""Blank to the eye, though Unicode calls them letters, symbols or marks."""
MARKS = ((0x300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0xFE20, 0xFE2F))
"""Combining marks that only decorate. Those of scripts that write vowels with them (हिन्दी, ไทย) are not here."""
STYLES = ("<circle>", "<super>", "<sub>", "<font>", "<compat>")
WIDTHS = ("<wide>", "<narrow>")

_ALIKE_SIMPLIFIED = (
    "覆复 藉借 炼链 瞭了 锺钟 沉沈 钜巨 祇只 衹只 幺么 划画 俱具 彷仿 馀余 徵征 於于 麽么 乾干 著着 讬托"
)
"""Pairs that OpenCC's phrases tell apart (看著 → 看着, 著名): the first counts as the second."""
_DIGIT_FORMS = (
    "〇零⓿🄋🄌",
    "一壹弌㈠㊀幺",
    "二贰貳弍㈡㊁",
    "三叁參弎㈢㊂",
    "四肆㈣㊃",
    "五伍㈤㊄",
    "六陆陸㈥㊅",
    "七柒㈦㊆",
    "八捌㈧㊇",
    "九玖㈨㊈",
)
_DIGITS = {form: str(value) for value, forms in enumerate(_DIGIT_FORMS) for form in forms}
_ALIKE_LATIN = {
    "a": "аɑαᗅ", "b": "ьƅɓβв", "c": "сϲᴄⅽ", "d": "ԁɗժ", "e": "еєҽ℮", "f": "ғƒ", "g": "ɡց", "h": "һհн", "i": "іıιӏ",
    "j": "јϳ", "k": "кκҝ", "l": "ⅼ", "m": "мⅿ", "n": "ոηп", "o": "оοօσ", "p": "рρ", "q": "ԛգ", "r": "гɼ", "s": "ѕʂ",
    "t": "тτ", "u": "υսцʋ", "v": "ѵνⅴ", "w": "ԝѡωա", "x": "хχⅹ", "y": "уγүʏ", "z": "ʐᴢ",
}  # fmt: skip
_CONFUSABLES = {form: letter for letter, forms in _ALIKE_LATIN.items() for form in forms}
_LEET = dict(zip("0134578@$!|+€£", "oieastbasiitel", strict=True))


def folds(folding: Folding) -> list[Fold]:
    """The folds that are switched on, in the order in which they are applied."""
    chosen: list[tuple[bool, Fold]] = [
        (True, _without_tags),
        (folding.invisible, _without_invisible),
        (folding.width, _without_width),
        (folding.style, _without_style),
        (folding.case, str.casefold),
        (folding.simplified, _simplified),
        (folding.digits, digit_of),
        (folding.confusables, lambda char: _CONFUSABLES.get(char, char)),
        (folding.leet, lambda char: _LEET.get(char, char)),
        (folding.radicals, _radicals),
        (folding.pinyin, _pinyin),
    ]
    return [fold for on, fold in chosen if on]


def looks_invisible(char: str) -> bool:
    """As `is_invisible`, for who asks of each character once."""
    code = ord(char)
    if char in ZERO_WIDTH or 0xFE00 <= code <= 0xFE0F or 0xE0000 <= code <= 0xE0FFF:
        return True
    category = unicodedata.category(char)
    if category == "Cc":
        return char not in "\t\n\r\v\f\x85"
    return category == "Cf" or any(low <= code <= high for low, high in MARKS)


@functools.lru_cache(maxsize=65_536)
def is_invisible(char: str) -> bool:
    """Whether a character shows nothing of its own: zero-width, tag, control, joining, decorating."""
    return looks_invisible(char)


def is_noise(char: str) -> bool:
    """Whether a (folded) character may stand between those of a word: punctuation, symbols, spaces, marks."""
    return unicodedata.category(char)[0] in "PSZ" or char in "\t\n\r\v\f\x85" or is_invisible(char)


@functools.lru_cache(maxsize=65_536)
def is_wordish(char: str) -> bool:
    """Whether a character is a letter or digit of a script that parts its words: Latin `a`, not `中`, `が` or `한`."""
    first = unicodedata.normalize("NFKC", char)[:1]
    if not first.isalnum():
        return False
    code = ord(first)
    return code < 0x0E00 or 0x0F00 <= code < 0x1000 or 0x10A0 <= code < 0x1100 or 0x1E00 <= code < 0x2000


def changed_outside_ranges(folding: Folding) -> set[int]:
    """The code points among Chinese characters that some fold changes; all others of them stay as they are."""
    changed = {ord(char) for char in _to_simplified()} | {ord(char) for char in _DIGITS}
    if folding.radicals:
        changed.update(map(ord, split_radicals()))
    return changed | set(_readings()) if folding.pinyin else changed


def _without_tags(char: str) -> str:
    """Tag characters are left out of what is shown, so they can't part what is matched, whatever a list folds."""
    return "" if "\U000e0000" <= char <= "\U000e007f" else char


def _without_invisible(char: str) -> str:
    if looks_invisible(char):  # a table is made of all there are
        return ""
    whole = unicodedata.normalize("NFD", char)
    if len(whole) > 1 and all(0x300 <= ord(mark) <= 0x36F for mark in whole[1:]):
        return whole[0]
    return char


def _without_width(char: str) -> str:
    if char == "\u3000":
        return " "
    return unicodedata.normalize("NFKC", char) if unicodedata.decomposition(char).startswith(WIDTHS) else char


def _without_style(char: str) -> str:
    code = ord(char)
    if 0x1F1E6 <= code <= 0x1F1FF:  # regional indicators: 🇫
        return chr(code - 0x1F1E6 + 0x61)
    if 0x1F130 <= code <= 0x1F189:  # squared, negative circled and negative squared capitals, which have no mapping
        return chr((code - 0x1F130) % 32 + 0x61) if (code - 0x1F130) % 32 < 26 else char
    if not unicodedata.decomposition(char).startswith(STYLES):
        return char
    plain = unicodedata.normalize("NFKC", char)
    if plain[:1] == "(" and plain[-1:] == ")":
        plain = plain[1:-1]
    return plain if plain.isalpha() else char


def _simplified(char: str) -> str:
    return _to_simplified().get(char, char)


def digit_of(char: str) -> str:
    """The digit or number that a character stands for (`三`, `⑩`), or the character itself."""
    known = _DIGITS.get(char)
    if known is not None:
        return known
    value = unicodedata.digit(char, None)
    if value is not None:
        return str(value)
    if unicodedata.category(char) != "No":
        return char
    number = unicodedata.numeric(char, 0.5)
    return str(int(number)) if number == int(number) and 0 <= number < 100 else char


@functools.lru_cache(maxsize=1)
def _to_simplified() -> dict[str, str]:
    """Every character that OpenCC's Traditional→Simplified changes, and those that count alike."""
    # By way of one string: the characters themselves lie among a hundred thousand others, and would keep their memory.
    packed = "".join(before + after for before, after in _simplifications().items())
    return dict(zip(packed[::2], packed[1::2], strict=True))


def _simplifications() -> dict[str, str]:
    """Each of one character, and so is what it becomes."""
    ranges = ((0x2E80, 0xA000), (0xF900, 0xFB00), (0x20000, 0x32400))
    old = [chr(code) for low, high in ranges for code in range(low, high)]
    new = opencc.OpenCC("t2s").convert("\n".join(old)).split("\n")
    table = {before: after for before, after in zip(old, new, strict=True) if before != after}
    alike = {pair[0]: pair[1] for pair in _ALIKE_SIMPLIFIED.split()}
    table = {before: alike.get(after, after) for before, after in table.items()} | alike
    # Either form may stand for both. The one of a single UTF-16 unit does, as such texts fold in half the time.
    small = {after: before for before, after in table.items() if ord(before) < 1 << 16 <= ord(after)}
    table = {before: small.get(after, after) for before, after in table.items()} | small
    return {before: table.get(after, after) for before, after in table.items() if before != table.get(after, after)}


def _radicals(char: str) -> str:
    return split_radicals().get(char, char)


def _pinyin(char: str) -> str:
    known = _readings().get(ord(char))
    if known is None:
        return char
    plain = unicodedata.normalize("NFD", known.split(",")[0])
    return "".join(letter for letter in plain if letter.isascii())


@functools.lru_cache(maxsize=1)
def _readings() -> dict[int, str]:
    from pypinyin.pinyin_dict import pinyin_dict  # 40,000 entries, only for lists that ask for it

    return dict(pinyin_dict)
