"""Alpaca's format: one JSON array of instructions.

    {"instruction": "…", "input": "…", "output": "…", "system": "…", "history": [["…", "…"]]}

`instruction` and `input` are joined by a newline to one prompt, as those who train on it do. Pairs of replies are taken
in both ways that are in use: `chosen` and `rejected`, or an `output` of two texts, the better one first. The output is
the turn; replies in the history stand before it. A turn with a tool's messages can't be written in this format.
"""

from __future__ import annotations

from typing import Any

from feedback.annotations import Tier
from feedback.formats.entries import Entry, Format, InvalidRecord, Judged, Rival, Which, part, text_of
from feedback.turns import Message


def read(record: Any, tier: Tier) -> list[Entry]:
    """One instruction."""
    asked = [text_of(record, "instruction"), part(record, "input", str, "")]
    system: str = part(record, "system", str, "")
    messages = [Message(role="system", content=system)] if system else []
    for pair in part(record, "history", list, []):
        if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(one, str) for one in pair):
            raise InvalidRecord("history holds something else than pairs of texts.", 'Write [["question", "answer"]].')
        messages += [Message(role="user", content=pair[0]), Message(role="assistant", content=pair[1])]
    messages.append(Message(role="user", content="\n".join(one for one in asked if one)))
    better, worse = _replies(record)
    rival = Rival(reply=worse, preferred="first") if worse is not None else None
    return [Entry(messages=messages, reply=better, rival=rival)]


def write(judged: Judged, which: Which) -> list[Any]:
    """The turn as one instruction; none where its history is no row of questions and answers."""
    reply = judged.text(which)
    messages = judged.turn.messages
    system = messages[0].content if messages and messages[0].role in ("system", "developer") else ""
    talk = messages[1:] if system else messages
    roles = [one.role for one in talk]
    if reply is None or not roles or roles != (["user", "assistant"] * len(roles))[: len(roles)] or len(roles) % 2 == 0:
        return []
    pairs = [[talk[at].content, talk[at + 1].content] for at in range(0, len(talk) - 1, 2)]
    found: dict[str, Any] = {"instruction": talk[-1].content, "input": "", "output": reply}
    return [found | ({"system": system} if system else {}) | ({"history": pairs} if pairs else {})]


def _replies(record: Any) -> tuple[str, str | None]:
    """The reply, and a worse one where there is a pair."""
    if isinstance(record.get("output"), list):
        pair = record["output"]
        if len(pair) != 2 or not all(isinstance(one, str) and one.strip() for one in pair):
            raise InvalidRecord(
                "output is a list, but not of two texts.", "The better reply first, then the worse one."
            )
        return pair[0], pair[1]
    if "chosen" in record or "rejected" in record:
        return text_of(record, "chosen"), text_of(record, "rejected")
    return text_of(record, "output"), None


FORMAT = Format(name="alpaca", read=read, write=write, which="good", array=True)
