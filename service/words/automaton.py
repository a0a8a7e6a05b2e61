"""All words that are folded in one way, compiled: found in a whole text by one pass of the matching library.

Words are kept as paths of a trie too, for streams (`walk`). Where repeats fold, neighbouring equal characters are one
character with a count: `asshole` is `a s² h o l e`, and hits wherever every count is at least the word's own.
What is compiled can be kept as bytes and loaded in a fraction of the time.

Where noise is skipped, the mask's own character is noise only in rows that are too short to be a mask. Else `毛x主席`,
with `x` hidden, would become `毛*主席` and hit when it is filtered again; and to hide it the first time a stream would
have to hold back everything in front of every word that may begin.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Self

import msgspec
import numpy as np
from daachorse import CharwiseDoubleArrayAhoCorasick as Matcher

from service.words.folding import NOTHING, FoldTable, Places, fold_table
from service.words.rules import MAX_WORD, Direction, Folding
from service.words.trie import ONCE, Ints, Trie, symbol

Raw = tuple[int, int, int]
"""A word found: start and end in the original text, and its number in the automaton."""
MASK = "*"
"""What stands for each character of a word that is masked."""
STAR = -2
"""The symbol of MASK where noise is skipped."""
NEVER = 1 << 60
"""A mask that is never so long."""
FORMAT = 1
"""Of the bytes that compiled words are kept as."""
_TWINS = re.compile(r"(.)\1", re.DOTALL)
_BETWEEN = "\uf8ff"
"""Between words that are folded in one go: a private character that no fold changes."""


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What the words of one automaton have in common."""

    folding: Folding
    noise: bool = False
    repeat: bool = False
    only: Direction | None = None


class Word(msgspec.Struct, frozen=True, gc=False):
    """A folded word: its characters without repeats where those fold, and how often each must stand."""

    chars: str
    counts: tuple[int, ...] | None = None
    """None: once each."""


class Symbols(dict[str, int]):
    """Character → its symbol, once; 0 for one that folds to nothing, -1 for one that folds to several, STAR."""

    def __init__(self, table: FoldTable, noise: bool) -> None:
        self._fold = table.fold
        if noise:
            self[MASK] = STAR

    def __missing__(self, char: str) -> int:
        folded = self._fold(char)
        self[char] = 0 if not folded else ord(folded) | ONCE if len(folded) == 1 else -1
        return self[char]


class Automaton:
    """Compiled words. Immutable."""

    def __init__(self, profile: Profile, words: list[Word], matcher: Matcher, trie: Trie, masked: int) -> None:
        """`masked` is how long the shortest mask may be."""
        self.profile = profile
        self.masked = masked if profile.noise else NEVER
        self._masks = re.compile(rf"\*{{{masked},}}")
        self.size = len(words)
        self.counts = {index: word.counts for index, word in enumerate(words) if word.counts}
        """Of the words that need some character more than once."""
        self.needs = _needs(words) if self.counts else {}
        """Symbol of a character (once) → how often some word needs it in a row, where that is more than once."""
        self.table: FoldTable = fold_table(profile.folding, profile.noise)
        self.matcher = matcher
        self.trie = trie
        self.symbols = Symbols(self.table, profile.noise)

    @classmethod
    def build(cls, profile: Profile, words: list[Word], masked: int) -> Self:
        """Compile words, which must differ from one another and not be empty."""
        return cls(profile, words, Matcher([word.chars for word in words]), Trie.build(_symbols(words)), masked)

    def to_bytes(self) -> bytes:
        """What `from_bytes` takes, with its own checksum."""
        body = msgspec.msgpack.encode([FORMAT, self.matcher.serialize(), self.trie.parts()])
        return hashlib.sha256(body).digest() + body

    @classmethod
    def from_bytes(cls, profile: Profile, words: list[Word], masked: int, data: bytes) -> Self | None:
        """The same automaton again; None where the bytes are damaged or of another format."""
        body = data[32:]
        if hashlib.sha256(body).digest() != data[:32]:
            return None
        form, matcher, trie = msgspec.msgpack.decode(body, type=tuple[int, bytes, list[bytes]])
        if form != FORMAT:
            return None
        return cls(profile, words, Matcher.deserialize(matcher), Trie.from_parts(trie), masked)

    def find(self, text: str) -> list[Raw]:
        """Every word in a text, overlapping ones too, by their ends."""
        if self.masked != NEVER and MASK in text:
            text = self._masks.sub(_nothing, text)
        folded, places = self.table.text(text)
        if self.profile.repeat and _TWINS.search(folded):
            return self._find_runs(folded, places)
        found = self.matcher.find_overlapping(folded)
        if not found:
            return []
        if self.counts:
            found = [hit for hit in found if hit[2] not in self.counts]
        if places is None:
            return found
        where = places.tolist()
        pairs = [(where[start], where[end - 1] + 1, word) for start, end, word in found]
        return list(dict.fromkeys(pairs))  # `ß` folds to `ss`: the word `s` is found twice in it, and is one hit

    def _find_runs(self, folded: str, places: Places | None) -> list[Raw]:
        codes = np.frombuffer(folded.encode("utf-32-le"), dtype="<u4")
        starts = np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1])))
        ends = np.append(starts[1:], len(codes))
        found = self.matcher.find_overlapping(codes[starts].tobytes().decode("utf-32-le"))
        if not found:
            return []
        lengths = (ends - starts).tolist()
        first = (starts if places is None else places[starts]).tolist()
        last = (ends - 1 if places is None else places[ends - 1]).tolist()
        pairs = []
        for start, end, word in found:
            counts = self.counts.get(word)
            if counts is None or all(map(int.__ge__, lengths[start:end], counts)):
                pairs.append((first[start], last[end - 1] + 1, word))
        return list(dict.fromkeys(pairs))


