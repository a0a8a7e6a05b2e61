"""Writes on their way to the disk, and the cursor that carries a batch of them there in one transaction.

Making a cursor and its appenders costs a quarter of a small commit's CPU, so the writer keeps them from batch to batch.
After an error the appenders are dropped with the rows that they hold: a row must never be committed by a later batch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import duckdb

from feedback.store.connection import Connection
from feedback.store.table import Row, Table
from feedback.store.tables import TURNS


@dataclass(slots=True, eq=False)
class Write:
    """One row on its way to the disk."""

    table: Table[Any]
    row: Row
    future: Future[None] = field(default_factory=Future)
    beside: tuple[tuple[Table[Any], Row], ...] = ()
    """Rows of other tables that are stored with it, or not at all."""

    @property
    def item_id(self) -> str:
        return str(self.row[0])

    @property
    def turn_id(self) -> str:
        """The turn that it is about, if it is about one. Ids come first: a turn's own, or the second column."""
        if not self.table.of_turns:
            return ""
        return str(self.row[0] if self.table is TURNS else self.row[1])

    @property
    def characters(self) -> int:
        return sum(len(cell) for cell in self.row if isinstance(cell, str))


@dataclass(slots=True, eq=False)
class Act:
    """Something else for the writer's thread, alone between two commits, and never while a cursor of the writer's is
    open: taking rows out, letting another file take the database's place."""

    run: Callable[[Connection], Any]
    future: Future[Any] = field(default_factory=Future)


class Session:
    """The writer's cursor with an appender for each table that it has written to."""

    def __init__(self, cursor: duckdb.DuckDBPyConnection) -> None:
        self._cursor = cursor
        self._appenders: dict[str, duckdb.Appender] = {}

    def commit(self, batch: Sequence[Write]) -> None:
        """Make the batch durable, or nothing of it. Raises duckdb.Error."""
        self._cursor.begin()
        try:
            for table in {write.table.name: write.table for write in batch}.values():
                appender = self._appender(table)
                appender.append_rows([write.row for write in batch if write.table is table])
                appender.flush()
            beside: dict[Table[Any], list[Row]] = {}
            for write in batch:
                for table, row in write.beside:
                    beside.setdefault(table, []).append(row)
            for table, rows in beside.items():
                appender = self._appender(table)
                appender.append_rows(rows)
                appender.flush()
            self._cursor.commit()
        except duckdb.Error:
            for appender in self._appenders.values():
                appender.clear()
            self._appenders.clear()
            with contextlib.suppress(duckdb.Error):  # a commit that fails has rolled back already
                self._cursor.rollback()
            raise

    def stored(self, turn_ids: set[str]) -> set[str]:
        """Those of the ids that are turns."""
        marks = ", ".join("?" * len(turn_ids))
        query = f"SELECT turn_id FROM turns WHERE turn_id IN ({marks})"
        return {turn_id for (turn_id,) in self._cursor.execute(query, list(turn_ids)).fetchall()}

    def checkpoint(self) -> None:
        """Fold the log into the file. Raises duckdb.Error; the log then stays, and is as durable as the file."""
        self._cursor.execute("CHECKPOINT")

    def _appender(self, table: Table[Any]) -> duckdb.Appender:
        appender = self._appenders.get(table.name)
        if appender is None:
            appender = self._cursor.appender(table.name, columns=list(table.columns))
            self._appenders[table.name] = appender
        return appender
