"""Regular expressions and detectors, in texts and in streams, in linear time.

A match counts if it is at most MAX_PATTERN_SPAN characters long; of several at one place it is RE2's, and the next one
begins after it. With that, and with `prefixes`, a stream knows for each place whether a match may still begin there,
and finds exactly what is found in the whole text. Patterns see a text of the same length as the original, so that
spans are those of the original.
"""

from __future__ import annotations

import functools
import unicodedata
from collections.abc import Callable
from typing import Literal

import re2

from feedback.errors import InvalidWords
from service.words.automaton import Raw
from service.words.prefixes import beginnings
from service.words.rules import MAX_PATTERN_SPAN
from service.words.window import Window

Seen = Literal["written", "width", "digits"]
"""What of a text a pattern sees: as it is; full-width letters and digits as plain ones; other forms of digits too."""
Narrow = Callable[[str, int, int], list[tuple[int, int]]]
"""Text, start and end of a match → the spans in it that count."""
BLOCK = 8_192
"""Characters of a long text that are looked at in one go."""
_SIGNS = "＠．：／－＿＋"


class Pattern:
    """One regular expression with what narrows its matches down."""

    def __init__(self, text: str, *, seen: Seen = "written", fold_case: bool = False, narrow: Narrow | None = None):
        """Raises InvalidWords for what is no RE2."""
        self.seen = seen
        plain = text.translate(_view(seen)) if seen != "written" else text
        self.text = f"(?i:{plain})" if fold_case else plain
        self.beginnings = beginnings(self.text)
        self.narrow = narrow
        try:
            self._compiled = _compile(self.text)
        except re2.error as error:
            reason = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error)
            raise InvalidWords(f"{reason}.", "Write the pattern in RE2's syntax (no look-around).") from error

    def search(self, text: str, start: int, limit: int) -> list[tuple[int, int]]:
        """Matches in a text that begin from `start` on and before `limit`."""
        found = []
        while start < limit:
            match = self._compiled.search(text, start)
            if match is None or match.start() >= limit:
                break
            begin, end = match.span()
            if end - begin > MAX_PATTERN_SPAN:
                match = self._compiled.match(text, begin, begin + MAX_PATTERN_SPAN)
                end = match.end() if match else begin
            if end > begin:
                found.append((begin, end))
            start = max(end, begin + 1)
        return found


class PatternGroup:
    """The patterns that see a text alike. Immutable."""

    def __init__(self, seen: Seen, patterns: list[Pattern], first: int) -> None:
        """`first` is the number of the first of them among everything that an engine finds."""
        self.seen = seen
        self.patterns = patterns
        self.first = first
        self.any = _compile("|".join(f"(?:{pattern.text})" for pattern in patterns))
        self.open = _compile("(?:" + "|".join(f"(?:{pattern.beginnings})" for pattern in patterns) + r")\z")

    def walk(self) -> PatternWalk:
        """For one text."""
        return PatternWalk(self)


class PatternWalk:
    """The patterns of a group, along one text."""

    def __init__(self, group: PatternGroup) -> None:
        self._group = group
        self._at = 0
        """Whether a match begins is decided for all places before this one."""
        self._next = [0] * len(group.patterns)
        """Where each pattern's next match may begin."""

    def held_from(self) -> int:
        """From where on a match may still begin; the end of the text for nowhere."""
        return self._at

    def find(self, window: Window, *, ended: bool) -> list[Raw]:
        """What is now certain to match."""
        raws: list[Raw] = []
        while self._at < window.end:
            until = min(window.end, self._at + BLOCK + MAX_PATTERN_SPAN + 1)
            before = window.before(self._at)
            text = (before + window.text(self._at, until)).translate(_view(self._group.seen))
            shift = self._at - len(before)
            limit = until if ended or until < window.end else self._open(text, len(before)) + shift
            limit = min(limit, self._at + BLOCK) if until < window.end else limit
            raws += self._search(text, shift, limit)
            if limit == self._at:
                break
            self._at = limit
        return raws

    def _open(self, text: str, start: int) -> int:
        """The first place in a text at which a match may begin that needs more text than there is."""
        start = max(start, len(text) - MAX_PATTERN_SPAN)
        match = self._group.open.search(text, start)
        return len(text) if match is None else int(match.start())

    def _search(self, text: str, shift: int, limit: int) -> list[Raw]:
        raws: list[Raw] = []
        match = self._group.any.search(text, self._at - shift)
        if match is None or match.start() + shift >= limit:
            return raws
        for number, pattern in enumerate(self._group.patterns):
            start = max(self._at, self._next[number])
            for begin, end in pattern.search(text, start - shift, limit - shift):
                self._next[number] = end + shift
                spans = [(begin, end)] if pattern.narrow is None else pattern.narrow(text, begin, end)
                raws += [(low + shift, high + shift, self._group.first + number) for low, high in spans]
        return raws


class _View(dict[int, str]):
    """What a pattern sees of a character: always one. Filled as characters turn up."""

    def __init__(self, seen: Seen) -> None:
        self._seen = seen

    def __missing__(self, code: int) -> str:
        char = chr(code)
        if 0xD800 <= code <= 0xDFFF:
            self[code] = "\uffff"
            return self[code]
        plain = char
        if self._seen != "written" and (0xFF01 <= code <= 0xFF5E) and (char.isalnum() or char in _SIGNS):
            plain = unicodedata.normalize("NFKC", char)
        if self._seen == "digits":
            from service.words.characters import digit_of

            plain = digit_of(plain)
        self[code] = plain if len(plain) == 1 else char
        return self[code]


@functools.lru_cache(maxsize=3)
def _view(seen: Seen) -> _View:
    return _View(seen)


def _compile(text: str) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False
    options.max_mem = 64 << 20
    return re2.compile(text, options)
