"""How many tokens a text has, in the base model's own tokens.

The tokenizer decides, and it is dear: hundreds of microseconds a text. So a cheap estimate comes first, and the real
count is made only where the estimate lies near a limit. Both are functions of the text and the tokenizer alone, so two
passes over the same rows agree. Without a tokenizer everything is estimated, and `name` says so for the manifest.

What the chat template adds around messages is not counted: it is the learner's, which leaves out what is then too long.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Tokenizer

from feedback.errors import UnknownTokenizer
from feedback.files import sha256_file

ESTIMATE = "estimate"
MARGIN = 2.0
"""How far the estimate may be off, as a factor, before a row lands on the wrong side of a limit. Prose is within a few
per cent; code has about twice as many tokens as the prose that the estimate is tuned on."""

NARROW_RATE, WIDE_RATE = 0.25, 1.0
"""Tokens per character of alphabetic and of Chinese, Japanese or Korean text, where no tokenizer says better."""

_NARROW_SAMPLE = (
    "Thank you for writing. The museum opens at nine in the morning and closes at half past five; on Mondays it stays "
    "shut. You can buy tickets at the door or book them online, and children under twelve don't pay. If you come by "
    "train, take the number 7 bus from the station to the third stop. Please tell us if anything is unclear."
)
_WIDE_SAMPLE = (
    "感谢您的来信。博物馆早上九点开门，下午五点半关门，星期一不开放。您可以在门口购票，也可以在网上预订，十二岁以下的儿童免费。"
    "如果您乘火车来，请从车站坐七路公共汽车，在第三站下车。如果还有什么不清楚的地方，请告诉我们。"
)


class TokenCounter:
    """Counts tokens; immutable, and safe to share between threads."""

    def __init__(self, tokenizer: Tokenizer | None = None, name: str = ESTIMATE) -> None:
        """`name` is the SHA-256 of the tokenizer's file, or "estimate". Truncation and padding are switched off."""
        self.name = name
        self._tokenizer = tokenizer
        self._narrow, self._wide = NARROW_RATE, WIDE_RATE
        if tokenizer is not None:
            tokenizer.no_truncation()  # a tokenizer.json may carry both, and then every long text counts 512
            tokenizer.no_padding()
            self._narrow = self._real(_NARROW_SAMPLE) / len(_NARROW_SAMPLE)
            self._wide = self._real(_WIDE_SAMPLE) / len(_WIDE_SAMPLE)

    @classmethod
    def load(cls, path: Path | None) -> TokenCounter:
        """The counter of a `tokenizer.json`; of none, one that estimates. Raises UnknownTokenizer."""
        if path is None:
            return cls()
        mend = "Name the tokenizer.json of the base model, or leave it out to estimate."
        if not path.is_file():
            raise UnknownTokenizer(f"There is no tokenizer at {path}.", mend)
        try:
            return cls(Tokenizer.from_file(str(path)), sha256_file(path))
        except Exception as error:  # the library raises bare Exception for whatever it can't read
            raise UnknownTokenizer(f"{path} is not a tokenizer: {error}.", mend) from error

    def count(self, texts: Iterable[str]) -> int:
        """Tokens of all texts together, the dear way (estimated where there is no tokenizer)."""
        return sum(map(self._real, texts)) if self._tokenizer is not None else self.estimate(texts)

    def count_between(self, texts: Iterable[str], low: int, high: int) -> int:
        """Tokens of all texts together: exact where the estimate lies near `low` or `high`, or outside by less than
        `MARGIN`; else the estimate."""
        texts = list(texts)
        estimate = self.estimate(texts)
        if low * MARGIN <= estimate <= high / MARGIN or estimate > high * MARGIN:
            return estimate
        return self.count(texts)

    def estimate(self, texts: Iterable[str]) -> int:
        """Tokens of all texts together, from their characters and bytes; within a few per cent on prose."""
        narrow = wide = 0.0
        for text in texts:
            # A Chinese character has two bytes more than one, an accented letter one: it counts as half a wide one.
            beyond = 0 if text.isascii() else (len(text.encode("utf-8", "replace")) - len(text)) / 2
            wide += beyond
            narrow += len(text) - beyond
        return round(max(0.0, narrow) * self._narrow + wide * self._wide)

    def _real(self, text: str) -> int:
        assert self._tokenizer is not None
        return len(self._tokenizer.encode(text, add_special_tokens=False))
