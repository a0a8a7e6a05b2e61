"""A trie that is stepped, for streams: after every character it tells what may still become a word.

The matching library finds words in whole texts, but can't be stopped in mid-text. So a stream walks this trie instead:
edges stand in one hash table of numpy arrays, built level by level without a Python step for each word, so that a
million words take seconds and some hundred megabytes, not minutes and gigabytes of dicts.
A symbol is a folded character and how often it must at least be repeated (1 where repeats don't fold).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
ROOT = 0
NODE = 30
"""Bits of a symbol: 21 of code point and 9 of count; nodes stand above them."""
_MIX = 0x9E3779B97F4A7C15
_IN_DICT = 600_000
"""Up to this many edges a dict is used: four times as fast, and some 100 bytes an edge."""
MANY = 511
"""The highest count that a symbol carries."""


ONCE = 1 << 21
"""A symbol's count of one."""


def symbol(char: str, count: int) -> int:
    """A folded character, at least `count` times."""
    return ord(char) | min(count, MANY) << 21


class Edges:
    """A hash table of edges in arrays, for tries whose dict would take too much memory. Has a dict's `get`."""

    def __init__(self, keys: Ints, values: npt.NDArray[Any]) -> None:
        self._keys = keys.data
        self._values = values.data
        self._shift = 65 - len(keys).bit_length()
        self._mask = len(keys) - 1

    def get(self, key: int, default: int) -> int:
        """The step's answer for an edge."""
        place = (key * _MIX & 0xFFFFFFFFFFFFFFFF) >> self._shift
        keys = self._keys
        while (found := keys[place]) != key:
            if found < 0:
                return default
            place = place + 1 & self._mask
        return int(self._values[place])


class Trie:
    """Words as paths. An edge is `node << 30 | symbol`; a step's answer is 0 for no such edge, else
    `node << 2 | ends << 1 | goes_on`."""

    def __init__(self, keys: Ints, values: npt.NDArray[Any], word_at: npt.NDArray[np.int32]) -> None:
        """`keys` is a hash table of edges with open addressing, -1 where empty; `values` has the answers beside."""
        self._keys = keys
        self._values = values
        self.word_at = word_at.data
        """Node → index of the word that ends there, -1 for none."""

    @functools.cached_property
    def edges(self) -> Edges | dict[int, int]:
        """The edges to look up in, whichever way is better for their number. Made for the first stream."""
        filled = np.flatnonzero(self._keys >= 0)
        if len(filled) > _IN_DICT:
            return Edges(self._keys, self._values)
        return _dict(self._keys[filled], self._values[filled])

    @functools.cached_property
    def first(self) -> dict[int, int]:
        """Symbol → the step's answer from the root; the step that nearly every character takes."""
        root = (self._keys >= 0) & (self._keys < 1 << NODE)
        return dict(zip(self._keys[root].tolist(), self._values[root].tolist(), strict=True))

    def warm(self) -> None:
        """Make both now."""
        self.edges.get(0, 0)
        self.first.get(0)

    def step(self, node: int, of: int) -> int:
        """The answer for an edge."""
        return self.edges.get(node << NODE | of, 0)

    @classmethod
    def build(cls, words: Sequence[Sequence[int]] | tuple[Ints, Ints]) -> Self:
        """From words as symbols: lists, or all symbols end to end and each word's length. Words must differ."""
        symbols, lengths = words if isinstance(words, tuple) else _flat(words)
        starts = np.cumsum(lengths) - lengths
        at = np.zeros(len(lengths), np.int64)
        edges: list[Ints] = []
        count = 1
        alive = np.flatnonzero(lengths > 0)
        for depth in range(int(lengths.max()) if len(lengths) else 0):
            unique, which = np.unique(at[alive] << NODE | symbols[starts[alive] + depth], return_inverse=True)
            at[alive] = count + which
            edges.append(unique)
            count += len(unique)
            alive = alive[lengths[alive] > depth + 1]
        word_at = np.full(count, -1, np.int32)
        word_at[at] = np.arange(len(lengths))
        word_at[ROOT] = -1
        del symbols, at, starts, alive
        keys = np.concatenate(edges) if edges else np.zeros(0, np.int64)
        del edges
        # Edges were made in the order of the nodes that they lead to: 1, 2, 3, …
        values = np.arange(1, count, dtype=np.int64) << 2 | (word_at[1:] >= 0) << 1
        goes_on = np.zeros(count, np.bool_)
        goes_on[keys >> NODE] = True
        values |= goes_on[1:]
        return cls._hashed(keys, values, word_at)

    @classmethod
    def _hashed(cls, keys: Ints, values: Ints, word_at: npt.NDArray[np.int32]) -> Self:
        """Lay the edges out as a hash table: all at once, each as far behind its own place as it must."""
        bits = max(4, int(2 * len(keys)).bit_length())
        table = np.full(1 << bits, -1, np.int64)
        beside = np.zeros(1 << bits, np.int64 if len(keys) and values.max() > 0x7FFFFFFF else np.int32)
        places = (keys.astype(np.uint64) * np.uint64(_MIX) >> np.uint64(64 - bits)).astype(np.int64)
        while len(keys):
            free = table[places] == -1
            table[places[free]] = keys[free]  # of several for one place the last stays
            settled = table[places] == keys
            beside[places[settled]] = values[settled]
            left = ~settled
            keys, values, places = keys[left], values[left], places[left] + 1 & (1 << bits) - 1
        return cls(table, beside, word_at)

    def parts(self) -> list[bytes]:
        """What `from_parts` takes."""
        return [self._keys.tobytes(), self._values.dtype.str.encode(), self._values.tobytes(), self.word_at.tobytes()]

    @classmethod
    def from_parts(cls, parts: Sequence[bytes]) -> Self:
        """Without copying."""
        keys, kind, values, word_at = parts
        beside = np.frombuffer(values, np.dtype(kind.decode()))
        return cls(np.frombuffer(keys, np.int64), beside, np.frombuffer(word_at, np.int32))


def _dict(keys: Ints, values: npt.NDArray[Any]) -> dict[int, int]:
    """By slices, so that others are served meanwhile."""
    made: dict[int, int] = {}
    for start in range(0, len(keys), 10_000):
        part = slice(start, start + 10_000)
        made.update(zip(keys[part].tolist(), values[part].tolist(), strict=True))
    return made


def _flat(words: Sequence[Sequence[int]]) -> tuple[Ints, Ints]:
    lengths = np.array([len(word) for word in words], np.int64)
    return np.array([each for word in words for each in word], np.int64), lengths
