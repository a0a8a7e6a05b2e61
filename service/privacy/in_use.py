"""Attachments that exchanges under way are going to name: they may not be deleted, though no stored turn has them yet.

Two people may send the same picture, and it is kept once. Were the first one erased while the second waits for a reply,
the second one's turn would name a file that is gone.
"""

from __future__ import annotations

import threading
import weakref
from collections import Counter
from collections.abc import Iterable
from pathlib import Path


class InUse:
    """Names, for as long as whoever holds them lives. Thread-safe."""

    def __init__(self) -> None:
        self._gate = threading.RLock()  # a holder may be collected, and let go, in the thread that is inside
        self._held: Counter[str] = Counter()

    def hold(self, holder: object, names: Iterable[str]) -> None:
        """Keep these from being deleted until `holder` is no more. Call it before looking whether a file exists."""
        held = list(names)
        with self._gate:
            self._held.update(held)
        weakref.finalize(holder, self._let_go, held).atexit = False

    def unlink(self, file: Path) -> bool:
        """Delete a file; False, and it stays, while somebody holds its name."""
        with self._gate:
            if file.name in self._held:
                return False
            file.unlink(missing_ok=True)
            return True

    def _let_go(self, names: list[str]) -> None:
        with self._gate:
            self._held -= Counter(names)
