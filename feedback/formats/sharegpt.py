"""ShareGPT's format: one JSON array of conversations.

    {"id": "…", "conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}], "system": "…"}

Every reply of a conversation is a turn. With `chosen` and `rejected` the conversation ends with the prompt, and they
are two replies to it. On the way out there is a conversation for each turn, with what stood before it.
"""

from __future__ import annotations

from typing import Any

from feedback.annotations import Tier
from feedback.formats.entries import (
    Entry,
    Format,
    InvalidRecord,
    Judged,
    Rival,
    Which,
    each_reply,
    message,
    part,
    text_of,
)
from feedback.turns import Message

ROLE_OF = {
    "human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant",
    "bing": "assistant", "bard": "assistant", "model": "assistant", "system": "system", "observation": "tool",
    "tool": "tool", "function_call": "function", "function": "function",
}  # fmt: skip
"""What the format calls them → what we do. A call of a function is the model's, but no reply to a person."""
NAME_OF = {
    "user": "human", "assistant": "gpt", "system": "system", "developer": "system", "tool": "observation",
    "function": "function_call",
}  # fmt: skip


def read(record: Any, tier: Tier) -> list[Entry]:
    """One conversation."""
    given = part(record, "conversations", list, part(record, "conversation", list, []))
    system: str = part(record, "system", str, "")
    messages = [Message(role="system", content=system)] if system else []
    messages += [_message(one) for one in given]
    named = record.get("id")
    record_id = str(named)[:200] if isinstance(named, str | int) else ""
    if "chosen" in record or "rejected" in record:
        if not any(one.role == "user" for one in messages):
            raise InvalidRecord("conversations has no person's message.", "A pair needs the prompt that both answer.")
        better, worse = (text_of(part(record, key, dict, {}), "value") for key in ("chosen", "rejected"))
        rival = Rival(reply=worse, preferred="first")
        return [Entry(messages=messages, reply=better, record_id=record_id, rival=rival)]
    turns = each_reply(messages, [True] * len(messages))
    return [Entry(messages=before, reply=reply, record_id=record_id) for before, reply in turns]


def write(judged: Judged, which: Which) -> list[Any]:
    """The turn as one conversation."""
    reply = judged.text(which)
    if reply is None:
        return []
    messages = judged.turn.messages
    system = messages[0].content if messages and messages[0].role in ("system", "developer") else ""
    talk = messages[1:] if system else messages
    said = [{"from": NAME_OF.get(one.role, "observation"), "value": one.content} for one in talk]
    found = {"id": judged.turn.turn_id, "conversations": [*said, {"from": "gpt", "value": reply}]}
    return [found | ({"system": system} if system else {})]


def _message(one: Any) -> Message:
    named = part(one, "from", str, part(one, "role", str, ""))
    if named not in ROLE_OF:
        raise InvalidRecord("A message is from nobody who is known.", f"Known are {', '.join(ROLE_OF)}.")
    return message(ROLE_OF[named], one.get("value", one.get("content")))


FORMAT = Format(name="sharegpt", read=read, write=write, which="good", array=True)
