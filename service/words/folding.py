"""Folding whole texts and single characters by one table, with the way back to the original.

Texts of some length go through numpy: a table from code point to folded code point, over UTF-16 where no character
needs two of its units (nearly always; its table fits into the cache), else over UTF-32. Short ones and ASCII go through
`str.translate`, which costs less there. A character that folds to nothing or to several is irregular and takes a step
of its own, only where one occurs. All ways must give the same.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from service.words.characters import changed_outside_ranges, folds, is_noise
from service.words.rules import Folding

Codes = npt.NDArray[np.uint32]
Units = npt.NDArray[np.uint16]
Places = npt.NDArray[np.intp]
NOTHING = "\uffff"
"""Stands for what can be in no word: half a surrogate pair, a noncharacter."""
IRREGULAR = "\ufffe"
SHORT = 32
"""Texts up to this many characters are folded by `str.translate`."""
_DROPPED = ord(IRREGULAR)
_SEVERAL = 0xFDD0
"""In the tables: of what folds to nothing, and of what folds to several characters. Both are noncharacters, which no
other character folds to."""
_DROP = IRREGULAR
_MANY = chr(_SEVERAL)
_PLAIN_RANGES = ((0x3400, 0xA000), (0xAC00, 0xD7A4), (0xE000, 0xF900), (0x20000, 0xE0000), (0xE1000, 0x110000))
"""Where nothing but the Chinese table, radicals and pinyin change anything."""


class FoldTable:
    """One folding, with noise dropped or not. Get it from `fold_table`: they are shared."""

    def __init__(self, folding: Folding, drop_noise: bool) -> None:
        self._folds = folds(folding)
        self._drop_noise = drop_noise
        self._folding = folding
        self._known: dict[str, str] = {}
        self._short = _Translation(self)
        self._table: Codes | None = None
        self._units: Units | None = None

    def fold(self, char: str) -> str:
        """What one character counts as: nothing, one character or several."""
        known = self._known.get(char)
        if known is None:
            known = self._known[char] = self._fold(char)
        return known

    def word(self, word: str) -> str:
        """What a word counts as."""
        return "".join(map(self.fold, word))

    def text(self, text: str) -> tuple[str, Places | None]:
        """A text folded, and for each folded character the index of its original; None where they are the same."""
        folded, places = self.text_and_places(text)
        return folded, None if places is None else places()

    def text_and_places(self, text: str) -> tuple[str, Callable[[], Places] | None]:
        """The same, for who needs the indices only where something is found."""
        if len(text) <= SHORT or text.isascii():
            folded = text.translate(self._short)
            if IRREGULAR not in folded:
                return folded, None
        encoded = text.encode("utf-16-le", "surrogatepass")
        if len(encoded) == 2 * len(text):
            units = self.units.take(np.frombuffer(encoded, "<u2"))
            folded = str(units.data, "utf-16-le")
            if _MANY not in folded:
                if _DROP not in folded:
                    return folded, None
                return folded.replace(_DROP, ""), lambda: np.flatnonzero(units != _DROPPED)
        mapped = self.table.take(np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4"))
        if (mapped == _SEVERAL).any():
            several, places = self._several(text, mapped)
            return several, lambda: places
        kept = mapped != _DROPPED
        if kept.all():
            return mapped.tobytes().decode("utf-32-le"), None
        return mapped[kept].tobytes().decode("utf-32-le"), lambda: np.flatnonzero(kept)

    @property
    def table(self) -> Codes:
        """Code point → folded code point, for all of Unicode; made when first needed (some 0.2 s)."""
        if self._table is None:
            self._table = self._make_table()
        return self._table

    @property
    def units(self) -> Units:
        """The same for the 65,536 characters of one UTF-16 unit. A character beyond those counts as several here."""
        if self._units is None:
            small = self.table[: 1 << 16]
            self._units = np.where(small >= 1 << 16, _SEVERAL, small).astype(np.uint16)
        return self._units

    def warm(self) -> None:
        """Make both tables now."""
        self.units.any()

    def _several(self, text: str, mapped: Codes) -> tuple[str, Places]:
        """Put in what irregular characters fold to. One step of Python for each of them."""
        odd = np.flatnonzero((mapped == _DROPPED) | (mapped == _SEVERAL))
        lengths = np.ones(len(mapped), np.intp)
        pieces = [self.fold(text[place]) for place in odd.tolist()]
        lengths[odd] = [len(piece) for piece in pieces]
        places = np.repeat(np.arange(len(mapped)), lengths)
        whole = np.repeat(mapped, lengths)
        whole[whole == _SEVERAL] = np.frombuffer("".join(pieces).encode("utf-32-le"), dtype="<u4")
        return whole.tobytes().decode("utf-32-le"), places

    def _fold(self, char: str) -> str:
        code = ord(char)
        if 0xD800 <= code <= 0xDFFF or code & 0xFFFE == 0xFFFE or code == _SEVERAL:
            return NOTHING
        text = char
        for _ in range(3):  # `⑸` is `5` after one round, `㊄` after two; a table of tables would be no simpler
            before = text
            for fold in self._folds:
                text = "".join(map(fold, text)) if text else ""
            if text == before:
                break
        if self._drop_noise:
            text = "".join(part for part in text if not is_noise(part))
        return text.replace("\0", NOTHING)

    def _make_table(self) -> Codes:
        table = np.arange(0x110000, dtype=np.uint32)
        table[0xD800:0xE000] = table[_SEVERAL] = ord(NOTHING)
        table[0xFFFE::0x10000] = table[0xFFFF::0x10000] = ord(NOTHING)
        for code in self._changing():
            folded = self._fold(chr(code))  # none of the 90,000 is kept beside the table: that would be 20 MiB
            table[code] = ord(folded) if len(folded) == 1 else _SEVERAL if folded else _DROPPED
        return table

    def _changing(self) -> list[int]:
        changing = changed_outside_ranges(self._folding)
        low = 0
        for start, end in (*_PLAIN_RANGES, (0x110000, 0x110000)):
            changing.update(range(low, start))
            low = end
        return [code for code in sorted(changing) if not 0xD800 <= code <= 0xDFFF]


class _Translation(dict[int, str]):
    """Filled as characters turn up."""

    def __init__(self, table: FoldTable) -> None:
        self._fold = table.fold

    def __missing__(self, code: int) -> str:
        folded = self._fold(chr(code))
        self[code] = folded if len(folded) == 1 else IRREGULAR
        return self[code]


@functools.lru_cache(maxsize=32)
def fold_table(folding: Folding, drop_noise: bool) -> FoldTable:
    """The table of a folding. Four megabytes each once a long text was folded."""
    return FoldTable(folding, drop_noise)
