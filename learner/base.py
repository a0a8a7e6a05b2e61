"""The base model, ready to train on: a GGUF converted once to Hugging Face files and kept, named by its content.

A cycle starts from the GGUF that is served, but training wants weights in fp32 and a tokenizer.json. The conversion
takes a quarter of a minute and a gigabyte, so it happens once for each file, in a process of its own: this module never
imports torch, and the cycle that calls it stays small. What lies in the cache is whole or it is not there: it is made
in a part folder and renamed, and a second process waits for the first. Must never trust a cache that lost a file.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from feedback.errors import CycleFailed, InvalidInput
from feedback.files import replace_file, sha256_file

FORMAT = 1
RECORD = "base.json"
ARCHITECTURES = ("llama", "qwen2")
"""Architectures of which the names and layout of the weights are known here; `learner.export` merges the same ones."""


class UnsupportedBase(InvalidInput):
    code = "unsupported-base"


class BaseRecord(msgspec.Struct, frozen=True, kw_only=True):
    """`base.json` in the cached folder: what the GGUF says of itself, and the size of each file beside it."""

    format: int = FORMAT
    sha256: str
    """Of the GGUF."""
    architecture: str
    chat_template: str
    """The template in Jinja, as the GGUF carries it."""
    bos_token: str
    eos_token: str
    adds_bos: bool
    """Whether llama.cpp puts the BOS token before a prompt that lacks it."""
    context_tokens: int
    files: dict[str, int]
    """Bytes of each file: a cache that lost some is made anew."""


class Base(msgspec.Struct, frozen=True, kw_only=True):
    """A base model ready to train on."""

    gguf: Path
    folder: Path
    """Hugging Face files: config.json, model.safetensors (fp32), tokenizer.json, …"""
    record: BaseRecord

    @property
    def sha256(self) -> str:
        return self.record.sha256

    @property
    def tokenizer_file(self) -> Path:
        """The tokenizer.json that counts tokens as the served model does."""
        return self.folder / "tokenizer.json"


def prepare_base(gguf: Path, cache_dir: Path) -> Base:
    """The base of a GGUF, converted if `cache_dir/bases/` doesn't hold it yet (about 20 s), else in milliseconds.

    Raises UnsupportedBase where the file is no GGUF, has no chat template or an architecture that is not known here;
    CycleFailed where the conversion itself fails.
    """
    if not gguf.is_file():
        raise UnsupportedBase(f"There is no base model at {gguf}.", "Set learner.base_gguf to a GGUF file.")
    gguf, sha256 = gguf.resolve(), sha256_file(gguf)
    folder = cache_dir.expanduser().resolve() / "bases" / sha256[:16]
    record = _cached(folder, sha256)
    if record is None:
        with _locked(folder.with_name(f"{folder.name}.lock")):
            record = _cached(folder, sha256)  # another process may have made it while this one waited
            if record is None:
                record = _convert(gguf, folder, sha256)
    return Base(gguf=gguf, folder=folder, record=record)


def read_base(folder: Path) -> BaseRecord:
    """What a converted folder says of itself. Raises CycleFailed where it isn't one."""
    try:
        return msgspec.json.decode((folder / RECORD).read_bytes(), type=BaseRecord)
    except (OSError, msgspec.DecodeError) as error:
        raise CycleFailed(
            f"{folder} is not a converted base model: {error}.", "Delete the folder; the next cycle makes it anew."
        ) from error


def _cached(folder: Path, sha256: str) -> BaseRecord | None:
    """The cached record, or none where the folder is missing, older than this format, or lost a file."""
    try:
        record = msgspec.json.decode((folder / RECORD).read_bytes(), type=BaseRecord)
        whole = all((folder / name).stat().st_size == size for name, size in record.files.items())
    except (OSError, msgspec.DecodeError):
        return None
    return record if whole and (record.format, record.sha256) == (FORMAT, sha256) else None


def _convert(gguf: Path, folder: Path, sha256: str) -> BaseRecord:
    """Make `folder`, whole or not at all. The lock is held: whatever part folders lie about are left by the dead."""
    facts = gguf_facts(gguf)
    for stale in folder.parent.glob(f".{folder.name}.*.part"):
        shutil.rmtree(stale)
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    part.mkdir(parents=True)
    _run_conversion(gguf, part)
    files = {path.name: path.stat().st_size for path in sorted(part.iterdir())}
    record = BaseRecord(sha256=sha256, files=files, **facts)
    replace_file(part / RECORD, msgspec.json.format(msgspec.json.encode(record), indent=2))
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(part, folder)
    return record


def _run_conversion(gguf: Path, part: Path) -> None:
    """`python -m learner.convert` in a process of its own, so that its gigabyte is given back."""
    home = str(Path(__file__).resolve().parents[1])
    paths = [home, os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else [home]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "learner.convert", str(gguf), str(part)], env=environment, capture_output=True, text=True
    )
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise CycleFailed(
            f"{gguf.name} could not be converted for training: {last}.",
            "See that there is room on the disk, 1.5 times the model's size in fp32, and as much memory.",
        )


def gguf_facts(path: Path) -> dict[str, Any]:
    """What BaseRecord says of a GGUF, read from its header. Raises UnsupportedBase."""
    from gguf import GGUFReader  # takes seconds on a large vocabulary; a cached base never comes here

    try:
        reader = GGUFReader(path)
    except (ValueError, OSError) as error:
        raise UnsupportedBase(f"{path} is not a GGUF file: {error}.", "Name a GGUF file as the base model.") from error

    def field(key: str, default: Any) -> Any:
        found = reader.get_field(key)
        return default if found is None else found.contents()

    architecture = field("general.architecture", "unknown")
    if architecture not in ARCHITECTURES:
        raise UnsupportedBase(
            f"{path.name} is of the architecture {architecture!r}, which can't be trained here.",
            f"Take a base of one of these: {', '.join(ARCHITECTURES)}.",
        )
    template = field("tokenizer.chat_template", "")
    if not template:
        raise UnsupportedBase(
            f"{path.name} has no chat template.", "Take the model's instruct version: a chat can't be rendered for it."
        )
    tokens = reader.get_field("tokenizer.ggml.tokens")

    def token(key: str) -> str:
        number = field(key, None)
        return "" if number is None or tokens is None else str(tokens.contents(number))

    return {
        "architecture": architecture,
        "chat_template": template,
        "bos_token": token("tokenizer.ggml.bos_token_id"),
        "eos_token": token("tokenizer.ggml.eos_token_id"),
        "adds_bos": bool(field("tokenizer.ggml.add_bos_token", field("tokenizer.ggml.model", "") == "llama")),
        "context_tokens": int(field(f"{architecture}.context_length", 0)),
    }


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock file; waits for whoever holds it. The system frees it when its process dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
