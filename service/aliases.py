"""Which version answers to a name, re-read whenever `alias.json` changes.

One stat per request and a parse only after a swap, so that a swap is seen by the very next request and costs nothing
in between. A file that is damaged while the gateway runs must not stop it: the last good one stays, and the log
says so.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from feedback.errors import UnknownAlias
from learner.alias import Alias, AliasCorrupt, AliasFile, Served, read_aliases

log = logging.getLogger(__name__)


class AliasBook:
    """The aliases as they stand."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._file = AliasFile()

    def all(self) -> dict[str, Alias]:
        """Name → alias. Raises AliasCorrupt where the file is damaged and no good one was read before."""
        seen = self._stat()
        if seen != self._seen:
            try:
                self._file = read_aliases(self.path)
            except AliasCorrupt as error:
                if not self._file.aliases:
                    raise
                log.error("alias-corrupt", extra={"fields": {"message": error.message, "mend": error.mend}})
            self._seen = seen
        return self._file.aliases

    def find(self, asked: str) -> tuple[str, Alias]:
        """The alias that a client asked for, and its own name; `name:latest` is `name`, as Ollama's clients write it.

        Raises UnknownAlias, listing the known names.
        """
        aliases = self.all()
        for name in (asked, asked.removesuffix(":latest")):
            if name in aliases:
                return name, aliases[name]
        known = ", ".join(sorted(aliases)) or "none yet"
        raise UnknownAlias(f"There is no model {asked[:100]!r} here.", f"Known names: {known}.")

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            stat = self.path.stat()
        except FileNotFoundError:
            return None
        return stat.st_mtime_ns, stat.st_ino, stat.st_size


def route(alias: Alias, conversation_id: str) -> Served:
    """Which version answers a conversation: always the same one for the same conversation."""
    if alias.challenger is None or alias.challenger_share <= 0:
        return alias.champion
    place = int.from_bytes(hashlib.sha256(conversation_id.encode()).digest()[:8], "big") / 2**64
    return alias.challenger if place < alias.challenger_share else alias.champion
