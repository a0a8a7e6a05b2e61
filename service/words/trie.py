"""A trie that is stepped, for streams: after every character it tells what may still become a word.

The matching library finds words in whole texts, but can't be stopped in mid-text. So a stream walks this trie instead:
edges stand in one hash table of numpy arrays, built level by level without a Python step for each word, so that a
million words take seconds and some hundred megabytes, not minutes and gigabytes of dicts.
A symbol is a folded character and how often it must at least be repeated (1 where repeats don't fold).
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Ints32 = npt.NDArray[np.int32]
ROOT = 0
NODE = 30
"""Bits of a symbol: 21 of code point and 9 of count; nodes stand above them."""
_MIX = 0x9E3779B97F4A7C15
_IN_DICT = 600_000
"""Up to this many edges a dict is used: four times as fast, and some 100 bytes an edge."""
MANY = 511
"""The highest count that a symbol carries."""
_AT_ONCE = 10_000
"""Edges that are looked at or put in a dict in one go: others are served meanwhile."""
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


class Numbers(NamedTuple):
    """Words are numbered as they come; the same word again has the number that it has."""

    first: Ints32
    """Number → the place at which it came first; ascending."""
    again: Ints32
    """Numbers of the words that came again, ascending; for each time once."""
    again_at: Ints32
    """And at which place."""


class Trie:
    """Words as paths. An edge is `node << 30 | symbol`; a step's answer is 0 for no such edge, else
    `node << 2 | ends << 1 | goes_on`."""

    def __init__(self, keys: Ints, values: npt.NDArray[Any], word_at: Ints32, roots: Ints) -> None:
        """`keys` is a hash table of edges with open addressing, -1 where empty; `values` has the answers beside.
        `roots`: the symbols of the edges that leave the root, and below them the answers."""
        self.keys = keys
        self.values = values
        self.nodes = word_at
        self.roots = roots
        self.word_at = word_at.data
        """Node → number of the word that ends there, -1 for none."""

    @functools.cached_property
    def edges(self) -> Edges | dict[int, int]:
        """The edges to look up in, whichever way is better for their number. Made for the first stream."""
        if len(self.nodes) > _IN_DICT:
            return Edges(self.keys, self.values)
        filled = np.flatnonzero(self.keys >= 0)
        return _dict(self.keys[filled], self.values[filled])

    @functools.cached_property
    def first(self) -> dict[int, int]:
        """Symbol → the step's answer from the root; the step that nearly every character takes."""
        return _dict(*self.roots)

    def step(self, node: int, of: int) -> int:
        """The answer for an edge."""
        return self.edges.get(node << NODE | of, 0)

    @classmethod
    def build(cls, symbols: Ints32, lengths: Ints32) -> tuple[Self, Numbers]:
        """From words as symbols: all end to end, and each word's length, which is not 0."""
        starts = np.cumsum(lengths, dtype=np.int32) - lengths
        at = np.zeros(len(lengths), np.int64)
        edges: list[Ints] = []
        count = 1
        alive = np.arange(len(lengths), dtype=np.int32)
        for depth in range(int(lengths.max(initial=0))):
            unique, which = np.unique(at[alive] << NODE | symbols[starts[alive] + depth], return_inverse=True)
            at[alive] = count + which
            edges.append(unique)
            count += len(unique)
            alive = alive[lengths[alive] > depth + 1]
        del symbols, starts, alive
        word_at, numbers = _numbered(at, count)
        del at
        keys = np.concatenate(edges) if edges else np.zeros(0, np.int64)
        values = _answers(keys, word_at)
        several = len(edges[0]) if edges else 0  # the root's come first, and the root is 0
        del edges
        return cls(*_hashed(keys, values), word_at, np.stack((keys[:several], values[:several]))), numbers


def _numbered(at: Ints, count: int) -> tuple[Ints32, Numbers]:
    """Node → number, and the numbers, of words that end at these nodes."""
    places = np.arange(len(at), dtype=np.int32)
    first_at = np.full(count, -1, np.int32)
    first_at[at[::-1]] = places[::-1]  # of several for one node the last stays: here the word that came first
    firsts = first_at[at]
    is_first = firsts == places
    number = np.cumsum(is_first, dtype=np.int32) - np.int32(1)
    word_at = np.where(first_at >= 0, number[first_at], np.int32(-1))
    again_at = np.flatnonzero(~is_first).astype(np.int32)
    again = number[firsts[again_at]]
    order = np.argsort(again, kind="stable")
    return word_at, Numbers(np.flatnonzero(is_first).astype(np.int32), again[order], again_at[order])


def _answers(keys: Ints, word_at: Ints32) -> Ints:
    """Each edge's. They were made in the order of the nodes that they lead to: 1, 2, 3, …"""
    values = np.arange(1, len(word_at), dtype=np.int64) << 2 | (word_at[1:] >= 0) << 1
    goes_on = np.zeros(len(word_at), np.bool_)
    goes_on[keys >> NODE] = True
    values |= goes_on[1:]
    return values


def _hashed(keys: Ints, values: Ints) -> tuple[Ints, npt.NDArray[Any]]:
    """Edges as a hash table: all at once, each as far behind its own place as it must."""
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
    return table, beside


def _dict(keys: Ints, values: npt.NDArray[Any]) -> dict[int, int]:
    """By slices, so that others are served meanwhile."""
    made: dict[int, int] = {}
    for start in range(0, len(keys), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        made.update(zip(keys[part].tolist(), values[part].tolist(), strict=True))
    return made
