"""Logprobs, for those tokens only whose text was shown as the model wrote it.

They name tokens one by one, so they would spell out what the filter hides. A token is told once its bytes are the next
ones of the shown text: what the filter holds back, masks or blocks is never among them, whatever the filter does and
however the upstream cuts its tokens. Alternatives that would be a hit, behind what was shown, are left out.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from service.words.filter import WordFilter

TAIL_BYTES = 400
"""How much of what was shown an alternative is looked at behind; longer than any listed word."""


class Logprobs:
    """The logprobs of one reply. Feed both sides in the order in which they come."""

    def __init__(self, words: WordFilter) -> None:
        self._words = words
        self._waiting: deque[tuple[bytes, dict[str, Any]]] = deque()
        self._shown = bytearray()
        """Shown text whose tokens were not told yet."""
        self._told = bytearray()

    def hear(self, entries: list[Any]) -> None:
        """Take the entries that came with a piece of the reply's text. What has not their shape is left out."""
        for entry in entries:
            if isinstance(entry, dict) and (token := _bytes(entry)):
                self._waiting.append((token, entry))

    def show(self, text: str) -> list[dict[str, Any]]:
        """What may be told now that `text` was shown."""
        self._shown += text.encode("utf-8", "replace")
        told: list[dict[str, Any]] = []
        while self._waiting and self._shown:
            token, entry = self._waiting[0]
            if not self._told:
                token = token.lstrip() or token  # the upstream trims what a reply begins with
            if len(token) > len(self._shown) and token.startswith(self._shown):
                break
            self._waiting.popleft()
            if self._shown.startswith(token):
                told.append(self._clean(entry))
                del self._shown[: len(token)]
                self._told = (self._told + token)[-TAIL_BYTES:]
        return told

    def _clean(self, entry: dict[str, Any]) -> dict[str, Any]:
        found = _of_one(entry)
        if isinstance(given := entry.get("top_logprobs"), list):
            tail = self._told.decode("utf-8", "ignore")
            found["top_logprobs"] = [_of_one(one) for one in given if isinstance(one, dict) and self._fit(tail, one)]
        return found

    def _fit(self, tail: str, alternative: dict[str, Any]) -> bool:
        text = tail + _bytes(alternative).decode("utf-8", "ignore")
        return self._words.check(text, "out").text == text


def _bytes(entry: dict[str, Any]) -> bytes:
    given = entry.get("bytes")
    if isinstance(given, list) and all(isinstance(one, int) and 0 <= one < 256 for one in given):
        return bytes(given)
    token = entry.get("token")
    return token.encode("utf-8", "replace") if isinstance(token, str) else b""


def _of_one(entry: dict[str, Any]) -> dict[str, Any]:
    return {"token": entry.get("token", ""), "logprob": entry.get("logprob", 0.0), "bytes": list(_bytes(entry))}
