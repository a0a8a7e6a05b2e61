"""Which writes of a batch may be written: those whose turn is known, and whose id is fresh.

Ids of late are remembered, as most ratings follow their turn soon and need no look-up then; the others are looked up,
all of a batch at once. Whoever may not pass has their own future failed, and nobody else's.
"""

from __future__ import annotations

from collections.abc import Sequence

from feedback.errors import Conflict, RatchetError, UnknownTurn
from feedback.store.session import Session, Write
from feedback.store.tables import TURNS

RECENT_IDS = 16_384
"""How many of the newest ids are remembered."""


class Admission:
    """For the writer's thread only."""

    def __init__(self) -> None:
        self._recent: dict[str, None] = {}

    def admit(self, session: Session, batch: Sequence[Write]) -> list[Write]:
        """Those that may be written; the others' futures fail here. Raises duckdb.Error."""
        coming = {write.item_id for write in batch if write.table is TURNS}
        named = {write.turn_id for write in batch if write.table.of_turns} - coming
        asked = {turn_id for turn_id in named if turn_id not in self._recent}  # `- keys()` would go through all of them
        known = session.stored(asked) if asked else set()
        admitted: list[Write] = []
        fresh: set[str] = set()
        for write in batch:
            if write.item_id in self._recent or write.item_id in fresh:
                fail([write], Conflict(f"{write.item_id} is stored already.", "Mint an id for each: mint.new_id()."))
            elif (
                not write.table.of_turns
                or write.turn_id in coming
                or write.turn_id in self._recent
                or write.turn_id in known
            ):
                fresh.add(write.item_id)
                admitted.append(write)
            else:
                fail([write], unknown_turn(write.turn_id))
        return admitted

    def remember(self, batch: Sequence[Write]) -> None:
        """These are on disk."""
        self._recent.update(dict.fromkeys(write.item_id for write in batch))
        while len(self._recent) > RECENT_IDS:
            del self._recent[next(iter(self._recent))]

    def forget(self) -> None:
        """Rows may have been taken out: nothing is known for certain any more."""
        self._recent.clear()


def unknown_turn(turn_id: str) -> UnknownTurn:
    return UnknownTurn(f"There is no turn {turn_id[:64]!r}.", "Take the id from the answer's X-Turn-Id header.")


def fail(batch: Sequence[Write], error: RatchetError) -> None:
    """Fail the futures that were not answered yet."""
    for write in batch:
        if not write.future.done():
            write.future.set_exception(error)
