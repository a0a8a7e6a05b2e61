"""An answer of no, in Ollama's own words: a status and a text, which every route turns into `{"error": text}`.

It is no member of the tree in `feedback.errors`: clients of Ollama know these texts, so they are part of the contract
and not ours to rephrase. Must never carry a person's text beyond the one character that does not parse.
"""

from __future__ import annotations

import json


class Refusal(Exception):
    """Raised anywhere below the routes."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        """The HTTP status, where the answer has not begun yet."""
        self.text = text


def llama_refusal(status: int, kind: str, message: str, **more: int) -> Refusal:
    """A refusal shaped as Ollama passes on llama.cpp's: llama.cpp's error object, as JSON inside the text."""
    error = {"code": status, "message": message, "type": kind} | more
    return Refusal(status, json.dumps({"error": error}, separators=(",", ":")))
