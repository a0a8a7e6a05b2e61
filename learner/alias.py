"""alias.json: which version answers to which name. The one artefact that moves, replaced atomically.

A file format only: `service` imports this module, so it must never import the training stack. The gateway reads the
file on every request by its stat, so a swap is one `os.replace` and is seen by the next request.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import msgspec

from feedback.errors import RatchetError
from feedback.files import replace_file

FORMAT = 1


class AliasCorrupt(RatchetError):
    code = "alias-corrupt"


class Served(msgspec.Struct, frozen=True, kw_only=True):
    """One version as it is served."""

    version: str
    """SemVer in the registry, for example `1.1.0`."""
    tag: str
    """The upstream's immutable name for it, for example `assistant:1.1.0`."""


class Alias(msgspec.Struct, frozen=True, kw_only=True):
    """A name that people chat with."""

    champion: Served
    challenger: Served | None = None
    challenger_share: float = 0.0
    """Share of conversations that the challenger answers, 0 to 1."""
    changed_at: dt.datetime
    reason: str = ""
    """Why it last moved: a cycle's id, a promotion, a rollback."""
    previous: list[Served] = []
    """Former champions, newest first: where a rollback goes."""


class AliasFile(msgspec.Struct, frozen=True, kw_only=True):
    format: int = FORMAT
    aliases: dict[str, Alias] = {}


def read_aliases(path: Path) -> AliasFile:
    """The aliases as they stand; none where the file does not exist. Raises AliasCorrupt, naming the file."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return AliasFile()
    try:
        return msgspec.json.decode(data, type=AliasFile)
    except msgspec.DecodeError as error:
        raise AliasCorrupt(
            f"{path} can't be read: {error}.", "Restore it, or `ratchet promote` a version to write it anew."
        ) from error


def write_aliases(path: Path, aliases: AliasFile) -> float:
    """Replace the file atomically and durably; returns the seconds that the swap itself took."""
    return replace_file(path, msgspec.json.format(msgspec.json.encode(aliases), indent=2))
