"""Taking rows out: the turns of one person or of an age, and everything that was said of them.

The store is added to and otherwise left as it is; this is the one exception. Rows go in small batches, each one
transaction in the writer's own thread, so that nobody's acknowledgement waits for more than one. A batch goes whole: a
turn never goes without what was said of it.

Deleting leaves the text in the file's free blocks until something else is written there; `rewrite` takes it out of the
file.
"""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

import duckdb
import msgspec

from feedback.errors import InvalidInput
from feedback.keys import KeyRevoked
from feedback.store.connection import Connection
from feedback.store.tables import KEYED, TABLES

ABOUT = "turn_id IN (SELECT unnest(?::VARCHAR[]))"
ABOUT_OTHER = f"other_{ABOUT}"
SUSPECTED = "kind = 'rater' AND target = ?"
BATCH_TURNS = 256
"""Turns that go in one transaction: some ten milliseconds among a million."""


class Whose(msgspec.Struct, frozen=True, kw_only=True):
    """Whose rows, or which: exactly one of the four says it."""

    subject: str = ""
    """Turns of this person, and what they said of anybody's."""
    conversation: str = ""
    turn: str = ""
    before: dt.datetime | None = None
    """Turns begun before this time."""

    @property
    def kind(self) -> str:
        """Which of the four: `subject`, `conversation`, `turn` or `age`. Raises InvalidInput unless it is one."""
        given = {"subject": self.subject, "conversation": self.conversation, "turn": self.turn, "age": self.before}
        named = [name for name, value in given.items() if value]
        if len(named) != 1:
            raise InvalidInput(
                f"{len(named)} of subject, conversation and turn are given.", "Name one person, conversation or turn."
            )
        return named[0]

    def condition(self) -> tuple[str, Any]:
        """What of `turns` is meant: SQL and its value."""
        match self.kind:
            case "subject":
                return "subject = ?", self.subject
            case "conversation":
                return "conversation_id = ?", self.conversation
            case "turn":
                return "turn_id = ?", self.turn
            case _:
                assert self.before is not None
                return "created_at < ?", self.before.astimezone(dt.UTC).replace(tzinfo=None)


class Doomed(msgspec.Struct, frozen=True, kw_only=True):
    """A turn that is about to go, and how much goes with it."""

    turn_id: str
    subject: str = ""
    attachments: list[str] = []
    ratings: int = 0
    annotations: int = 0


class Removed(msgspec.Struct, frozen=True, kw_only=True):
    """How many rows went."""

    turns: int = 0
    ratings: int = 0
    annotations: int = 0
    others: int = 0
    """Of labelling: items, leases, reviews, …"""

    def __add__(self, other: Removed) -> Removed:
        return Removed(
            turns=self.turns + other.turns,
            ratings=self.ratings + other.ratings,
            annotations=self.annotations + other.annotations,
            others=self.others + other.others,
        )


def next_turns(cursor: duckdb.DuckDBPyConnection, whose: Whose) -> list[Doomed]:
    """The next few turns that are meant; none when all are gone."""
    condition, value = whose.condition()
    query = f"SELECT turn_id, subject, coalesce(attachments, '[]') FROM turns WHERE {condition} LIMIT {BATCH_TURNS}"
    found = cursor.execute(query, [value]).fetchall()
    said = {
        table: _counts_about(cursor, table, [turn_id for turn_id, *_ in found]) for table in ("ratings", "annotations")
    }
    return [
        Doomed(
            turn_id=turn_id,
            subject=subject,
            attachments=msgspec.json.decode(names, type=list[str]),
            ratings=said["ratings"].get(turn_id, 0),
            annotations=said["annotations"].get(turn_id, 0),
        )
        for turn_id, subject, names in found
    ]


def _counts_about(cursor: duckdb.DuckDBPyConnection, table: str, turn_ids: list[str]) -> dict[str, int]:
    query = f"SELECT turn_id, count(*) FROM {table} WHERE {ABOUT} GROUP BY turn_id"
    return dict(cursor.execute(query, [turn_ids]).fetchall()) if turn_ids else {}


def verdicts_of(cursor: duckdb.DuckDBPyConnection, subject: str) -> Removed:
    """How many rows this person wrote, about whosever turns, and how many are about them."""
    found = {table.name: _count(cursor, table.name, f"{table.by} = ?", subject) for table in TABLES if table.by}
    found["quarantines"] = _count(cursor, "quarantines", SUSPECTED, subject)
    return _counted(found)


def _count(cursor: duckdb.DuckDBPyConnection, table: str, condition: str, value: str) -> int:
    return int(cursor.execute(f"SELECT count(*) FROM {table} WHERE {condition}", [value]).fetchall()[0][0])


def _counted(rows: Mapping[str, int]) -> Removed:
    """Rows by table, as they are told of. What is only a copy of something, or worked out from it, is not."""
    named = {name: rows.get(name, 0) for name in ("turns", "ratings", "annotations")}
    untold = {*named, KEYED.name, "facets"}
    return Removed(**named, others=sum(count for name, count in rows.items() if name not in untold))


