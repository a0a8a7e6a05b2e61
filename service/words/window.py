"""The part of a text that is still being decided on, and what stands just before it.

A whole text is a window that never moves. A stream's window grows by its chunks and loses what was let out; indices are
always those of the original text.
"""

from __future__ import annotations

from service.words.characters import is_invisible, is_wordish


class Window:
    """Characters of the original text from `first` to `end`."""

    def __init__(self, text: str = "") -> None:
        self._chars: list[str] | str = text
        self._skipped = 0
        """Characters at the front that are let out and not yet deleted: deleting is dear, so it is done seldom."""
        self.first = 0
        self.end = len(text)
        self.last_visible = -1
        """Index of the last visible character that was let out; -1 for none."""
        self._wordish_before = False
        self._last = ""

    def append(self, chunk: str) -> None:
        """More text."""
        if isinstance(self._chars, str):
            self._chars = list(self._chars)
        self._chars.extend(chunk)
        self.end += len(chunk)

    def char(self, index: int) -> str:
        """One character of the window."""
        return self._chars[index - self.first + self._skipped]

    def text(self, start: int, end: int) -> str:
        """A part of the window."""
        shift = self._skipped - self.first
        return "".join(self._chars[start + shift : end + shift])

    def before(self, index: int) -> str:
        """The character before an index of the window; empty at the beginning of the text."""
        return self.char(index - 1) if index > self.first else self._last

    def visible_before(self, index: int) -> int:
        """Where the nearest visible character before an index stands; -1 for none."""
        places = range(index - 1, self.first - 1, -1)
        return next((place for place in places if not is_invisible(self.char(place))), self.last_visible)

    def visible_from(self, index: int) -> int | None:
        """Where the nearest visible character from an index on stands; None where the window ends before one."""
        return next((place for place in range(index, self.end) if not is_invisible(self.char(place))), None)

    def wordish(self, index: int) -> bool:
        """Whether a letter or digit stands there that parts words; of those let out, the last visible."""
        return self._wordish_before if index < self.first else is_wordish(self.char(index))

    def release(self, until: int) -> str:
        """Take the text up to an index out of the window."""
        if until <= self.first:
            return ""
        text = self.text(self.first, until)
        self._last = text[-1]
        for back, char in enumerate(reversed(text), 1):
            if not is_invisible(char):
                self.last_visible = until - back
                self._wordish_before = is_wordish(char)
                break
        self._skipped += until - self.first
        self.first = until
        if self._skipped * 2 > len(self._chars):
            self._chars = self._chars[self._skipped :]
            self._skipped = 0
        return text
