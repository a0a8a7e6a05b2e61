"""From samples to the rows of a snapshot: what each side of the split is told about a turn."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from feedback.pool import Sample
from feedback.snapshot import HeldoutItem, PreferenceRow, SftRow, SnapshotRows
from feedback.split import Side


def rows_of(sides: Mapping[Side, Sequence[Sample]]) -> SnapshotRows:
    """The rows of a snapshot. A corrected turn also gives a preference: the correction over the reply."""
    return SnapshotRows(
        train=[sft_row(sample) for sample in sides["train"]],
        validation=[sft_row(sample) for sample in sides["validation"]],
        train_preferences=preferences(sides["train"]),
        validation_preferences=preferences(sides["validation"]),
        heldout=[heldout_item(sample) for sample in sides["heldout"]],
    )


def sft_row(sample: Sample) -> SftRow:
    return SftRow(row_id=_row_id("sft", sample), reply=sample.target, source=sample.source, **_trained(sample))


def preferences(samples: Iterable[Sample]) -> list[PreferenceRow]:
    """A row for each correction that differs from the reply, both cleaned, where there was a reply."""
    return [
        PreferenceRow(
            row_id=_row_id("preference", sample), chosen=sample.target, rejected=sample.reply, **_trained(sample)
        )
        for sample in samples
        if sample.source == "correction" and sample.reply and sample.reply != sample.target
    ]


def heldout_item(sample: Sample) -> HeldoutItem:
    return HeldoutItem(
        turn_id=sample.turn_id,
        conversation_id=sample.conversation_id,
        messages=sample.messages,
        reference=sample.target,
        accept=sample.accept,
        judged_by=sample.judged_by,
        version=sample.version,
        reply=sample.reply,
    )


def _trained(sample: Sample) -> dict[str, Any]:
    """What both kinds of training row say."""
    names = ("turn_id", "conversation_id", "messages", "judged_by", "weight", "tokens", "version")
    return {name: getattr(sample, name) for name in names}


def _row_id(kind: str, sample: Sample) -> str:
    """`<kind>-<32 hex digits>` by the content, so that the same row is known again in another snapshot."""
    content = msgspec.json.encode([kind, sample.turn_id, sample.messages, sample.target, sample.reply])
    return f"{kind}-{hashlib.sha256(content).hexdigest()[:32]}"