def written_into(cursor: duckdb.DuckDBPyConnection, subject: str) -> list[str]:
    """Turns of others that may be learnt with this person's words: those that they corrected or gave phrases for."""
    rows = cursor.execute(
        """
        SELECT turn_id FROM ratings WHERE rater = $whose AND corrected_reply IS NOT NULL
        UNION SELECT turn_id FROM annotations
        WHERE annotator = $whose AND (corrected_reply IS NOT NULL OR accept <> '[]')
        """,
        {"whose": subject},
    ).fetchall()
    return sorted(turn_id for (turn_id,) in rows)


def remove_turns(connection: Connection, turn_ids: Sequence[str]) -> Removed:
    """Take these turns out, with all that was said of them, in one transaction. For the writer's thread only."""
    ids = list(turn_ids)
    about = [("preferences", ABOUT_OTHER, ids), ("facets", ABOUT, ids)]
    return _remove(connection, [*about, *((table.name, ABOUT, ids) for table in TABLES if table.of_turns)])


def remove_verdicts(connection: Connection, subject: str) -> Removed:
    """Take out every row that names this person as who wrote it, or whom it is about, of whosever turns. For the
    writer's thread only."""
    given = [table for table in TABLES if table.by]
    keys = [
        (KEYED.name, f"answer_id IN (SELECT {table.columns[0]} FROM {table.name} WHERE {table.by} = ?)", subject)
        for table in given
    ]
    suspected = [("quarantines", SUSPECTED, subject)]
    return _remove(
        connection,
        [*keys, *suspected, *((table.name, f"{table.by} = ?", subject) for table in given)],
        [("UPDATE guidelines SET author = '' WHERE author = ?", subject)],
    )


def keys_of(cursor: duckdb.DuckDBPyConnection, subject: str) -> list[str]:
    """Ids of this person's API keys, also of those that hold no longer."""
    rows = cursor.execute("SELECT key_id FROM api_keys WHERE subject = ? ORDER BY key_id", [subject]).fetchall()
    return [key_id for (key_id,) in rows]


def end_keys(connection: Connection, key_ids: Sequence[str], revocations: Sequence[KeyRevoked]) -> None:
    """Revoke keys and take names and subject out of keys, in one transaction. For the writer's thread only."""
    with connection.cursor() as cursor:
        cursor.begin()
        try:
            for one in revocations:
                moment = one.created_at.astimezone(dt.UTC).replace(tzinfo=None)
                values = [one.revocation_id, one.key_id, moment]
                cursor.execute(
                    "INSERT INTO api_key_revocations (revocation_id, key_id, created_at) VALUES (?, ?, ?)", values
                )
            ended = "key_id IN (SELECT unnest(?::VARCHAR[]))"
            cursor.execute(f"UPDATE api_keys SET name = '', subject = '' WHERE {ended}", [list(key_ids)])
            cursor.commit()
        except duckdb.Error:
            with contextlib.suppress(duckdb.Error):  # a commit that fails has rolled back already
                cursor.rollback()
            raise


def remove_keyed(connection: Connection, before: dt.datetime) -> int:
    """Take out what was answered to keys before then, for it holds text; gives how many. For the writer's thread."""
    moment = before.astimezone(dt.UTC).replace(tzinfo=None)
    with connection.cursor() as cursor:  # one statement is a transaction of its own
        ((count,),) = cursor.execute("DELETE FROM idempotency_keys WHERE created_at < ?", [moment]).fetchall()
    return int(count)


def _remove(
    connection: Connection, conditions: Sequence[tuple[str, str, Any]], changes: Sequence[tuple[str, Any]] = ()
) -> Removed:
    """Delete from each table, in order, what the condition says of it; then make the changes."""
    counts: dict[str, int] = {}
    with connection.cursor() as cursor:
        cursor.begin()
        try:
            for table, condition, value in conditions:
                ((count,),) = cursor.execute(f"DELETE FROM {table} WHERE {condition}", [value]).fetchall()
                counts[table] = counts.get(table, 0) + count
            for change, value in changes:
                cursor.execute(change, [value])
            cursor.commit()
        except duckdb.Error:
            with contextlib.suppress(duckdb.Error):  # a commit that fails has rolled back already
                cursor.rollback()
            raise
    return _counted(counts)


def referenced(cursor: duckdb.DuckDBPyConnection, names: Sequence[str]) -> set[str]:
    """Those of the attachments that some turn still has."""
    rows = cursor.execute(
        """
        SELECT name FROM (SELECT unnest(?::VARCHAR[]) AS name) WHERE EXISTS (
            SELECT 1 FROM turns WHERE attachments <> '[]' AND contains(attachments, '"' || name || '"'))
        """,
        [list(names)],
    ).fetchall()
    return {name for (name,) in rows}
