"""The part of a text that is still being decided on, and what stands just before it.

A whole text is a window that never moves. A stream's window grows by its chunks and loses what was let out; indices are
always those of the original text.
"""

from __future__ import annotations

from service.words.characters import is_invisible, is_wordish

LONG = 4_096
"""Up to about this many characters a string is kept, and beyond it a list, in which more text costs no copy."""


class Window:
    """Characters of the original text from `first` to `end`."""

    def __init__(self, text: str = "") -> None:
        self._chars: list[str] | str = text
        self._skipped = 0
        """Characters at the front of a list that are let out and not yet deleted: that is dear, so done seldom."""
        self.first = 0
        self.end = len(text)
        self.last_visible = -1
        """Index of the last visible character that was let out; -1 for none."""
        self._visible = ""
        self._last = ""

    def append(self, chunk: str) -> None:
        """More text."""
        self.end += len(chunk)
        if isinstance(self._chars, str):
            if len(self._chars) < LONG:
                self._chars += chunk
                return
            self._chars = list(self._chars)
        self._chars.extend(chunk)

    def char(self, index: int) -> str:
        """One character of the window."""
        return self._chars[index - self.first + self._skipped]

    def text(self, start: int, end: int) -> str:
        """A part of the window."""
        shift = self._skipped - self.first
        part = self._chars[start + shift : end + shift]
        return part if isinstance(part, str) else "".join(part)

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
        return is_wordish(self._visible if index < self.first else self.char(index))

    def release(self, until: int) -> str:
        """Take the text up to an index out of the window."""
        if until <= self.first:
            return ""
        chars, length = self._chars, until - self.first
        text = chars[:length] if isinstance(chars, str) else self.text(self.first, until)
        self._last = last = text[-1]
        if is_invisible(last):
            self._look_back(text, until)
        else:
            self.last_visible = until - 1
            self._visible = last
        if isinstance(chars, str):
            self._chars = chars[length:]
            self.first = until
            return text
        self._skipped += until - self.first
        self.first = until
        if self._skipped * 2 > len(self._chars):
            self._chars = self._chars[self._skipped :]
            self._skipped = 0
            if len(self._chars) < LONG // 2:
                self._chars = "".join(self._chars)
        return text

    def _look_back(self, text: str, until: int) -> None:
        for back, char in enumerate(reversed(text), 1):
            if not is_invisible(char):
                self.last_visible = until - back
                self._visible = char
                return
