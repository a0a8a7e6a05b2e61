"""A real snapshot of made-up rows: questions by number, answers that can be learnt."""

from __future__ import annotations

from pathlib import Path

from feedback.mint import now
from feedback.settings import PoolSettings
from feedback.snapshot import Origin, Parents, SftRow, SnapshotRows, write_snapshot
from feedback.turns import Message


def tiny_messages(number: int) -> list[Message]:
    return [Message(role="user", content=f"the {number} 你好")]


def tiny_reply(number: int) -> str:
    return f"it is {number * 7 % 13}"


def write_tiny_snapshot(folder: Path, train: int, validation: int) -> Path:
    """Freeze rows under `folder` and return the snapshot's own folder."""

    def row(part: str, number: int) -> SftRow:
        return SftRow(
            row_id=f"sft-{part}-{number}",
            turn_id=f"turn-{part}-{number:04d}",
            conversation_id=f"conversation-{part}-{number}",
            messages=tiny_messages(number),
            reply=tiny_reply(number),
            source="correction",
            judged_by="expert",
            weight=1.0 if number % 3 else 0.5,
            tokens=20,
            version="1.0.0",
        )

    rows = SnapshotRows(
        train=[row("train", number) for number in range(train)],
        validation=[row("validation", number + train) for number in range(validation)],
    )
    parents = Parents(turns=train + validation, ratings=0, annotations=train + validation)
    origin = Origin(created_at=now(), rules=PoolSettings(), tokenizer="estimate", parents=parents)
    return folder / write_snapshot(folder, rows, origin).id
