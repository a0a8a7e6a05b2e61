"""General data mixed into the training rows, so that learning something new forgets less of the old.

The rows in `replay.jsonl` are our own, under the project's licence: short, right, and about other things than the
retention suite asks, which would else measure what was just trained on. Drawn by the seed alone.
"""

from __future__ import annotations

import random
from importlib import resources

import msgspec

from feedback.turns import Message
from learner.tokens import Sample


class ReplayRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of replay.jsonl."""

    area: str
    """What it is about: geography, science, how-to, …"""
    messages: list[Message]
    """A conversation that ends with the assistant's reply, which is what is learnt."""


def replay_rows() -> list[ReplayRow]:
    """All general rows, in their order in the file."""
    text = (resources.files("learner") / "replay.jsonl").read_bytes()
    return [msgspec.json.decode(line, type=ReplayRow) for line in text.splitlines()]


def replay_samples(rows: int, share: float, seed: int) -> list[Sample]:
    """As many general samples as make up `share` (0 to 0.9) of the training rows beside `rows` others.

    No row comes twice before all have come once.
    """
    if not 0 <= share <= 0.9:
        raise ValueError(f"replay_share is {share}, outside 0 to 0.9")
    wanted, drawn, number = round(rows * share / (1 - share)), replay_rows(), random.Random(seed)
    chosen: list[ReplayRow] = []
    while len(chosen) < wanted:
        number.shuffle(drawn)
        chosen += drawn[: wanted - len(chosen)]
    return [
        Sample(row_id=f"replay-{index}", messages=row.messages[:-1], reply=row.messages[-1].content)
        for index, row in enumerate(chosen)
    ]
