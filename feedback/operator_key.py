"""How our own processes show the gateway that they are its operator's: by the key file beside the data.

The gateway writes the file, readable by its owner only, when it first needs keys. The learner and the command line read
it anew for each use, so a key that was made or exchanged meanwhile is found. `RATCHET_API_KEY` comes first, for hosts
that do not share the data folder. Must never be logged, shown, or put into an error.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from feedback.files import sync_folder

FILE_NAME = "operator-key"
VARIABLE = "RATCHET_API_KEY"


def operator_headers(data_dir: Path, environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The headers that carry the key; none where there is none, which is right for a gateway without keys."""
    key = environ.get(VARIABLE, "").strip()
    if not key:
        try:
            key = (data_dir / FILE_NAME).read_text("ascii").strip()
        except (OSError, UnicodeDecodeError):
            return {}
    return {"authorization": f"Bearer {key}"} if key and key.isascii() and key.isprintable() else {}


def write_operator_key(data_dir: Path, token: str) -> Path:
    """Put the key where `operator_headers` finds it, whole or not at all, for its owner's eyes only. Gives the path."""
    path = data_dir / FILE_NAME
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="ascii") as file:
        file.write(token + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)
    sync_folder(data_dir)
    return path
