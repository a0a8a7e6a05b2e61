"""Where a mask must not look like a part of a word, so that a filtered text stays as it is when it is filtered again.

Where a list skips noise, `*` is noise too, since people write `傻*冒`. So `毛x主席` with `x` hidden would be `毛*主席`,
and that hits. To hide it all the first time, a stream would have to hold back all text in front of every word that may
begin. Instead the mask of a word that stands right behind the beginning of another one starts with a letter that looks
like an asterisk: a letter parts what noise does not. It opens no new way round the filter: any letter parts words.
The same holds for words that have `*` in them (`f**k`); where one even begins with it, all of a mask is such letters.
"""

from __future__ import annotations

from collections.abc import Sequence

from service.words.automaton import Automaton
from service.words.characters import is_invisible, is_wordish
from service.words.walk import walk

BARRIER = "\u156f"
"""Canadian syllabics TTH: ᕯ, a letter of a script that does not part words."""
LOOK_BACK = 1_024
"""Characters before a mask that are looked at. A beginning of a word that is longer than that by noise is none."""


class Joints:
    """The text since the last mask, and whether a word may go on over a mask that comes next."""

    def __init__(self, automata: Sequence[Automaton]) -> None:
        """`automata`: those that skip noise or have words with `*`."""
        self._automata = automata
        self._all = any(automaton.masks == "first" for automaton in automata)
        self._pieces: list[str] = []
        self._length = 0

    def add(self, text: str) -> None:
        """Text that is shown as it is."""
        self._pieces.append(text)
        self._length += len(text)
        if self._length > 4 * LOOK_BACK:
            self._keep(self._text())

    def mask(self, length: int, char: str) -> str:
        """What a word of so many characters is masked with that comes next, and all text before it is done with."""
        text = self._text()
        self._keep("")
        if self._all:
            return BARRIER * length
        if text and any(_is_open(automaton, text) for automaton in self._automata):
            return BARRIER + char * (length - 1)
        return char * length

    def part(self) -> None:
        """Something comes next that parts words as letters do."""
        self._keep("")

    def _text(self) -> str:
        return "".join(self._pieces)[-LOOK_BACK:]

    def _keep(self, text: str) -> None:
        self._pieces = [text] if text else []
        self._length = len(text)


def _is_open(automaton: Automaton, text: str) -> bool:
    """Whether a word has begun in a text and goes on. One that goes on over a space must begin where a word does."""
    steps = walk(automaton, 0)
    steps.feed(text, 0, [])
    return any(_starts_a_word(text, start) or not any(map(str.isspace, text[start:])) for start in steps.open_at())


def _starts_a_word(text: str, start: int) -> bool:
    before = next((char for char in reversed(text[:start]) if not is_invisible(char)), "")
    return not (is_wordish(text[start]) and is_wordish(before))
