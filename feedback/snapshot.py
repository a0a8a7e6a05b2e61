"""A snapshot: a frozen pool, Parquet files and a manifest in a folder. The format only: the learner may read it.

    snapshots/<id>/
      sft-train.parquet  sft-validation.parquet                 prompt and the reply to learn
      preference-train.parquet  preference-validation.parquet   prompt, the correction, the reply that it mends
      heldout.parquet                                           questions that are asked in evaluation, never trained on
      manifest.json                                             written last, with every file's hash

Plain Parquet with lists of structs, for pandas, datasets, Ray or DuckDB to read without this code. The id is a hash of
rows, rules and tokenizer: the same content is the same snapshot, whenever and in whatever order it came to be. The
folder is written under another name and renamed, so half a snapshot is never seen. Must never import DuckDB, must never
be changed once there, but for one reason: an erasure takes a person's rows out (`feedback.redaction`), and the manifest
then says so. Its id stays, which versions are traced by; it is the hash of what the snapshot held at first.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from feedback.errors import SnapshotCorrupt, UnknownSnapshot
from feedback.files import replace_file, sha256_file, sync_folder
from feedback.judgement import Judge, Source
from feedback.quality.standing import TrustUsed
from feedback.settings import PoolSettings
from feedback.turns import Message

FORMAT = 1
MANIFEST = "manifest.json"
Part = Literal["train", "validation"]


class SftRow(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt and the reply to learn."""

    row_id: str
    turn_id: str
    conversation_id: str
    messages: list[Message]
    """The prompt with its history, oldest first, ending with the user's message; the reply is not in it."""
    reply: str
    """The text to learn."""
    source: Source
    """Whether that is the model's own reply or a correction of it."""
    judged_by: Judge
    weight: float
    """How much the row counts in training, 0 to 1; see `feedback.judgement.WEIGHTS`."""
    tokens: int
    """Prompt and reply in the base model's tokens, without the chat template; estimated far from the pool's limits."""
    version: str
    """The version whose reply was judged."""


class PreferenceRow(msgspec.Struct, frozen=True, kw_only=True):
    """A prompt, the correction that somebody wrote, and the model's reply that it mends."""

    row_id: str
    turn_id: str
    conversation_id: str
    messages: list[Message]
    chosen: str
    rejected: str
    judged_by: Judge
    weight: float
    tokens: int
    """Prompt and chosen reply, as in SftRow."""
    version: str


class HeldoutItem(msgspec.Struct, frozen=True, kw_only=True):
    """A question for evaluation. A trained person judged it; users' ratings alone make none."""

    turn_id: str
    conversation_id: str
    messages: list[Message]
    reference: str
    """A right reply: what the annotation let stand or wrote."""
    accept: list[str]
    """Phrases of which a right reply holds at least one; may be empty."""
    judged_by: Judge
    version: str
    reply: str
    """What the model said then."""


