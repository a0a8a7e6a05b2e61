"""The registry: numbers, immutability, hashes, and what a crash may leave."""

import os
from pathlib import Path

import msgspec
import pytest

from feedback.errors import InvalidInput, UnknownVersion
from feedback.files import sha256_file
from learner.records import Scores, Verdict
from learner.registry import MANIFEST, Registry, Trained, VersionCorrupt, VersionExists, next_version
from learner.templates import Served

SERVED = Served(family="chatml", template="{{ .Prompt }}", system="Be kind.", parameters={"stop": ["<|im_end|>"]})
SCORES = Scores(heldout=0.5, heldout_items=20, general=0.7, general_items=80)
VERDICT = Verdict(outcome="promote", reasons=["For: all."], gain=0.4, retention=1.0)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return Registry(tmp_path / "registry")


def file(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"GGUF" + text.encode())
    return path


def trained(folder: Path, cycle: str = "cycle-1", parent: str = "1.0.0") -> Trained:
    gguf = file(folder / cycle / "candidate.gguf", cycle)
    file(folder / cycle / "adapter" / "adapter_model.safetensors", "weights")
    return Trained(
        parent=parent, base_sha256="b" * 64, cycle=cycle, run="run-1", snapshot="snap", gguf=gguf,
        gguf_sha256=sha256_file(gguf), adapter_dir=folder / cycle / "adapter", adapter_scale=0.8, quantisation="q8_0",
        served=SERVED, scores=SCORES, champion_scores=SCORES, verdict=VERDICT, report="# A report\n",
    )  # fmt: skip


def with_base(registry: Registry, folder: Path) -> Registry:
    base = file(folder / "base.gguf", "base")
    registry.register_base("assistant", base, sha256_file(base), SERVED)
    return registry


@pytest.mark.parametrize(
    ("existing", "change", "of", "expected"),
    [
        ([], "base", "", "1.0.0"),
        (["1.0.0", "1.7.2"], "base", "", "2.0.0"),
        (["1.0.0"], "cycle", "1.0.0", "1.1.0"),
        (["1.0.0", "1.1.0", "1.2.0"], "cycle", "1.0.0", "1.3.0"),
        (["1.0.0", "1.9.0", "1.10.0"], "cycle", "1.0.0", "1.11.0"),
        (["1.0.0", "1.4.0", "2.0.0"], "cycle", "2.0.0", "2.1.0"),
        (["1.0.0", "1.1.0"], "serving", "1.0.0", "1.0.1"),
        (["1.1.0", "1.1.1", "1.1.2", "1.2.0"], "serving", "1.1.1", "1.1.3"),
    ],
)
def test_the_next_number_is_above_every_one_that_was_ever_given(
    existing: list[str], change: str, of: str, expected: str
) -> None:
    assert next_version(existing, change, of=of) == expected  # type: ignore[arg-type]


def test_a_version_must_descend_from_one_that_exists() -> None:
    with pytest.raises(InvalidInput, match="no version to go on from"):
        next_version(["1.0.0"], "cycle", of="3.0.0")


def test_a_base_is_registered_once_where_it_lies_and_another_base_is_a_new_major(
    registry: Registry, tmp_path: Path
) -> None:
    base = file(tmp_path / "base.gguf", "base")
    first = registry.register_base("assistant", base, sha256_file(base), SERVED)
    again = registry.register_base("assistant", base, sha256_file(base), SERVED)
    assert first == again
    assert (first.version, first.kind, first.parent) == ("1.0.0", "base", None)
    assert registry.verify(first) == base
    assert not (registry.folder("assistant", "1.0.0") / "model.gguf").exists()
    other = file(tmp_path / "other.gguf", "other")
    assert registry.register_base("assistant", other, sha256_file(other), SERVED).version == "2.0.0"


