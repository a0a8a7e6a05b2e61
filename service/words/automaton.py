"""All words that are folded in one way, compiled: found in a whole text by one pass of the matching library.

Words are kept as paths of a trie too, for streams (`walk`). Where repeats fold, neighbouring equal characters are one
character with a count: `asshole` is `a s² h o l e`, and hits wherever every count is at least the word's own.
What is compiled can be kept as bytes and loaded in a fraction of the time.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from typing import Self

import msgspec
import numpy as np
from daachorse import CharwiseDoubleArrayAhoCorasick as Matcher

from service.words.folding import FoldTable, Places, fold_table
from service.words.rules import Direction, Folding
from service.words.trie import ONCE, Ints, Trie, symbol

Raw = tuple[int, int, int]
"""A word found: start and end in the original text, and its number in the automaton."""
MASK = "*"
"""What stands for each character of a word that is masked."""
SHARD = 100_000
"""Words in one automaton of the matching library: one of a million takes four times as long to build as ten, and more
than twice the memory, and is no faster on texts, since it does not fit into any cache."""
SLICE = 10_000
"""Words that are folded in one go: what one step of C holds up others, who are served meanwhile."""
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


class Words(msgspec.Struct, frozen=True):
    """Folded words, none of them twice: their characters, without repeats where those fold."""

    chars: list[str]
    counts: dict[int, tuple[int, ...]]
    """Index → how often each character must stand, of words in which that is not once."""


class Symbols(dict[str, int]):
    """Character → its symbol, once; 0 for one that folds to nothing, -1 for one that folds to several."""

    def __init__(self, table: FoldTable) -> None:
        self._fold = table.fold

    def __missing__(self, char: str) -> int:
        folded = self._fold(char)
        self[char] = 0 if not folded else ord(folded) | ONCE if len(folded) == 1 else -1
        return self[char]


class Automaton:
    """Compiled words. Immutable."""

    def __init__(self, profile: Profile, words: Words, matchers: list[Matcher], trie: Trie) -> None:
        """`matchers` have SHARD words each."""
        self.profile = profile
        self.size = len(words.chars)
        self.counts = words.counts
        masked = [each for each in words.chars if MASK in each]
        self.has_masks = bool(masked)
        """Whether some word has `*` in it, as the mask has."""
        self.opens_with_mask = any(each[0] == MASK for each in masked)
        self.needs = _needs(words)
        """Symbol of a character (once) → how often some word needs it in a row, where that is more than once."""
        self.table: FoldTable = fold_table(profile.folding, profile.noise)
        self.matchers = matchers
        self.trie = trie
        self.symbols = Symbols(self.table)

    @classmethod
    def build(cls, profile: Profile, words: Words) -> Self:
        """Compile words, none of which may be empty."""
        trie = Trie.build(_symbols(words))  # first, as it takes the most memory while it is made
        starts = range(0, len(words.chars), SHARD)
        return cls(profile, words, [Matcher(words.chars[start : start + SHARD]) for start in starts], trie)

    def warm(self) -> None:
        """Make what the first stream and the first long text would otherwise wait for."""
        self.trie.warm()
        self.table.warm()

    def to_bytes(self) -> bytes:
        """What `from_bytes` takes, with its own checksum."""
        body = msgspec.msgpack.encode([FORMAT, [each.serialize() for each in self.matchers], self.trie.parts()])
        return zlib.crc32(body).to_bytes(4, "big") + body

    @classmethod
    def from_bytes(cls, profile: Profile, words: Words, data: bytes) -> Self | None:
        """The same automaton again; None where the bytes are damaged or of another format."""
        body = memoryview(data)[4:]
        if zlib.crc32(body) != int.from_bytes(data[:4], "big"):
            return None
        form, matchers, trie = msgspec.msgpack.decode(body, type=tuple[int, list[bytes], list[bytes]])
        if form != FORMAT:
            return None
        return cls(profile, words, list(map(Matcher.deserialize, matchers)), Trie.from_parts(trie))

    def find(self, text: str) -> list[Raw]:
        """Every word in a text, overlapping ones too, by their ends."""
        folded, places = self.table.text_and_places(text)
        if self.profile.repeat and _TWINS.search(folded):
            return self._find_runs(folded, None if places is None else places())
        found = self._match(folded)
        if not found:
            return []
        if self.counts:
            found = [hit for hit in found if hit[2] not in self.counts]
        if places is None:
            return found
        where = places().data
        pairs = [(where[start], where[end - 1] + 1, word) for start, end, word in found]
        return list(dict.fromkeys(pairs))  # `ß` folds to `ss`: the word `s` is found twice in it, and is one hit

    def _match(self, folded: str) -> list[Raw]:
        found: list[Raw] = self.matchers[0].find_overlapping(folded)
        for number, matcher in enumerate(self.matchers[1:], 1):
            found += [(start, end, word + number * SHARD) for start, end, word in matcher.find_overlapping(folded)]
        return found

    def _find_runs(self, folded: str, places: Places | None) -> list[Raw]:
        codes = np.frombuffer(folded.encode("utf-32-le"), dtype="<u4")
        starts = np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1])))
        ends = np.append(starts[1:], len(codes))
        found = self._match(codes[starts].tobytes().decode("utf-32-le"))
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


def fold_words(profile: Profile, words: Sequence[str]) -> Iterator[tuple[str, tuple[int, ...] | None]]:
    """Words as a profile has them, with their counts if not once each; empty where nothing is left of one."""
    for start in range(0, len(words), SLICE):
        some = words[start : start + SLICE]
        for word, folded in zip(some, _fold_some(profile, some), strict=True):
            if profile.repeat and _TWINS.search(folded):
                yield runs(folded)
            else:
                yield word if word == folded else folded, None


def _fold_some(profile: Profile, words: Sequence[str]) -> list[str]:
    table = fold_table(profile.folding, profile.noise)
    folded = table.text(_BETWEEN.join(words))[0].split(_BETWEEN) if len(words) > 1 else []
    return folded if len(folded) == len(words) else [table.word(word) for word in words]


def runs(folded: str) -> tuple[str, tuple[int, ...] | None]:
    """A folded word with its repeats counted."""
    groups = [(char, sum(1 for _ in group)) for char, group in itertools.groupby(folded)]
    counts = tuple(count for _, count in groups)
    return "".join(char for char, _ in groups), counts if max(counts) > 1 else None


def digest(profile: Profile, words: Words) -> str:
    """The name of compiled words: the same only if they, the profile and the tables are the same."""
    kept = hashlib.sha256(f"{FORMAT} {SHARD} {unicodedata.unidata_version} ".encode() + msgspec.json.encode(profile))
    for start in range(0, len(words.chars), SLICE):
        kept.update("\n".join(words.chars[start : start + SLICE]).encode("utf-8", "surrogatepass"))
    kept.update(repr(words.counts).encode())
    return kept.hexdigest()


def _needs(words: Words) -> dict[int, int]:
    needs: dict[int, int] = {}
    for index, counts in words.counts.items():
        for char, count in zip(words.chars[index], counts, strict=True):
            if count > 1:
                needs[symbol(char, 1)] = max(needs.get(symbol(char, 1), 1), count)
    return needs


def _symbols(words: Words) -> tuple[Ints, Ints]:
    lengths = np.empty(len(words.chars), np.int64)
    pieces = []
    for start in range(0, len(words.chars), SLICE):
        some = words.chars[start : start + SLICE]
        lengths[start : start + SLICE] = np.fromiter(map(len, some), np.int64, len(some))
        pieces.append(np.frombuffer("".join(some).encode("utf-32-le"), "<u4"))
    symbols = np.concatenate(pieces, dtype=np.int64)
    del pieces
    symbols |= ONCE
    ends = np.cumsum(lengths)
    for index, counts in words.counts.items():
        pairs = zip(words.chars[index], counts, strict=True)
        symbols[ends[index] - lengths[index] : ends[index]] = [symbol(char, count) for char, count in pairs]
    return symbols, lengths
