"""The snapshot's format: plain Parquet, named by its content, whole or not there, and never believed unverified."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import pytest

from feedback.errors import SnapshotCorrupt, UnknownSnapshot
from feedback.settings import PoolSettings
from feedback.snapshot import (
    HeldoutItem,
    Origin,
    Parents,
    PreferenceRow,
    SftRow,
    SnapshotManifest,
    SnapshotRows,
    StepCount,
    load_snapshot,
    write_snapshot,
)
from feedback.turns import Message

ORIGIN = Origin(
    created_at=dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
    rules=PoolSettings(),
    tokenizer="estimate",
    base_model="smol",
    steps=[StepCount(step="admission", rows_in=5, rows_out=4, reasons={"out:cut": 1})],
    parents=Parents(turns=5, ratings=6, annotations=2, first_turn_id="turn-1", last_turn_id="turn-5"),
)
PROMPT = [
    Message(role="system", content="简洁地回答。"),
    Message(role="user", content="第一个问题？"),
    Message(role="assistant", content="答。"),
    Message(role="user", content="那么\n“第二个”呢？"),
]


def an_sft_row(number: int) -> SftRow:
    return SftRow(
        row_id=f"sft-{number}", turn_id=f"turn-{number}", conversation_id="c", messages=PROMPT, reply="好的。",
        source="reply", judged_by="user", weight=0.7, tokens=9, version="1.0.0",
    )  # fmt: skip


ROWS = SnapshotRows(
    train=[an_sft_row(1), an_sft_row(2)],
    validation=[an_sft_row(3)],
    train_preferences=[
        PreferenceRow(
            row_id="preference-2", turn_id="turn-2", conversation_id="c", messages=PROMPT, chosen="对", rejected="错",
            judged_by="expert", weight=1.0, tokens=8, version="1.0.0",
        )
    ],
    heldout=[
        HeldoutItem(
            turn_id="turn-4", conversation_id="d", messages=PROMPT[3:], reference="巴黎", accept=["巴黎", "Paris"],
            judged_by="annotator", version="1.0.0", reply="伦敦",
        )
    ],
)  # fmt: skip


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    manifest = write_snapshot(tmp_path, ROWS, ORIGIN)
    snapshot = load_snapshot(tmp_path / manifest.id)
    assert snapshot.manifest == manifest
    assert snapshot.sft("train") == ROWS.train
    assert snapshot.sft("validation") == ROWS.validation
    assert snapshot.preferences("train") == ROWS.train_preferences
    assert snapshot.preferences("validation") == []
    assert snapshot.heldout() == ROWS.heldout


def test_the_manifest_says_where_the_snapshot_came_from(tmp_path: Path) -> None:
    manifest = write_snapshot(tmp_path, ROWS, ORIGIN)
    assert manifest.id.startswith("snapshot-")
    assert (manifest.steps, manifest.parents, manifest.base_model) == (ORIGIN.steps, ORIGIN.parents, "smol")
    assert manifest.rules == msgspec.to_builtins(ORIGIN.rules)
    assert {name: file.rows for name, file in manifest.files.items()} == {
        "sft-train.parquet": 2, "sft-validation.parquet": 1, "preference-train.parquet": 1,
        "preference-validation.parquet": 0, "heldout.parquet": 1,
    }  # fmt: skip


def test_others_read_the_files_without_this_code(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    folder = tmp_path / write_snapshot(tmp_path, ROWS, ORIGIN).id
    frame = pandas.read_parquet(folder / "sft-train.parquet")
    assert list(frame["turn_id"]) == ["turn-1", "turn-2"]
    assert frame["messages"][0][3] == {"role": "user", "content": "那么\n“第二个”呢？"}
    held = pq.ParquetFile(folder / "heldout.parquet").read().to_pylist()
    assert held == [msgspec.to_builtins(item) for item in ROWS.heldout]


def test_the_id_is_the_contents_and_not_the_times_or_the_orders(tmp_path: Path) -> None:
    first = write_snapshot(tmp_path, ROWS, ORIGIN)
    manifest_file = tmp_path / first.id / "manifest.json"
    before = manifest_file.stat().st_ino
    shuffled = msgspec.structs.replace(ROWS, train=ROWS.train[::-1])
    later = msgspec.structs.replace(ORIGIN, created_at=dt.datetime(2027, 1, 1, tzinfo=dt.UTC), steps=[])
    assert write_snapshot(tmp_path, shuffled, later) == first
    assert manifest_file.stat().st_ino == before  # nothing was written again
    elsewhere = write_snapshot(tmp_path / "elsewhere", shuffled, later)
    assert (elsewhere.id, elsewhere.files) == (first.id, first.files)


@pytest.mark.parametrize(
    ("rows", "origin"),
    [
        (msgspec.structs.replace(ROWS, train=ROWS.train[:1]), ORIGIN),
        (msgspec.structs.replace(ROWS, train=ROWS.train[:1], validation=[*ROWS.validation, ROWS.train[1]]), ORIGIN),
        (msgspec.structs.replace(ROWS, heldout=[]), ORIGIN),
        (ROWS, msgspec.structs.replace(ORIGIN, tokenizer="0" * 64)),
        (ROWS, msgspec.structs.replace(ORIGIN, rules=PoolSettings(min_tokens=7))),
    ],
)
def test_other_content_is_another_snapshot(tmp_path: Path, rows: SnapshotRows, origin: Origin) -> None:
    assert write_snapshot(tmp_path, rows, origin).id != write_snapshot(tmp_path, ROWS, ORIGIN).id


def test_a_changed_file_is_found_out(tmp_path: Path) -> None:
    folder = tmp_path / write_snapshot(tmp_path, ROWS, ORIGIN).id
    file = folder / "heldout.parquet"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(SnapshotCorrupt, match=r"heldout\.parquet no longer has the hash"):
        load_snapshot(folder)
    with pytest.raises(SnapshotCorrupt):  # nor is it taken for the same snapshot again
        write_snapshot(tmp_path, ROWS, ORIGIN)


def test_a_missing_file_a_torn_manifest_and_a_strange_format_are_found_out(tmp_path: Path) -> None:
    folder = tmp_path / write_snapshot(tmp_path, ROWS, ORIGIN).id
    manifest_file = folder / "manifest.json"
    manifest = msgspec.json.decode(manifest_file.read_bytes(), type=SnapshotManifest)
    (folder / "sft-train.parquet").rename(folder / "away")
    with pytest.raises(SnapshotCorrupt, match=r"sft-train\.parquet can't be read"):
        load_snapshot(folder)
    files = {name: file for name, file in manifest.files.items() if name != "heldout.parquet"}
    manifest_file.write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, files=files)))
    with pytest.raises(SnapshotCorrupt, match=r"names no heldout\.parquet"):
        load_snapshot(folder)
    manifest_file.write_bytes(msgspec.json.encode(msgspec.structs.replace(manifest, format=2)))
    with pytest.raises(SnapshotCorrupt, match="format 2"):
        load_snapshot(folder)
    manifest_file.write_bytes(manifest_file.read_bytes()[:40])
    with pytest.raises(SnapshotCorrupt, match="can't be read"):
        load_snapshot(folder)


def test_a_folder_without_a_manifest_is_no_snapshot(tmp_path: Path) -> None:
    with pytest.raises(UnknownSnapshot):
        load_snapshot(tmp_path / "snapshot-0")
    (tmp_path / "snapshot-0").mkdir()
    with pytest.raises(UnknownSnapshot):
        load_snapshot(tmp_path / "snapshot-0")


def test_a_write_that_fails_leaves_nothing_that_looks_like_a_snapshot(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("feedback.snapshot.replace_file", full)
        with pytest.raises(OSError, match="No space"):
            write_snapshot(tmp_path, ROWS, ORIGIN)
    assert list(tmp_path.iterdir()) == []
    assert load_snapshot(tmp_path / write_snapshot(tmp_path, ROWS, ORIGIN).id).sft("train") == ROWS.train


def test_of_two_freezes_at_once_both_get_the_one_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one finishes between our look for the folder and our rename."""
    rename = os.rename

    def overtaken(source: Path, target: Path) -> None:
        monkeypatch.setattr(os, "rename", rename)
        write_snapshot(tmp_path, ROWS, ORIGIN)
        rename(source, target)

    monkeypatch.setattr(os, "rename", overtaken)
    manifest = write_snapshot(tmp_path, ROWS, ORIGIN)
    assert [path.name for path in tmp_path.iterdir()] == [manifest.id]
    assert load_snapshot(tmp_path / manifest.id).manifest == manifest


def test_what_a_killed_freeze_left_is_swept_after_a_day_and_not_before(tmp_path: Path) -> None:
    for name, age_s in ((".snapshot-a.1.part", 2 * 86_400), (".snapshot-b.2.part", 60)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "sft-train.parquet").write_bytes(b"half")
        modified = (tmp_path / name).stat().st_mtime - age_s
        os.utime(tmp_path / name, (modified, modified))
    manifest = write_snapshot(tmp_path, ROWS, ORIGIN)
    assert {path.name for path in tmp_path.iterdir()} == {manifest.id, ".snapshot-b.2.part"}


def test_a_data_folder_named_like_a_partition_adds_no_column(tmp_path: Path) -> None:
    folder = tmp_path / "team=blue"
    manifest = write_snapshot(folder, ROWS, ORIGIN)
    assert load_snapshot(folder / manifest.id).sft("train") == ROWS.train


def test_the_format_loads_without_the_store_or_the_training_stack() -> None:
    heavy = ("duckdb", "feedback.store", "torch", "transformers", "ray", "tokenizers", "pandas", "service", "learner")
    code = f"import sys, feedback.snapshot; print([name for name in {heavy!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
