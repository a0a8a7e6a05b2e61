"""Taking rows out of a snapshot, so that it stays whole, verifiable and traceable.

A redacted copy is made beside the snapshot: files that lose rows are written anew (Parquet's own statistics hold text
too), the others are linked, the manifest comes last and keeps the former hashes in `redactions`. Then the copy takes
the snapshot's place by two renames. Killed anywhere, `settle` finds one of the two whole and puts it there.

Must never: leave a snapshot that its manifest does not describe; be run while a cycle reads the snapshot.
"""

from __future__ import annotations

import datetime as dt
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from feedback.errors import SnapshotCorrupt
from feedback.files import replace_file, sha256_file, sync_folder
from feedback.snapshot import MANIFEST, FrozenFile, Redaction, SnapshotManifest

REDACTED, FORMER = ".redacted-", ".former-"
"""Prefixes of the copy that is made and of the folder that it replaces. Not those that a freeze sweeps away."""
HELDOUT = "heldout.parquet"


def settle(snapshots_dir: Path) -> None:
    """Finish or undo what a kill left behind of a redaction, whichever keeps one whole snapshot; and sweep what it left
    of a freeze. Nobody may be freezing."""
    for copy in snapshots_dir.glob(f"{REDACTED}*"):
        snapshot = snapshots_dir / copy.name.removeprefix(REDACTED)
        if not snapshot.exists() and (copy / MANIFEST).exists():
            os.rename(copy, snapshot)
            sync_folder(snapshots_dir)
        else:
            shutil.rmtree(copy)
    for part in snapshots_dir.glob(".snapshot-*.part"):
        shutil.rmtree(part)  # of a freeze that was killed: it holds rows, too
    for former in snapshots_dir.glob(f"{FORMER}*"):
        snapshot = snapshots_dir / former.name.removeprefix(FORMER)
        if snapshot.exists():
            shutil.rmtree(former)
        else:
            os.rename(former, snapshot)


def snapshots_in(snapshots_dir: Path) -> Iterator[Path]:
    """The folders of whole snapshots, oldest name first."""
    for manifest in sorted(snapshots_dir.glob(f"*/{MANIFEST}")):
        if not manifest.parent.name.startswith("."):
            yield manifest.parent


def read_manifest(folder: Path) -> SnapshotManifest:
    """A snapshot's manifest. Raises SnapshotCorrupt."""
    try:
        return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=SnapshotManifest)
    except (OSError, msgspec.DecodeError) as error:
        raise SnapshotCorrupt(
            f"{folder / MANIFEST} can't be read ({type(error).__name__}).", "Delete the folder, then erase again."
        ) from error


def heldout_prompts(folder: Path, turn_ids: set[str]) -> set[str]:
    """The questions of these turns among the held-out ones: reports quote them. Each one's last message."""
    path = folder / HELDOUT
    if not path.exists():
        return set()
    rows = pq.ParquetFile(path).read(columns=["turn_id", "messages"]).to_pylist()
    return {
        next((one["content"] for one in reversed(row["messages"]) if one["role"] == "user"), "")
        for row in rows
        if row["turn_id"] in turn_ids
    } - {""}


def turns_of(folder: Path, conversation_id: str) -> set[str]:
    """Ids of the turns of a conversation that a snapshot holds."""
    found: set[str] = set()
    for file in folder.glob("*.parquet"):
        rows = pq.ParquetFile(file).read(columns=["turn_id", "conversation_id"]).to_pydict()
        pairs = zip(rows["turn_id"], rows["conversation_id"], strict=True)
        found |= {turn_id for turn_id, conversation in pairs if conversation == conversation_id}
    return found


def redact(folder: Path, turn_ids: set[str], erasure_id: str, at: dt.datetime) -> int:
    """Take the rows of these turns out; gives how many there were, 0 where the snapshot holds none and stays as it is.

    Raises SnapshotCorrupt where the manifest can't be read, OSError where the disk refuses.
    """
    manifest = read_manifest(folder)
    values = pa.array(sorted(turn_ids), pa.string())
    found = {name: count for name in manifest.files if (count := _count(folder / name, values))}
    if not found:
        return 0
    copy = folder.with_name(f"{REDACTED}{folder.name}")
    copy.mkdir()
    copy.chmod(0o755)
    files = dict(manifest.files)
    for name in manifest.files:
        if name in found:
            files[name] = _write_without(folder / name, copy / name, values)
        else:
            os.link(folder / name, copy / name)
    redaction = Redaction(
        erasure_id=erasure_id, at=at, rows=found, files={name: manifest.files[name] for name in found}
    )
    changed = msgspec.structs.replace(manifest, files=files, redactions=[*manifest.redactions, redaction])
    replace_file(copy / MANIFEST, msgspec.json.format(msgspec.json.encode(changed), indent=2))
    former = folder.with_name(f"{FORMER}{folder.name}")
    os.rename(folder, former)
    os.rename(copy, folder)
    sync_folder(folder.parent)
    shutil.rmtree(former)
    return sum(found.values())


def _count(path: Path, turn_ids: pa.Array) -> int:
    if not path.exists():
        return 0
    held = pq.ParquetFile(path).read(columns=["turn_id"])["turn_id"]
    return int(pc.sum(pc.is_in(held, value_set=turn_ids)).as_py() or 0)


def _write_without(source: Path, target: Path, turn_ids: pa.Array) -> FrozenFile:
    """The file without these turns, batch by batch, in the schema and compression that `feedback.snapshot` writes."""
    rows = 0
    with pq.ParquetFile(source) as old, target.open("wb") as file:
        with pq.ParquetWriter(file, old.schema_arrow, compression="zstd") as writer:
            for batch in old.iter_batches():
                kept = batch.filter(pc.invert(pc.is_in(batch["turn_id"], value_set=turn_ids)))
                if kept.num_rows:
                    writer.write_batch(kept)
                    rows += kept.num_rows
        file.flush()
        os.fsync(file.fileno())
    return FrozenFile(sha256=sha256_file(target), rows=rows)
