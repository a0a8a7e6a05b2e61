"""A small Aho–Corasick automaton over folded characters, stepped one character at a time.

Stepped rather than run over a whole text, because a stream must know after every character how much of what it has
seen could still become a hit: `held[state]` says so, and it is exact.
"""

from __future__ import annotations

import collections
import functools
import unicodedata
from collections.abc import Iterable


@functools.lru_cache(maxsize=65_536)
def fold(character: str) -> str:
    """One character without its case and width; may be several (`ß` → `ss`), never none."""
    if "\uff00" <= character <= "\uffef" or character == "\u3000":
        character = unicodedata.normalize("NFKC", character)
    return character.casefold()


class Automaton:
    """All words at once. `next` steps; `ends[state]` are the (index, length) of the words that end there."""

    def __init__(self, words: Iterable[str]) -> None:
        """Build from folded words. O(total characters)."""
        self._children: list[dict[str, int]] = [{}]
        self._fail = [0]
        self.ends: list[list[tuple[int, int]]] = [[]]
        self.held = [0]
        """State → how many of the last folded characters could still begin or continue a hit."""
        depth = [0]
        for index, word in enumerate(words):
            state = 0
            for character in word:
                following = self._children[state].get(character)
                if following is None:
                    following = self._children[state][character] = len(self._children)
                    self._children.append({})
                    self._fail.append(0)
                    self.ends.append([])
                    self.held.append(0)
                    depth.append(depth[state] + 1)
                state = following
            self.ends[state].append((index, len(word)))
        self._link(depth)

    def _link(self, depth: list[int]) -> None:
        """Breadth first, so that a state's fail link is finished before the state is."""
        queue = collections.deque(self._children[0].values())
        for state in queue:
            self.held[state] = depth[state] if self._children[state] else 0
        while queue:
            state = queue.popleft()
            for character, child in self._children[state].items():
                fail = self.next(self._fail[state], character)
                self._fail[child] = fail
                self.ends[child] = self.ends[child] + self.ends[fail]
                # A word's last state with nothing after it holds only what a shorter suffix of it may still become.
                self.held[child] = depth[child] if self._children[child] else self.held[fail]
                queue.append(child)

    def next(self, state: int, character: str) -> int:
        """The state after one more folded character."""
        children = self._children
        while True:
            following = children[state].get(character)
            if following is not None:
                return following
            if state == 0:
                return 0
            state = self._fail[state]