class SnapshotRows(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a snapshot holds."""

    train: list[SftRow] = []
    validation: list[SftRow] = []
    train_preferences: list[PreferenceRow] = []
    validation_preferences: list[PreferenceRow] = []
    heldout: list[HeldoutItem] = []


class StepCount(msgspec.Struct, frozen=True, kw_only=True):
    """One step on the way from turns to rows."""

    step: str
    rows_in: int
    rows_out: int
    reasons: dict[str, int]
    """How often each reason was given. A turn that is out may have several; cleaning counts the spots it mended."""


class Parents(msgspec.Struct, frozen=True, kw_only=True):
    """What the pool held when it was frozen; each row names its own turn."""

    turns: int
    ratings: int
    annotations: int
    first_turn_id: str = ""
    last_turn_id: str = ""


class FrozenFile(msgspec.Struct, frozen=True, kw_only=True):
    sha256: str
    rows: int


class Redaction(msgspec.Struct, frozen=True, kw_only=True):
    """That rows were taken out of a snapshot, after it was frozen."""

    erasure_id: str
    at: dt.datetime
    rows: dict[str, int]
    """File → rows that were taken out of it; only files that lost some."""
    files: dict[str, FrozenFile]
    """Each of these files as it was before: by its hash a version that was trained on it can still be traced."""


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """How a snapshot came to be: the manifest's part that its rows don't tell."""

    created_at: dt.datetime
    rules: PoolSettings
    tokenizer: str
    """SHA-256 of the tokenizer.json that counted the tokens, or "estimate"."""
    base_model: str = ""
    """What the rows are meant for, as the caller names it."""
    steps: list[StepCount] = []
    parents: Parents
    trust: TrustUsed | None = None


class SnapshotManifest(msgspec.Struct, frozen=True, kw_only=True):
    """`manifest.json`."""

    format: int = FORMAT
    id: str
    created_at: dt.datetime
    rules: dict[str, Any]
    """Table [pool] as it was; plain values, so that a setting that is given up later leaves old snapshots readable."""
    tokenizer: str
    base_model: str
    steps: list[StepCount]
    parents: Parents
    files: dict[str, FrozenFile]
    trust: TrustUsed | None = None
    """How raters were weighed; none: by a release that weighed them all alike."""
    redactions: list[Redaction] = []
    """What erasures took out, oldest first."""


_MESSAGES = ("messages", pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())])))
_NAMED = [(name, pa.string()) for name in ("row_id", "turn_id", "conversation_id")]
_WEIGHED = [("judged_by", pa.string()), ("weight", pa.float64()), ("tokens", pa.int64()), ("version", pa.string())]
_SCHEMAS = {
    SftRow: pa.schema([*_NAMED, _MESSAGES, ("reply", pa.string()), ("source", pa.string()), *_WEIGHED]),
    PreferenceRow: pa.schema([*_NAMED, _MESSAGES, ("chosen", pa.string()), ("rejected", pa.string()), *_WEIGHED]),
    HeldoutItem: pa.schema(
        [
            *_NAMED[1:], _MESSAGES, ("reference", pa.string()), ("accept", pa.list_(pa.string())),
            ("judged_by", pa.string()), ("version", pa.string()), ("reply", pa.string()),
        ]
    ),
}  # fmt: skip
_FILES: dict[str, tuple[str, type[msgspec.Struct]]] = {
    "sft-train.parquet": ("train", SftRow),
    "sft-validation.parquet": ("validation", SftRow),
    "preference-train.parquet": ("train_preferences", PreferenceRow),
    "preference-validation.parquet": ("validation_preferences", PreferenceRow),
    "heldout.parquet": ("heldout", HeldoutItem),
}
"""File → which rows of SnapshotRows it holds, and their kind."""


Row = TypeVar("Row", bound=msgspec.Struct)


class Snapshot:
    """A snapshot on disk whose files were found as its manifest says."""

    def __init__(self, folder: Path, manifest: SnapshotManifest) -> None:
        self.folder = folder
        self.manifest = manifest

    def sft(self, part: Part) -> list[SftRow]:
        return self._rows(f"sft-{part}.parquet", SftRow)

    def preferences(self, part: Part) -> list[PreferenceRow]:
        return self._rows(f"preference-{part}.parquet", PreferenceRow)

    def heldout(self) -> list[HeldoutItem]:
        return self._rows("heldout.parquet", HeldoutItem)

    def _rows(self, name: str, kind: type[Row]) -> list[Row]:
        return [msgspec.convert(row, kind) for row in pq.ParquetFile(self.folder / name).read().to_pylist()]


def load_snapshot(folder: Path) -> Snapshot:
    """Open a snapshot and verify every file's hash. Raises UnknownSnapshot, SnapshotCorrupt."""
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=SnapshotManifest)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise UnknownSnapshot(f"There is no snapshot at {folder}.", "Freeze the pool to make one.") from error
    except msgspec.DecodeError as error:
        raise SnapshotCorrupt(f"{folder / MANIFEST} can't be read: {error}.", _MEND) from error
    if manifest.format != FORMAT:
        raise SnapshotCorrupt(
            f"{folder} has format {manifest.format}, this release reads {FORMAT}.", "Use the release that froze it."
        )
    if missing := sorted(set(_FILES) - set(manifest.files)):
        raise SnapshotCorrupt(f"{folder / MANIFEST} names no {', '.join(missing)}.", _MEND)
    for name, frozen in manifest.files.items():
        try:
            found = sha256_file(folder / name)
        except OSError as error:
            raise SnapshotCorrupt(f"{folder / name} can't be read: {error.strerror}.", _MEND) from error
        if found != frozen.sha256:
            raise SnapshotCorrupt(f"{folder / name} no longer has the hash that its manifest gives.", _MEND)
    return Snapshot(folder, manifest)


