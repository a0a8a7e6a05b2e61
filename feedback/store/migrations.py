"""How the database's shape changes: plain functions, applied in order, and a table that remembers which were.

Each runs in a transaction together with its entry in the ledger, so a migration that fails leaves the old state. Before
an existing store is migrated its file is copied aside. A database newer than this code is refused untouched.
A migration that was released must never change: write another one after it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path

import duckdb

from feedback.errors import StoreUnavailable
from feedback.mint import now
from feedback.store.backup import copy_database

Migration = Callable[[duckdb.DuckDBPyConnection], object]


def first_tables(con: duckdb.DuckDBPyConnection) -> None:
    """Turns and what people said of them.

    No primary keys and no other index: an index is maintained in every commit and replayed from the log, and ids are
    minted here with 80 random bits. Ids sort by time, so DuckDB's min and max of each block find a row by its id.
    """
    con.execute("""
        CREATE TABLE turns (
            turn_id VARCHAR NOT NULL, conversation_id VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL,
            alias VARCHAR NOT NULL, version VARCHAR NOT NULL, model_tag VARCHAR NOT NULL,
            dialect VARCHAR NOT NULL, status VARCHAR NOT NULL, done_reason VARCHAR NOT NULL, subject VARCHAR NOT NULL,
            prompt_tokens INTEGER, reply_tokens INTEGER, first_token_ms DOUBLE, total_ms DOUBLE NOT NULL,
            options VARCHAR NOT NULL, filter_hits VARCHAR NOT NULL, messages VARCHAR NOT NULL, reply VARCHAR NOT NULL)
    """)
    con.execute("""
        CREATE TABLE ratings (
            rating_id VARCHAR NOT NULL, turn_id VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL, rater VARCHAR NOT NULL,
            verdict VARCHAR, stars TINYINT, task_completed BOOLEAN, reasons VARCHAR NOT NULL, comment VARCHAR NOT NULL,
            corrected_reply VARCHAR)
    """)
    con.execute("""
        CREATE TABLE annotations (
            annotation_id VARCHAR NOT NULL, turn_id VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL,
            annotator VARCHAR NOT NULL, tier VARCHAR NOT NULL, accuracy TINYINT NOT NULL, fluency TINYINT NOT NULL,
            accept VARCHAR NOT NULL, note VARCHAR NOT NULL, corrected_reply VARCHAR)
    """)


def attachments_of_turns(con: duckdb.DuckDBPyConnection) -> None:
    """Turns carry images, by their hashes; those from before carried none."""
    con.execute("ALTER TABLE turns ADD COLUMN attachments VARCHAR DEFAULT '[]'")


def api_keys(con: duckdb.DuckDBPyConnection) -> None:
    """Who may use the gateway. No index either: all keys are read once, when the gateway starts."""
    con.execute("""
        CREATE TABLE api_keys (
            key_id VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL, role VARCHAR NOT NULL, store BOOLEAN NOT NULL,
            expires_at TIMESTAMP, requests_per_minute INTEGER NOT NULL, tokens_per_minute INTEGER NOT NULL,
            name VARCHAR NOT NULL, subject VARCHAR NOT NULL, scopes VARCHAR NOT NULL, aliases VARCHAR NOT NULL,
            secret_hash VARCHAR NOT NULL)
    """)
    con.execute("""
        CREATE TABLE api_key_revocations (
            revocation_id VARCHAR NOT NULL, key_id VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL)
    """)


def idempotency_keys(con: duckdb.DuckDBPyConnection) -> None:
    """Answers that are given again to whoever sends the same key."""
    con.execute("""
        CREATE TABLE idempotency_keys (
            key_hash VARCHAR NOT NULL, turn_id VARCHAR NOT NULL, answer_id VARCHAR NOT NULL,
            created_at TIMESTAMP NOT NULL, request_hash VARCHAR NOT NULL, said VARCHAR NOT NULL)
    """)


def labelling(con: duckdb.DuckDBPyConnection) -> None:
    """The queue of trained people, what they decide, and what people prefer. What was stored before says nothing of
    either."""
    con.execute("ALTER TABLE turns ADD COLUMN uncertainty DOUBLE")
    for column in (
        "item_id VARCHAR DEFAULT ''", "guideline INTEGER DEFAULT 0", "seconds DOUBLE", "category VARCHAR DEFAULT ''",
        "flags VARCHAR DEFAULT '[]'",
    ):  # fmt: skip
        con.execute(f"ALTER TABLE annotations ADD COLUMN {column}")
    con.execute("CREATE TABLE facets (turn_id VARCHAR NOT NULL, language VARCHAR NOT NULL, topic VARCHAR NOT NULL)")
    _preferences_and_quarantines(con)
    _desks(con)


def _preferences_and_quarantines(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("""
        CREATE TABLE preferences (
            preference_id VARCHAR NOT NULL, turn_id VARCHAR NOT NULL, other_turn_id VARCHAR NOT NULL,
            created_at TIMESTAMP NOT NULL, rater VARCHAR NOT NULL, preferred VARCHAR NOT NULL, reasons VARCHAR NOT NULL,
            comment VARCHAR NOT NULL)
    """)
    con.execute("""
        CREATE TABLE quarantines (
            quarantine_id VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL, kind VARCHAR NOT NULL,
            target VARCHAR NOT NULL, reason VARCHAR NOT NULL, evidence VARCHAR NOT NULL)
    """)
    con.execute("""
        CREATE TABLE lifts (
            lift_id VARCHAR NOT NULL, quarantine_id VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL,
            operator VARCHAR NOT NULL, reason VARCHAR NOT NULL)
    """)


def _desks(con: duckdb.DuckDBPyConnection) -> None:
    about = "turn_id VARCHAR NOT NULL, item_id VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL"
    con.execute("""
        CREATE TABLE items (
            item_id VARCHAR NOT NULL, turn_id VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL, project VARCHAR NOT NULL,
            choice VARCHAR NOT NULL, probability DOUBLE NOT NULL, annotators TINYINT NOT NULL, review BOOLEAN NOT NULL,
            language VARCHAR NOT NULL, topic VARCHAR NOT NULL, version VARCHAR NOT NULL)
    """)
    con.execute(f"""
        CREATE TABLE leases (
            lease_id VARCHAR NOT NULL, {about}, person VARCHAR NOT NULL, stage VARCHAR NOT NULL,
            expires_at TIMESTAMP NOT NULL)
    """)
    con.execute(f"""
        CREATE TABLE skips (
            skip_id VARCHAR NOT NULL, {about}, person VARCHAR NOT NULL, reason VARCHAR NOT NULL, note VARCHAR NOT NULL)
    """)
    con.execute(f"""
        CREATE TABLE reviews (
            review_id VARCHAR NOT NULL, {about}, person VARCHAR NOT NULL, decision VARCHAR NOT NULL,
            annotation_id VARCHAR NOT NULL, reason VARCHAR NOT NULL)
    """)
    con.execute(f"""
        CREATE TABLE gold (
            gold_id VARCHAR NOT NULL, {about}, author VARCHAR NOT NULL, accuracy TINYINT NOT NULL,
            fluency TINYINT NOT NULL, retired BOOLEAN NOT NULL, note VARCHAR NOT NULL)
    """)
    con.execute("""
        CREATE TABLE guidelines (
            guideline_id VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL, project VARCHAR NOT NULL,
            version INTEGER NOT NULL, author VARCHAR NOT NULL, text VARCHAR NOT NULL)
    """)
    con.execute("""
        CREATE TABLE profiles (
            profile_id VARCHAR NOT NULL, created_at TIMESTAMP NOT NULL, person VARCHAR NOT NULL,
            languages VARCHAR NOT NULL, topics VARCHAR NOT NULL)
    """)


MIGRATIONS: tuple[Migration, ...] = (first_tables, attachments_of_turns, api_keys, idempotency_keys, labelling)


def migrate(con: duckdb.DuckDBPyConnection, file: Path, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Bring the database to the newest shape that the code knows.

    Raises StoreUnavailable where the database is newer than the code, or a migration fails.
    """
    applied = _applied(con, file)
    known = [migration.__name__ for migration in migrations]
    if applied != known[: len(applied)]:
        strange = next(name for at, name in enumerate(applied) if known[at : at + 1] != [name])
        raise StoreUnavailable(
            f"{file} was written by another release: this one does not know its migration {strange!r}.",
            "Start the newer release, or restore a backup made by this one.",
        )
    if applied and len(applied) < len(known):
        copy_database(con, file.with_name(f"{file.stem}.after-{applied[-1]}{file.suffix}"))
    for migration in migrations[len(applied) :]:
        _apply(con, migration, file)


