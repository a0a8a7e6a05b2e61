"""The base model's cache: made once, whole or not at all, and honest about what it can't take."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from learner.base import Base, UnsupportedBase, prepare_base, read_base
from tests.fakes.tiny_gguf import CONTEXT, TEMPLATE, write_tiny_gguf


def test_a_base_knows_its_template_tokens_and_files(tiny_base: Base) -> None:
    record = tiny_base.record
    assert (record.architecture, record.chat_template, record.context_tokens) == ("llama", TEMPLATE, CONTEXT)
    assert (record.bos_token, record.eos_token, record.adds_bos) == ("<|im_start|>", "<|im_end|>", False)
    assert tiny_base.tokenizer_file.is_file()
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= record.files.keys()
    assert read_base(tiny_base.folder) == record


def test_a_cached_base_is_found_without_the_training_stack(tiny_base: Base, tiny_cache: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; began = time.perf_counter();"
        "from learner.base import prepare_base;"
        f"base = prepare_base(Path({str(tiny_base.gguf)!r}), Path({str(tiny_cache)!r}));"
        "heavy = {'torch', 'transformers', 'gguf', 'numpy'} & sys.modules.keys();"
        "print(base.folder, sorted(heavy), time.perf_counter() - began < 0.3)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [str(tiny_base.folder), "[]", "True"]


def test_a_cache_that_lost_a_file_is_made_anew_once_for_all_who_ask(tmp_path: Path) -> None:
    gguf = write_tiny_gguf(tmp_path / "tiny.gguf", seed=9)
    first = prepare_base(gguf, tmp_path / "cache")
    (first.folder / "model.safetensors").unlink()
    (first.folder.parent / f".{first.folder.name}.1.part").mkdir()  # left by one that was killed
    made: list[tuple[Base, int]] = []

    def ask() -> None:
        base = prepare_base(gguf, tmp_path / "cache")
        made.append((base, (base.folder / "base.json").stat().st_ino))

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made[0] == made[1], "both waited for one conversion"
    assert (first.folder / "model.safetensors").is_file()
    assert list(first.folder.parent.glob(".*")) == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [({"architecture": "gemma"}, "'gemma'"), ({"template": ""}, "no chat template")],
)
def test_a_base_that_cannot_be_trained_is_refused_by_name(tmp_path: Path, arguments: dict[str, str], says: str) -> None:
    with pytest.raises(UnsupportedBase, match=says):
        prepare_base(write_tiny_gguf(tmp_path / "tiny.gguf", **arguments), tmp_path / "cache")
    assert list((tmp_path / "cache" / "bases").glob("[!.]*/")) == []


def test_what_is_no_gguf_or_not_there_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.gguf").write_text("no model at all, but long enough to have a header's length")
    with pytest.raises(UnsupportedBase, match="not a GGUF file"):
        prepare_base(tmp_path / "text.gguf", tmp_path / "cache")
    with pytest.raises(UnsupportedBase, match="There is no base model"):
        prepare_base(tmp_path / "missing.gguf", tmp_path / "cache")