def fold_words(profile: Profile, words: Sequence[str]) -> list[Word]:
    """Words as a profile has them; empty where nothing is left of one."""
    table = fold_table(profile.folding, profile.noise)
    folded = table.text(_BETWEEN.join(words))[0].split(_BETWEEN) if len(words) > 1 else []
    if len(folded) != len(words):
        folded = [table.word(word) for word in words]
    if not profile.repeat:
        return [Word(text) for text in folded]
    return [runs(text) if _TWINS.search(text) else Word(text) for text in folded]


def runs(folded: str) -> Word:
    """A folded word with its repeats counted."""
    groups = [(char, sum(1 for _ in group)) for char, group in itertools.groupby(folded)]
    counts = tuple(count for _, count in groups)
    return Word("".join(char for char, _ in groups), counts if max(counts) > 1 else None)


def too_long(word: Word) -> bool:
    """Whether a stream would have to hold too much for it."""
    return len(word.chars) > MAX_WORD or max(word.counts or (1,)) > MAX_WORD


def digest(profile: Profile, words: Iterable[Word]) -> str:
    """The name of compiled words: the same only if they, the profile and the tables are the same."""
    kept = hashlib.sha256(f"{FORMAT} {unicodedata.unidata_version} ".encode() + msgspec.json.encode(profile))
    for word in words:
        kept.update(word.chars.encode("utf-8", "surrogatepass"))
        kept.update(str(word.counts or "").encode() + b"\n")
    return kept.hexdigest()


def _nothing(masks: re.Match[str]) -> str:
    return NOTHING * len(masks[0])


def _needs(words: list[Word]) -> dict[int, int]:
    needs: dict[int, int] = {}
    for word in words:
        for char, count in zip(word.chars, word.counts or (), strict=False):
            if count > 1:
                of = symbol(char, 1)
                needs[of] = max(needs.get(of, 1), count)
    return needs


def _symbols(words: list[Word]) -> tuple[Ints, Ints]:
    lengths = np.array([len(word.chars) for word in words], np.int64)
    joined = "".join(word.chars for word in words)
    symbols = np.frombuffer(joined.encode("utf-32-le"), "<u4").astype(np.int64) | ONCE
    at = (np.cumsum(lengths) - lengths).tolist()
    for index, word in enumerate(words):
        if word.counts:
            pairs = zip(word.chars, word.counts, strict=True)
            symbols[at[index] : at[index] + len(word.chars)] = [symbol(char, count) for char, count in pairs]
    return symbols, lengths
