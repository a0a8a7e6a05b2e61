"""What tests say that the fake Ollama's next chats are to do: a queue of scripts, each for one chat."""

from __future__ import annotations

import collections
import dataclasses
import re
from typing import Any, Literal

PIECES = re.compile(r"\s*(?:[⺀-鿿＀-￯]|[^\s⺀-鿿＀-￯]+)|\s+")
"""What a text is cut into where a script says it as one: words with the space before them, characters of Chinese."""


@dataclasses.dataclass(frozen=True)
class Script:
    """What the next chat does: say these chunks, then end as told."""

    chunks: tuple[str, ...] | None = None
    then: Literal["end", "break", "stall", "error", "garbage", "lines"] = "end"
    status: int = 200
    error: str = ""
    done_reason: str = "stop"
    lines: tuple[dict[str, Any], ...] = ()


class Scripted:
    """Takes the scripts."""

    def __init__(self) -> None:
        self._scripts: collections.deque[Script] = collections.deque()

    def will_say(self, *chunks: str, done_reason: str = "stop") -> None:
        """The next chat says this; one text is cut into words, several are chunks as they stand."""
        cut = tuple(PIECES.findall(chunks[0])) if len(chunks) == 1 else chunks
        self._scripts.append(Script(cut, done_reason=done_reason))

    def will_break_after(self, *chunks: str) -> None:
        """The next chat says these chunks, then the connection is cut."""
        self._scripts.append(Script(chunks, "break"))

    def will_stall(self, *chunks: str) -> None:
        """The next chat says these chunks (none: not even headers), then nothing until the client leaves."""
        self._scripts.append(Script(chunks, "stall"))

    def will_err_after(self, *chunks: str, error: str = "llama runner process has terminated") -> None:
        """The next chat says these chunks, then an `{"error": …}` line under HTTP 200, as a real one does."""
        self._scripts.append(Script(chunks, "error", error=error))

    def will_garble_after(self, *chunks: str) -> None:
        """The next chat says these chunks, then a line that is not JSON."""
        self._scripts.append(Script(chunks, "garbage"))

    def will_say_lines(self, *lines: dict[str, Any]) -> None:
        """The next chat streams these lines as they stand: tool calls, thinking, odd shapes."""
        self._scripts.append(Script((), "lines", lines=lines))

    def will_fail(self, status: int, error: str) -> None:
        """The next chat is refused with this status and error."""
        self._scripts.append(Script((), status=status, error=error))

    def forget_scripts(self) -> None:
        """Drop what was scripted and not yet asked for."""
        self._scripts.clear()