def write_snapshot(snapshots_dir: Path, rows: SnapshotRows, origin: Origin) -> SnapshotManifest:
    """Freeze the rows under `snapshots_dir/<id>/` and give the manifest; rows may come in any order.

    Where that snapshot exists its own manifest is given, and nothing written. Raises SnapshotCorrupt where it exists
    and is not whole.
    """
    rows = _sorted(rows)
    snapshot_id = _id_of(rows, origin)
    folder = snapshots_dir / snapshot_id
    if folder.exists():
        return load_snapshot(folder).manifest
    snapshots_dir.mkdir(parents=True, exist_ok=True)
    _sweep(snapshots_dir)
    part = Path(tempfile.mkdtemp(prefix=f".{snapshot_id}.", suffix=".part", dir=snapshots_dir))
    try:
        part.chmod(0o755)  # mkdtemp makes it private, and the learner may be another user
        files = _write_files(part, rows)
        manifest = _manifest(snapshot_id, files, origin)
        replace_file(part / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2))
        try:
            os.rename(part, folder)
        except OSError:
            if not folder.exists():
                raise
            return load_snapshot(folder).manifest  # another freeze of the same content was faster
        sync_folder(snapshots_dir)
        return manifest
    finally:
        shutil.rmtree(part, ignore_errors=True)  # gone already where it was renamed


def _manifest(snapshot_id: str, files: dict[str, FrozenFile], origin: Origin) -> SnapshotManifest:
    told = {**msgspec.structs.asdict(origin), "rules": msgspec.to_builtins(origin.rules)}
    return SnapshotManifest(id=snapshot_id, files=files, **told)


_MEND = "Restore the folder from a backup, or delete it and freeze the pool again."
_STALE_S = 86_400.0


def _sweep(snapshots_dir: Path) -> None:
    """Delete what a freeze that was killed left behind: nobody writes on one for a day."""
    for part in snapshots_dir.glob(".snapshot-*.part"):
        if time.time() - part.stat().st_mtime > _STALE_S:
            shutil.rmtree(part, ignore_errors=True)


def _sorted(rows: SnapshotRows) -> SnapshotRows:
    return SnapshotRows(
        **{name: sorted(getattr(rows, name), key=lambda row: row.turn_id) for name in SnapshotRows.__struct_fields__}
    )


def _id_of(rows: SnapshotRows, origin: Origin) -> str:
    """`snapshot-<32 hex digits>` by the content: what the learner gets to see, nothing of when it was made."""
    digest = hashlib.sha256(msgspec.json.encode([FORMAT, origin.rules, origin.tokenizer]))
    for name in SnapshotRows.__struct_fields__:
        digest.update(f"\n{name}\n".encode())
        for row in getattr(rows, name):
            digest.update(msgspec.json.encode(row) + b"\n")
    return f"snapshot-{digest.hexdigest()[:32]}"


def _write_files(folder: Path, rows: SnapshotRows) -> dict[str, FrozenFile]:
    files = {}
    for name, (field, kind) in _FILES.items():
        held: Sequence[Any] = getattr(rows, field)
        table = pa.Table.from_pylist([msgspec.to_builtins(row) for row in held], schema=_SCHEMAS[kind])
        path = folder / name
        with path.open("wb") as file:
            pq.write_table(table, file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        files[name] = FrozenFile(sha256=sha256_file(path), rows=len(held))
    return files
