"""Whether the disk takes anything: asked while it is known to fail, so that nobody's turn has to find out."""

from __future__ import annotations

import os
from pathlib import Path

PROBE_BYTES = 1024 * 1024
"""Room that there must be: for the longest turns, not only for the next one."""


def probe(file: Path) -> None:
    """Write and remove a file, durably. Raises OSError."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            left = memoryview(bytes(PROBE_BYTES))
            while left:
                left = left[os.write(handle, left) :]
            os.fsync(handle)
        finally:
            os.close(handle)
    finally:
        file.unlink(missing_ok=True)