def test_a_candidate_becomes_a_minor_version_that_names_its_parents_and_outlives_its_run(
    registry: Registry, tmp_path: Path
) -> None:
    with_base(registry, tmp_path)
    given = trained(tmp_path / "runs")
    made = registry.register("assistant", given)
    assert (made.version, made.kind, made.parent, made.cycle, made.run, made.snapshot) == (
        "1.1.0", "trained", "1.0.0", "cycle-1", "run-1", "snap",
    )  # fmt: skip
    assert os.path.samefile(registry.gguf_path(made), given.gguf)  # linked, not copied
    for path in sorted((tmp_path / "runs").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder = registry.folder("assistant", "1.1.0")
    assert registry.verify(registry.get("assistant", "1.1.0")).read_bytes() == b"GGUFcycle-1"
    assert (folder / "adapter" / "adapter_model.safetensors").exists()
    assert (folder / "report.md").read_text() == "# A report\n"


def test_one_cycle_makes_one_version_however_often_it_asks(registry: Registry, tmp_path: Path) -> None:
    with_base(registry, tmp_path)
    first = registry.register("assistant", trained(tmp_path / "runs"))
    assert registry.register("assistant", trained(tmp_path / "elsewhere")) == first
    assert [one.version for one in registry.list("assistant")] == ["1.0.0", "1.1.0"]
    assert registry.register("assistant", trained(tmp_path / "runs", "cycle-2")).version == "1.2.0"


def test_what_a_crash_left_without_a_manifest_is_no_version_and_its_number_is_used(
    registry: Registry, tmp_path: Path
) -> None:
    with_base(registry, tmp_path)
    file(registry.folder("assistant", "1.1.0") / "model.gguf", "half")
    file(registry.folder("assistant", "1.1.0") / "adapter" / "half.safetensors", "half")
    assert [one.version for one in registry.list("assistant")] == ["1.0.0"]
    with pytest.raises(UnknownVersion):
        registry.get("assistant", "1.1.0")
    made = registry.register("assistant", trained(tmp_path / "runs"))
    assert made.version == "1.1.0"
    assert registry.verify(made).read_bytes() == b"GGUFcycle-1"
    assert not (registry.folder("assistant", "1.1.0") / "adapter" / "half.safetensors").exists()


def test_a_version_is_never_written_twice(registry: Registry, tmp_path: Path) -> None:
    with_base(registry, tmp_path)
    made = registry.register("assistant", trained(tmp_path / "runs"))
    with pytest.raises(VersionExists):
        registry._publish(made, "another report")
    with pytest.raises(VersionExists):
        registry._fresh_folder("assistant", "1.1.0")


def test_a_file_that_is_not_the_one_registered_is_never_handed_out(registry: Registry, tmp_path: Path) -> None:
    with_base(registry, tmp_path)
    made = registry.register("assistant", trained(tmp_path / "runs"))
    registry.gguf_path(made).write_bytes(b"GGUFtampered")
    with pytest.raises(VersionCorrupt, match="differs"):
        registry.verify(made)
    registry.gguf_path(made).unlink()
    with pytest.raises(VersionCorrupt, match="is gone"):
        registry.verify(made)


def test_a_candidate_whose_hash_is_wrong_is_not_registered(registry: Registry, tmp_path: Path) -> None:
    with_base(registry, tmp_path)
    wrong = msgspec.structs.replace(trained(tmp_path / "runs"), gguf_sha256="0" * 64)
    with pytest.raises(VersionCorrupt):
        registry.register("assistant", wrong)
    assert [one.version for one in registry.list("assistant")] == ["1.0.0"]


def test_other_words_around_the_same_weights_are_a_patch(registry: Registry, tmp_path: Path) -> None:
    with_base(registry, tmp_path)
    registry.register("assistant", trained(tmp_path / "runs"))
    words = msgspec.structs.replace(SERVED, system="Be brief.")
    patched = registry.register_serving("assistant", "1.1.0", words)
    assert (patched.version, patched.parent, patched.system, patched.cycle) == ("1.1.1", "1.1.0", "Be brief.", None)
    assert registry.verify(patched).read_bytes() == b"GGUFcycle-1"
    assert registry.register_serving("assistant", "1.0.0", words).version == "1.0.1"


def test_versions_are_listed_as_numbers_not_as_text(registry: Registry, tmp_path: Path) -> None:
    with_base(registry, tmp_path)
    for number in range(1, 12):
        registry.register("assistant", trained(tmp_path / "runs", f"cycle-{number}"))
    assert [one.version for one in registry.list("assistant")][-2:] == ["1.10.0", "1.11.0"]
    latest = registry.latest("assistant")
    assert latest is not None and latest.version == "1.11.0"
    assert registry.latest("nobody") is None


def test_an_unknown_version_is_answered_with_those_there_are(registry: Registry, tmp_path: Path) -> None:
    with_base(registry, tmp_path)
    with pytest.raises(UnknownVersion) as found:
        registry.get("assistant", "9.9.9")
    assert "1.0.0" in found.value.mend
    with pytest.raises(InvalidInput, match="not a version"):
        registry.get("assistant", "../../etc")


def test_a_manifest_that_cannot_be_read_is_named(registry: Registry, tmp_path: Path) -> None:
    with_base(registry, tmp_path)
    (registry.folder("assistant", "1.0.0") / MANIFEST).write_text("{")
    with pytest.raises(VersionCorrupt, match=r"manifest\.json"):
        registry.list("assistant")