def _applied(con: duckdb.DuckDBPyConnection, file: Path) -> list[str]:
    found = con.execute("SELECT table_name FROM duckdb_tables() WHERE database_name = current_database()").fetchall()
    tables = [name for (name,) in found]
    if not tables:
        con.execute("CREATE TABLE migrations (name VARCHAR NOT NULL, applied_at TIMESTAMP NOT NULL)")
    elif "migrations" not in tables:
        raise StoreUnavailable(
            f"{file} is a DuckDB database, but not one of Ratchet's.", "Name another data folder, or move it away."
        )
    return [name for (name,) in con.execute("SELECT name FROM migrations ORDER BY rowid").fetchall()]


def _apply(con: duckdb.DuckDBPyConnection, migration: Migration, file: Path) -> None:
    con.begin()
    try:
        migration(con)
        con.execute("INSERT INTO migrations VALUES (?, ?)", [migration.__name__, now().replace(tzinfo=None)])
        con.commit()
    except duckdb.Error as error:
        with contextlib.suppress(duckdb.Error):  # a failed commit has already rolled back
            con.rollback()
        raise StoreUnavailable(
            f"{file} could not be migrated by {migration.__name__}: {error}",
            "Nothing was changed; free some disk space if it is full, or go back to the release before.",
        ) from error
