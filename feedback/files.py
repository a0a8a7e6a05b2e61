"""Writing files so that a crash leaves the old one or the new one, never half of one.

Every artefact of the circle is written through here. `replace_file` is atomic and durable; `append_line` is durable
when it returns; a manifest is written last, so a folder without one is not an artefact.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from pathlib import Path


def replace_file(path: Path, data: bytes) -> float:
    """Put `data` at `path` atomically and durably: a part file beside it, fsync, `os.replace`, fsync of the folder.

    Returns the seconds that the rename itself took: before it readers see the old file, after it the new one.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    with part.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    started = time.perf_counter()
    os.replace(part, path)
    took = time.perf_counter() - started
    sync_folder(path.parent)
    return took


def move_file(source: Path, target: Path) -> Path:
    """Move a file, also to another disk, so that `target` is there whole or not at all. Gives `target`."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    shutil.copyfile(source, part)
    with part.open("rb") as file:
        os.fsync(file.fileno())
    os.replace(part, target)
    sync_folder(target.parent)
    source.unlink()
    return target


def append_line(path: Path, line: bytes) -> None:
    """Append one line durably; a line cut by a crash has no newline, and readers leave it out."""
    if b"\n" in line:
        raise ValueError("a journal line may not hold a newline")
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        file.write(line + b"\n")
        file.flush()
        os.fsync(file.fileno())


def whole_lines(path: Path) -> list[bytes]:
    """The complete lines of a file, oldest first; a last one without its newline was cut by a crash and is left out."""
    if not path.exists():
        return []
    data = path.read_bytes()
    return data[: data.rfind(b"\n") + 1].splitlines()


def drop_cut_line(path: Path) -> None:
    """Cut off what follows the last newline: a crash left it there, and the next line appended would be glued to it."""
    if not path.exists():
        return
    with path.open("rb+") as file:
        data = file.read()
        whole = data.rfind(b"\n") + 1
        if whole < len(data):
            file.truncate(whole)
            file.flush()
            os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """fsync a folder, so that a rename in it survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
