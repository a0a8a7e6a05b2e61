"""What the store has already of what is about to be imported, a batch at a time.

Turns are known by the end of their ids. A verdict is known by that too, or by saying what the same person has said
already: a tool that was given our verdicts hands them back without their ids.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from feedback.annotations import Annotation
from feedback.preferences import Preference
from feedback.ratings import Rating
from feedback.store.database import Store
from feedback.store.table import Table
from feedback.store.tables import ANNOTATIONS, PREFERENCES, RATINGS
from service.transfer.making import DIGITS

Verdict = Rating | Annotation | Preference
TABLE_OF: dict[type, Table[Any]] = {Rating: RATINGS, Annotation: ANNOTATIONS, Preference: PREFERENCES}
NOT_SAID = frozenset({"created_at", "item_id", "guideline", "seconds"})
"""What two verdicts that say the same may differ in, beside their ids."""
IN = "IN (SELECT unnest(?::VARCHAR[]))"


class Known:
    """The turns and verdicts of one batch that are stored, and those that the batch itself adds."""

    def __init__(self, store: Store, keys: Iterable[str]) -> None:
        """`keys`: of every turn of the batch. Reads the store: not for the event loop."""
        with store.reader() as cursor:
            found = cursor.execute(
                f"SELECT turn_id FROM turns WHERE right(turn_id, {DIGITS}) {IN}", [sorted(set(keys))]
            )
            self._turns = {str(turn_id)[-DIGITS:]: str(turn_id) for (turn_id,) in found.fetchall()}
        self.stored = frozenset(self._turns.values())
        """Ids of those that were there before."""
        self._verdicts: set[Any] = set()
        for table in TABLE_OF.values():
            for row in store.rows(table, f"WHERE turn_id {IN}", [sorted(self.stored)]) if self.stored else []:
                self.remember(row)

    def turn(self, key: str) -> str | None:
        """The id of the turn with that key."""
        return self._turns.get(key)

    def take(self, key: str, turn_id: str) -> None:
        """A turn of this batch."""
        self._turns[key] = turn_id

    def has(self, verdict: Verdict, *, by_id_only: bool) -> bool:
        """Whether it is there. `by_id_only`: it has an id of its own, and may well repeat what was said before."""
        return _id(verdict)[-DIGITS:] in self._verdicts or (not by_id_only and _said(verdict) in self._verdicts)

    def remember(self, verdict: Verdict) -> None:
        """A verdict that is there from now on."""
        self._verdicts.add(_id(verdict)[-DIGITS:])
        self._verdicts.add(_said(verdict))


def gone(store: Store, turn_ids: Iterable[str]) -> list[str]:
    """Those of the ids that are no turn's any more."""
    wanted = sorted(set(turn_ids))
    with store.reader() as cursor:
        rows = cursor.execute(f"SELECT turn_id FROM turns WHERE turn_id {IN}", [wanted]).fetchall()
    found = {turn_id for (turn_id,) in rows}
    return [turn_id for turn_id in wanted if turn_id not in found]


def _id(verdict: Verdict) -> str:
    return str(getattr(verdict, TABLE_OF[type(verdict)].columns[0]))


def _said(verdict: Verdict) -> bytes:
    """What it says, and of which turn; nothing of when and by which way."""
    own = TABLE_OF[type(verdict)].columns[0]
    fields = {name: value for name, value in msgspec.structs.asdict(verdict).items() if name not in NOT_SAID}
    del fields[own]
    return msgspec.json.encode([own, fields], order="sorted")
