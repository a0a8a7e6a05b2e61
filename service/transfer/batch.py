"""What some records of an import add, all of it in one transaction, and why others were refused."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any

import msgspec

from feedback.errors import InvalidInput
from feedback.formats.splitting import Raw
from feedback.store.database import Store
from feedback.store.table import Table
from feedback.store.tables import TURNS
from service.transfer.known import TABLE_OF, gone


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why a record was refused."""

    line: int
    """The line on which it begins."""
    code: str
    message: str
    mend: str


class Batch:
    """What some records add, and why others were refused."""

    def __init__(self) -> None:
        self.rows: list[Any] = []
        self.counts: dict[str, int] = {}
        self.problems: list[Problem] = []
        self.about: frozenset[str] = frozenset()
        """Turns that were stored before and that verdicts may be about."""

    def take(self, rows: list[Any]) -> None:
        """A record's rows."""
        if not rows:
            self.count("known", 1)
        for row in rows:
            self.count(table_of(row).name, 1)
        self.rows += rows

    def refuse(self, raw: Raw, error: InvalidInput) -> None:
        """A record that is not taken."""
        self.count("failed", 1)
        self.problems.append(Problem(line=raw.line, code=error.code, message=error.message, mend=error.mend))

    def count(self, name: str, by: int) -> None:
        """One of the report's numbers."""
        self.counts[name] = self.counts.get(name, 0) + by

    def add(self, store: Store) -> Future[None]:
        """Everything, in one transaction."""
        self.rows.sort(key=lambda row: not is_turn(row))
        first, *others = self.rows
        return store.add(table_of(first), first, *((table_of(row), row) for row in others))

    def take_back_orphans(self, store: Store) -> None:
        """A turn may have been erased after it was looked up: then nothing may be left that was said of it."""
        about = {row.turn_id for row in self.rows if not is_turn(row)} & self.about
        if about and (erased := gone(store, about)):
            store.remove_turns(erased)


def is_turn(row: Any) -> bool:
    return table_of(row) is TURNS


def table_of(row: Any) -> Table[Any]:
    """Where a row belongs."""
    return TABLE_OF.get(type(row), TURNS)
