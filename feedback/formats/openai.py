"""OpenAI's chat format for fine-tuning, one JSON object a line, and its format for preferences.

    {"messages": [{"role": "user", "content": "…"}, {"role": "assistant", "content": "…", "weight": 1}]}
    {"input": {"messages": […]}, "preferred_output": [{"role": "assistant", "content": "…"}],
     "non_preferred_output": [{"role": "assistant", "content": "…"}]}

Every reply of a conversation is a turn, save those of weight 0. On the way out there is a line for each turn, and the
replies before its own have weight 0: nobody trains on them twice, and reading it back gives the same turns.
"""

from __future__ import annotations

from typing import Any

from feedback.annotations import Tier
from feedback.formats.entries import Entry, Format, InvalidRecord, Judged, Rival, Which, each_reply, message, part
from feedback.turns import Message


def read(record: Any, tier: Tier) -> list[Entry]:
    """A conversation, or a pair of replies."""
    if "input" in record and "preferred_output" in record:
        return [_pair(record)]
    given = part(record, "messages", list, [])
    messages = [message(part(one, "role", str, ""), one.get("content")) for one in _objects(given)]
    teaches = [one.get("weight", 1) != 0 for one in given]
    return [Entry(messages=before, reply=reply) for before, reply in each_reply(messages, teaches)]


def write(judged: Judged, which: Which) -> list[Any]:
    """The turn as one conversation."""
    reply = judged.text(which)
    if reply is None:
        return []
    before = [_plain(one) | ({"weight": 0} if one.role == "assistant" else {}) for one in judged.turn.messages]
    return [{"messages": [*before, {"role": "assistant", "content": reply}]}]


def write_pairs(judged: Judged, which: Which) -> list[Any]:
    """Pairs of a better and a worse reply: a correction before what it mends, and a draft before its rival."""
    turn = judged.turn
    pairs = []
    target = judged.target
    if target is not None and target.strip() != turn.reply.strip():
        pairs.append((target, turn.reply))
    for one in judged.preferences:
        if one.other_reply is not None and one.preference.preferred in ("first", "second"):
            drafts = (turn.reply, one.other_reply)
            pairs.append(drafts if one.preference.preferred == "first" else drafts[::-1])
    return [
        {
            "input": {"messages": [_plain(one) for one in turn.messages], "tools": [], "parallel_tool_calls": True},
            "preferred_output": [{"role": "assistant", "content": better}],
            "non_preferred_output": [{"role": "assistant", "content": worse}],
        }
        for better, worse in dict.fromkeys(pairs)
    ]


def _pair(record: Any) -> Entry:
    given = part(part(record, "input", dict, {}), "messages", list, [])
    messages = [message(part(one, "role", str, ""), one.get("content")) for one in _objects(given)]
    if not any(one.role == "user" for one in messages):
        raise InvalidRecord("input.messages has no user's message.", "A pair needs the prompt that both answer.")
    better, worse = _only(record, "preferred_output"), _only(record, "non_preferred_output")
    return Entry(messages=messages, reply=better, rival=Rival(reply=worse, preferred="first"))


def _only(record: Any, key: str) -> str:
    """The one assistant's message of an output, given alone or in a list."""
    value = record.get(key)
    found = value if isinstance(value, list) else [value]
    said = [message(part(one, "role", str, "assistant"), one.get("content")) for one in _objects(found)]
    if len(said) != 1 or said[0].role != "assistant" or not said[0].content.strip():
        raise InvalidRecord(f"{key} is not one assistant's message.", "Give exactly one, with text.")
    return said[0].content


def _objects(given: list[Any]) -> list[Any]:
    if not all(isinstance(one, dict) for one in given):
        raise InvalidRecord("A message is no object.", 'Write {"role": …, "content": …}.')
    return given


def _plain(one: Message) -> dict[str, Any]:
    return {"role": one.role, "content": one.content}


FORMAT = Format(name="openai", read=read, write=write, which="good", array=False)
PAIRS = Format(name="openai-preferences", read=read, write=write_pairs, which="judged", array=False)
