"""A redacted snapshot: without the person's rows, otherwise the same, whole and verifiable, killed anywhere or not."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path

import pytest

from feedback import redaction
from feedback.redaction import heldout_prompts, read_manifest, redact, settle, snapshots_in
from feedback.snapshot import SnapshotRows, load_snapshot, write_snapshot
from tests.pool.test_snapshot import ORIGIN, ROWS

AT = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / write_snapshot(tmp_path, ROWS, ORIGIN).id


def rows(folder: Path) -> SnapshotRows:
    found = load_snapshot(folder)
    return SnapshotRows(
        train=found.sft("train"),
        validation=found.sft("validation"),
        train_preferences=found.preferences("train"),
        validation_preferences=found.preferences("validation"),
        heldout=found.heldout(),
    )


def test_the_persons_rows_go_and_the_others_stay_as_they_were(folder: Path):
    before = read_manifest(folder)
    assert redact(folder, {"turn-2", "turn-4", "turn-nosuch"}, "erasure-1", AT) == 3
    after = rows(folder)
    assert after.train == ROWS.train[:1] and after.validation == ROWS.validation
    assert after.train_preferences == [] and after.heldout == []
    manifest = read_manifest(folder)
    assert manifest.id == before.id == folder.name
    (told,) = manifest.redactions
    assert told.rows == {"sft-train.parquet": 1, "preference-train.parquet": 1, "heldout.parquet": 1}
    assert told.files == {name: before.files[name] for name in told.rows}
    assert told.erasure_id == "erasure-1" and told.at == AT
    assert manifest.files["sft-validation.parquet"] == before.files["sft-validation.parquet"]
    assert all(manifest.files[name] != before.files[name] for name in told.rows)


def test_a_snapshot_without_their_rows_is_not_touched(folder: Path):
    before = {file: file.read_bytes() for file in folder.iterdir()}
    assert redact(folder, {"turn-9"}, "erasure-1", AT) == 0
    assert {file: file.read_bytes() for file in folder.iterdir()} == before


def test_redactions_add_up(folder: Path):
    assert redact(folder, {"turn-1"}, "erasure-1", AT) == 1
    assert redact(folder, {"turn-3"}, "erasure-2", AT) == 1
    assert redact(folder, {"turn-1", "turn-3"}, "erasure-3", AT) == 0
    assert [one.erasure_id for one in read_manifest(folder).redactions] == ["erasure-1", "erasure-2"]
    assert load_snapshot(folder).sft("validation") == []


class Killed(BaseException):
    pass


@pytest.mark.parametrize("call", range(14))
def test_killed_anywhere_it_is_whole_afterwards_and_done_when_asked_again(folder: Path, monkeypatch, call: int):
    """Dies at the n-th thing that it does to the disk."""
    count = 0

    def dying(real):
        def run(*args, **more):
            nonlocal count
            count += 1
            if count > call:
                raise Killed
            return real(*args, **more)

        return run

    for module, name in (
        (redaction, "_write_without"), (redaction, "replace_file"), (redaction, "sync_folder"), (os, "rename"),
        (os, "link"), (redaction.shutil, "rmtree"),
    ):  # fmt: skip
        monkeypatch.setattr(module, name, dying(getattr(module, name)))
    died = False
    try:
        redact(folder, {"turn-2"}, "erasure-1", AT)
    except Killed:
        died = True
    monkeypatch.undo()
    assert died == (call < 10)
    settle(folder.parent)
    assert [one.name for one in folder.parent.iterdir()] == [folder.name]
    assert list(snapshots_in(folder.parent)) == [folder]
    assert rows(folder).train in (ROWS.train, ROWS.train[:1])
    redact(folder, {"turn-2"}, "erasure-1", AT)
    assert rows(folder).train == ROWS.train[:1]
    assert len(read_manifest(folder).redactions) == 1


def test_the_questions_that_reports_quote(folder: Path):
    assert heldout_prompts(folder, {"turn-4", "turn-1"}) == {"那么\n“第二个”呢？"}
    assert heldout_prompts(folder, {"turn-1"}) == set()
