"""Models on disk: names, blobs and tags, through crashes, restarts and deletes. No model is loaded here."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from service.engine.blobs import parse_digest
from service.engine.library import Details, Layer, Library, Manifest
from service.engine.names import ModelName, parse_name
from service.engine.refusal import Refusal


def name(text: str) -> ModelName:
    found = parse_name(text)
    assert found is not None
    return found


def manifest(library: Library, *texts: bytes) -> Manifest:
    """A model of which the first text is the weights."""
    layers = [Layer("model" if not number else "license", *_put(library, text)) for number, text in enumerate(texts)]
    return Manifest(details=Details(family="llama"), layers=layers)


def _put(library: Library, text: bytes) -> tuple[str, int]:
    return library.blobs.put(text)[0], len(text)


async def arriving(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk


@pytest.mark.parametrize(
    ("text", "short", "full"),
    [
        ("smol", "smol:latest", "registry.ollama.ai/library/smol:latest"),
        ("SMOL:Latest", "smol:latest", "registry.ollama.ai/library/smol:latest"),
        ("registry.ollama.ai/library/smol", "smol:latest", "registry.ollama.ai/library/smol:latest"),
        ("assistant:1.4.0", "assistant:1.4.0", "registry.ollama.ai/library/assistant:1.4.0"),
        ("ns/m:v2", "ns/m:v2", "registry.ollama.ai/ns/m:v2"),
        ("host.example:5000/ns/m", "host.example:5000/ns/m:latest", "host.example:5000/ns/m:latest"),
    ],
)
def test_names_are_normalised(text: str, short: str, full: str) -> None:
    assert (name(text).short, name(text).full) == (short, full)


@pytest.mark.parametrize(
    "text", ["", "a b", "..", "../a", "a/../b", "/a", "a/", "a:", ":a", "a/b/c/d", "模型", "a\n", ".a"]
)
def test_what_could_leave_the_folder_or_is_no_name_is_refused(text: str) -> None:
    assert parse_name(text) is None


def test_a_tag_survives_a_restart_and_keeps_its_digest(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.put(name("smol"), manifest(library, b"weights", b"licence"))
    before = library.find(name("SMOL:latest"))
    after = Library(tmp_path).find(name("smol"))
    assert before == after
    assert after is not None and after.licenses == ["licence"] and after.size == len(b"weightslicence")


def test_a_copy_costs_nothing_and_the_last_delete_takes_the_blobs(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.put(name("a"), manifest(library, b"weights", b"of a"))
    library.copy(name("a"), name("b"))
    weights = next(iter(manifest(library, b"weights").layers)).digest
    assert library.delete(name("a")) == []
    assert library.blobs.has(weights) and library.uses(weights)
    assert weights in library.delete(name("b"))
    assert library.blobs.digests() == set() and not library.uses(weights)
    with pytest.raises(FileNotFoundError):
        library.delete(name("b"))
    with pytest.raises(FileNotFoundError):
        library.copy(name("b"), name("c"))


def test_replacing_a_tag_frees_only_what_it_alone_had(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.put(name("a"), manifest(library, b"old weights", b"shared"))
    library.put(name("b"), manifest(library, b"b's weights", b"shared"))
    gone = library.put(name("a"), manifest(library, b"new weights", b"shared"))
    assert gone == [f"sha256:{hashlib.sha256(b'old weights').hexdigest()}"]
    found = library.find(name("b"))
    assert found is not None and found.weights.read_bytes() == b"b's weights" and found.licenses == ["shared"]


def test_a_tag_is_never_pointed_at_a_missing_blob(tmp_path: Path) -> None:
    library = Library(tmp_path)
    missing = Manifest(details=Details(), layers=[Layer("model", "sha256:" + "1" * 64, 1)])
    with pytest.raises(Refusal, match="no such file"):
        library.put(name("a"), missing)
    assert library.find(name("a")) is None


def test_a_start_removes_part_files_and_unused_uploads(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.put(name("a"), manifest(library, b"weights"))
    library.blobs.put(b"uploaded, then the power went")
    library.blobs.part().write_bytes(b"half a blob")
    assert len(list((tmp_path / "blobs").iterdir())) == 3
    again = Library(tmp_path)
    assert [file.read_bytes() for file in (tmp_path / "blobs").iterdir()] == [b"weights"]
    assert again.find(name("a")) is not None


def test_with_one_manifest_unreadable_nothing_is_pruned_and_the_others_serve(tmp_path: Path) -> None:
    library = Library(tmp_path)
    library.put(name("a"), manifest(library, b"weights of a"))
    library.put(name("b"), manifest(library, b"weights of b"))
    (broken,) = (tmp_path / "manifests").glob("*/*/a/latest")
    broken.write_bytes(b"{")
    again = Library(tmp_path)
    assert len(again.blobs.digests()) == 2
    assert [model.name.short for model in again.all()] == ["b:latest"]
    with pytest.raises(Refusal, match="can't be read"):
        again.find(name("a"))
    assert again.delete(name("a")) == []
    assert again.find(name("a")) is None


async def test_an_upload_in_pieces_is_whole_or_not_there(tmp_path: Path) -> None:
    blobs = Library(tmp_path).blobs
    content = bytes(range(256)) * 9000
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    wrong = "sha256:" + "0" * 64
    with pytest.raises(Refusal, match=f'digest mismatch, expected "{wrong}", got "{digest}"'):
        await blobs.receive(wrong, arriving(content))
    assert list((tmp_path / "blobs").iterdir()) == []
    await blobs.receive(digest, arriving(*(content[at : at + 100_000] for at in range(0, len(content), 100_000))))
    assert blobs.path(digest).read_bytes() == content
    assert len(list((tmp_path / "blobs").iterdir())) == 1


async def test_two_uploads_of_one_blob_at_once_both_succeed(tmp_path: Path) -> None:
    blobs = Library(tmp_path).blobs
    content = b"the same bytes" * 1000
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    await asyncio.gather(*(blobs.receive(digest, arriving(content[:500], content[500:])) for _ in range(3)))
    assert [file.read_bytes() for file in (tmp_path / "blobs").iterdir()] == [content]


async def test_an_upload_whose_client_leaves_leaves_nothing(tmp_path: Path) -> None:
    blobs = Library(tmp_path).blobs
    begun = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"x" * (2 << 20)
        begun.set()
        await asyncio.sleep(60)

    upload = asyncio.create_task(blobs.receive("sha256:" + "0" * 64, slow()))
    await begun.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert list((tmp_path / "blobs").iterdir()) == []


@pytest.mark.parametrize(
    "text", ["", "notadigest", "sha256:ABC", "md5:" + "0" * 64, "sha256:" + "0" * 65, "sha256:../x"]
)
def test_digests_are_checked(text: str) -> None:
    with pytest.raises(Refusal, match="invalid digest format"):
        parse_digest(text)


def test_a_digest_with_a_dash_is_the_same_digest() -> None:
    assert parse_digest("sha256-" + "A" * 64) == "sha256:" + "a" * 64
