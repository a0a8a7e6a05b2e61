"""Copies of an erased person's texts outside the store: runs and reports, then snapshots, then the versions' marks.

In this order, for reports for people are found by questions that snapshots hold. Everything may be done again.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from feedback.mint import now
from feedback.redaction import read_manifest, redact, settle, snapshots_in, turns_of
from service.privacy.traces import clear_runs
from service.privacy.versions import mark_versions


class Cleared(msgspec.Struct, frozen=True, kw_only=True):
    """What went; see `feedback.erasure.Erasure`."""

    answers: int
    snapshots: dict[str, int]
    versions: list[str]


def clear_copies(data_dir: Path, turn_ids: set[str], erasure_id: str) -> Cleared:
    """Take these turns out of every copy. Raises SnapshotCorrupt, OSError; then it may be done again."""
    snapshots_dir = data_dir / "snapshots"
    settle(snapshots_dir)
    answers = clear_runs(data_dir, turn_ids)
    for folder in snapshots_in(snapshots_dir):
        redact(folder, turn_ids, erasure_id, now())
    marked = mark_versions(data_dir)
    mine = [name for name, lines in marked.items() if any(one.erasure_id == erasure_id for one in lines)]
    return Cleared(answers=answers, snapshots=_rows_taken(snapshots_dir, erasure_id), versions=mine)


def named_in(data_dir: Path, kind: str, whose: str) -> set[str]:
    """Turns of that conversation, or of that id, that snapshots hold, whether or not the store still does."""
    if kind == "turn":
        return {whose}
    folders = snapshots_in(data_dir / "snapshots")
    return {turn_id for folder in folders for turn_id in turns_of(folder, whose)}


def _rows_taken(snapshots_dir: Path, erasure_id: str) -> dict[str, int]:
    """Snapshot → rows that this erasure took, as the manifests say: also what it took before it was killed."""
    taken = {
        folder.name: sum(
            sum(one.rows.values()) for one in read_manifest(folder).redactions if one.erasure_id == erasure_id
        )
        for folder in snapshots_in(snapshots_dir)
    }
    return {name: rows for name, rows in taken.items() if rows}
