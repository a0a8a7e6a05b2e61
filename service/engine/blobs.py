"""Blobs: files named by their SHA-256, the one thing that takes room on the engine's disk.

A blob is written to a part file, hashed as it is written, and renamed only when the bytes are on disk and the hash is
right, so a name never stands for anything but its content. Must never overwrite a blob, nor leave a part file behind
for longer than to the next start.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import os
import re
from collections.abc import AsyncIterator
from pathlib import Path

from feedback.files import sync_folder
from service.engine.refusal import Refusal

DIGEST = re.compile(r"sha256[:-]([0-9a-fA-F]{64})\Z")
WRITE_BYTES = 1 << 20
"""Bytes gathered before they are written, so that a hop to a thread is worth its price."""


def parse_digest(text: str) -> str:
    """`sha256:<hex>` in its one form. Raises Refusal (400)."""
    found = DIGEST.match(text)
    if not found:
        raise Refusal(400, "invalid digest format")
    return f"sha256:{found[1].lower()}"


class Blobs:
    """The folder of blobs."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._counter = itertools.count()
        folder.mkdir(parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        return self._folder / digest.replace(":", "-")

    def has(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def part(self) -> Path:
        """A fresh name for a file that is not whole yet."""
        return self._folder / f".{os.getpid()}-{next(self._counter)}.part"

    def put(self, data: bytes) -> tuple[str, bool]:
        """Store a small blob; its digest, and whether it was there already."""
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if self.has(digest):
            return digest, True
        part = self.part()
        part.write_bytes(data)
        self._keep(part, digest)
        return digest, False

    def adopt(self, part: Path) -> tuple[str, bool]:
        """Make a finished part file a blob; its digest, and whether it was there already."""
        with part.open("rb") as file:
            digest = f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
        if self.has(digest):
            part.unlink()
            return digest, True
        self._keep(part, digest)
        return digest, False

    async def receive(self, digest: str, chunks: AsyncIterator[bytes]) -> None:
        """Store what arrives. Raises Refusal (400) where its hash is another one; nothing is kept then."""
        part, sha = self.part(), hashlib.sha256()
        try:
            with part.open("wb") as file:

                def write(data: bytes) -> None:
                    sha.update(data)
                    file.write(data)

                waiting = bytearray()
                async for chunk in chunks:
                    waiting += chunk
                    if len(waiting) >= WRITE_BYTES:
                        await asyncio.to_thread(write, bytes(waiting))
                        waiting.clear()
                write(bytes(waiting))
            got = f"sha256:{sha.hexdigest()}"
            if got != digest:
                raise Refusal(400, f'digest mismatch, expected "{digest}", got "{got}"')
            await asyncio.to_thread(self._keep, part, digest)
        finally:
            # Cancelled by a client that left, or refused: the part is worth nothing. Renamed: it isn't there any more.
            part.unlink(missing_ok=True)

    def remove(self, digest: str) -> None:
        self.path(digest).unlink(missing_ok=True)

    def remove_parts(self) -> None:
        """Remove what a crash left half written. Only at start, while nothing is being written."""
        for part in self._folder.glob(".*.part"):
            part.unlink()

    def digests(self) -> set[str]:
        return {file.name.replace("-", ":", 1) for file in self._folder.glob("sha256-*")}

    def _keep(self, part: Path, digest: str) -> None:
        descriptor = os.open(part, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        os.replace(part, self.path(digest))
        sync_folder(self._folder)
