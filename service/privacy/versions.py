"""Versions whose training data lost rows to an erasure: marked beside their manifest, which never changes.

What a model learnt can't be taken out of its weights; the mark tells the operator which versions that is, and how much.
Found from the snapshots' own redactions, so that a version which a cycle registers after the erasure is marked as well:
the gateway looks once a day. Reads no Parquet, and so needs no pyarrow, which costs the gateway its memory.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec

from feedback.files import append_line, drop_cut_line
from learner.records import ERASED_FILE, ErasedTraining, VersionManifest, erased_trainings, read_erased

HELDOUT = "heldout.parquet"
"""Asked in evaluation, never trained on."""


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """What matters here of `feedback.snapshot.Redaction`."""

    erasure_id: str
    at: dt.datetime
    rows: dict[str, int]


class Redacted(msgspec.Struct, frozen=True, kw_only=True):
    """What matters here of a snapshot's manifest."""

    redactions: list[Lost] = []


def mark_versions(data_dir: Path) -> dict[str, list[ErasedTraining]]:
    """Mark every version whose snapshot lost rows that it was trained on; gives all marks there are, by
    `<model>:<version>`. May be done again and again."""
    lost = {
        file.parent.name: msgspec.json.decode(file.read_bytes(), type=Redacted).redactions
        for file in data_dir.glob("snapshots/snapshot-*/manifest.json")
    }
    for file in data_dir.glob("registry/*/*/manifest.json"):
        snapshot = msgspec.json.decode(file.read_bytes(), type=VersionManifest).snapshot
        if snapshot is not None:
            _mark(file.parent, snapshot, lost.get(snapshot, []))
    return erased_trainings(data_dir / "registry")


def _mark(version_dir: Path, snapshot: str, redactions: list[Lost]) -> None:
    known = {(line.erasure_id, line.snapshot) for line in read_erased(version_dir)}
    for redaction in redactions:
        rows = sum(count for name, count in redaction.rows.items() if name != HELDOUT)
        if not rows or (redaction.erasure_id, snapshot) in known:
            continue
        line = ErasedTraining(erasure_id=redaction.erasure_id, at=redaction.at, snapshot=snapshot, rows=rows)
        drop_cut_line(version_dir / ERASED_FILE)
        append_line(version_dir / ERASED_FILE, msgspec.json.encode(line))
