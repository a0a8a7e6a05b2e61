"""What is shown of a text: hits masked, labelled or replaced, and smuggled tag characters left out.

Works along the text, so that a stream's pieces joined are what the whole text gives. A hit that overlaps an earlier one
takes what the earlier one left.
"""

from __future__ import annotations

import re
from collections import deque

from service.words.automaton import MASK
from service.words.engine import HIDING, Candidate
from service.words.joints import Joints
from service.words.window import Window

BLACK_FLAG = "\U0001f3f4"
LAST_TAG = "\U000e007f"
FLAGS = frozenset(
    "".join(chr(0xE0000 + ord(letter)) for letter in name) + LAST_TAG for name in ("gbeng", "gbsct", "gbwls")
)
"""The tag characters of the flags that are recommended for interchange: England, Scotland, Wales."""
_SEEN = re.compile(f"[\U000e0000-{LAST_TAG}{BLACK_FLAG}]")
LONGEST_FLAG = max(map(len, FLAGS))


class Renderer:
    """Renders one text. `hide` in order of the text, then `show`."""

    def __init__(self, window: Window, drop_hidden: bool, joints: Joints | None) -> None:
        """`joints`: where a mask may look like a part of a word."""
        self._window = window
        self._joints = joints
        self._tags = Tags() if drop_hidden else None
        self._covers: deque[tuple[int, int, str | None]] = deque()
        self._covered = 0
        self._at = 0

    def hide(self, together: list[Candidate]) -> None:
        """Cover hits that begin together; the longest decides what stands there."""
        for hit in sorted(together, key=lambda hit: (-hit.end, hit.order)):
            begin = max(hit.start, self._covered)
            if hit.use.action in HIDING and begin < hit.end:
                self._covers.append((begin, hit.end, hit.use.shown))
                self._covered = hit.end

    def show(self, until: int) -> str:
        """What may be shown of the text up to an index, from where the last call ended."""
        if not self._covers:
            return self._plain(until)
        shown = []
        while self._covers and self._covers[0][0] < until:
            begin, end, text = self._covers[0]
            if self._at <= begin:
                shown.append(self._plain(begin))
                shown.append(self._clean(text or ""))
            stop = min(end, until)
            if text is None:
                shown.append(self._clean(self._mask(stop - self._at)))
            elif self._joints is not None:
                self._joints.part()
            self._at = stop
            self._window.release(stop)
            if stop < end:
                break
            self._covers.popleft()
        shown.append(self._plain(until))
        return "".join(shown)

    def _plain(self, until: int) -> str:
        if until <= self._at:
            return ""
        self._at = until
        text = self._window.release(until)
        if self._joints is not None:
            self._joints.add(text)
        return text if self._tags is None else self._tags.drop(text)

    def _mask(self, length: int) -> str:
        return MASK * length if self._joints is None else self._joints.mask(length, MASK)

    def _clean(self, text: str) -> str:
        return text if self._tags is None else self._tags.drop(text)


class Tags:
    """Leaves out tag characters but those of a flag. The flag's own are let out when the last of them has come."""

    def __init__(self) -> None:
        self._held: str | None = None
        """Tag characters since the black flag; None where there was none."""

    def drop(self, text: str) -> str:
        """The next piece of text without them."""
        if self._held is None and (text.isascii() or _is_small(text) or not _SEEN.search(text)):
            return text
        shown = []
        for char in text:
            if "\U000e0000" <= char <= LAST_TAG:
                shown.append(self._take(char))
            else:
                shown.append(char)
                self._held = "" if char == BLACK_FLAG else None
        return "".join(shown)

    def _take(self, tag: str) -> str:
        if self._held is None:
            return ""
        self._held += tag
        if self._held in FLAGS:
            whole, self._held = self._held, None
            return whole
        if len(self._held) >= LONGEST_FLAG:
            self._held = None
        return ""


def _is_small(text: str) -> bool:
    """Whether no character of a text needs two UTF-16 units, as every tag does; for long texts told faster than by a
    search."""
    return len(text) > 64 and len(text.encode("utf-16-le", "surrogatepass")) == 2 * len(text)
