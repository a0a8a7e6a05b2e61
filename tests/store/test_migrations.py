"""A store grows with the code, keeps its rows and a copy, and is never damaged by other code."""

from __future__ import annotations

import duckdb
import pytest

from feedback.errors import StoreUnavailable
from feedback.settings import StoreSettings
from feedback.store.database import Store
from feedback.store.migrations import MIGRATIONS
from tests.fakes.rows import a_turn


def add_mood(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("ALTER TABLE turns ADD COLUMN mood VARCHAR DEFAULT 'calm'")


def spoil_half_way(con: duckdb.DuckDBPyConnection) -> None:
    con.execute("ALTER TABLE turns ADD COLUMN half VARCHAR")
    con.execute("UPDATE turns SET half = 'done'")
    con.execute("SELECT no_such_column FROM turns")


def columns(store: Store) -> list[str]:
    with store.reader() as cursor:
        return [name for (name,) in cursor.execute("SELECT column_name FROM (DESCRIBE turns)").fetchall()]


def ledger(store: Store) -> list[str]:
    with store.reader() as cursor:
        return [name for (name,) in cursor.execute("SELECT name FROM migrations").fetchall()]


def kept_copies(settings: StoreSettings) -> list[str]:
    return sorted(file.name for file in settings.data_dir.glob("*.after-*"))


def test_a_new_store_is_migrated_without_a_copy_and_reopening_does_nothing(settings: StoreSettings) -> None:
    for _ in range(2):
        store = Store.open(settings)
        assert ledger(store) == [migration.__name__ for migration in MIGRATIONS]
        store.close()
    assert kept_copies(settings) == []


def test_a_further_migration_keeps_the_rows_and_a_copy_of_what_was(settings: StoreSettings) -> None:
    released = [migration.__name__ for migration in MIGRATIONS]
    store = Store.open(settings)
    turns = [a_turn(turn_id=f"turn-{number}") for number in range(3)]
    for turn in turns:
        store.add_turn(turn).result(10)
    store.close()

    store = Store.open(settings, (*MIGRATIONS, add_mood))
    try:
        assert store.turns() == turns
        assert "mood" in columns(store)
        assert ledger(store) == [*released, "add_mood"]
        store.add_turn(a_turn()).result(10)
        with store.reader() as cursor:
            assert cursor.execute("SELECT DISTINCT mood FROM turns").fetchall() == [("calm",)]
    finally:
        store.close()

    assert kept_copies(settings) == [f"ratchet.after-{released[-1]}.duckdb"]
    with duckdb.connect(str(settings.data_dir / kept_copies(settings)[0]), read_only=True) as copy:
        assert copy.execute("SELECT count(*) FROM turns").fetchall() == [(3,)]
        assert copy.execute("SELECT name FROM migrations").fetchall() == [(name,) for name in released]


def test_turns_from_before_there_were_attachments_have_none(settings: StoreSettings) -> None:
    store = Store.open(settings, MIGRATIONS[:1])
    with store._connection.cursor() as cursor:  # as the release wrote them that had no such column
        cursor.execute("""
            INSERT INTO turns VALUES ('turn-1', 'c', '2026-11-24', 'assistant', '1.0.0', 'assistant:1.0.0', 'ollama',
                'whole', 'stop', '', 1, 1, 1, 1, '{}', '[]', '[{"role":"user","content":"Hi"}]', 'Hello')
        """)
    store.close()
    store = Store.open(settings)
    try:
        assert store.turn("turn-1").attachments == [] and store.turn("turn-1").reply == "Hello"
        turn = a_turn(attachments=["a" * 64])
        store.add_turn(turn).result(10)
        assert store.turn(turn.turn_id) == turn
    finally:
        store.close()


def test_a_failed_migration_leaves_the_old_state(settings: StoreSettings) -> None:
    store = Store.open(settings)
    turn = a_turn()
    store.add_turn(turn).result(10)
    before = columns(store)
    store.close()
    with pytest.raises(StoreUnavailable, match="could not be migrated by spoil_half_way"):
        Store.open(settings, (*MIGRATIONS, spoil_half_way))

    store = Store.open(settings)
    try:
        assert columns(store) == before
        assert ledger(store) == [migration.__name__ for migration in MIGRATIONS]
        assert store.turns() == [turn]
    finally:
        store.close()


def test_a_store_of_a_newer_release_is_refused_untouched(settings: StoreSettings) -> None:
    Store.open(settings, (*MIGRATIONS, add_mood)).close()
    file = settings.data_dir / "ratchet.duckdb"
    before = file.read_bytes()
    with pytest.raises(StoreUnavailable, match="does not know its migration 'add_mood'"):
        Store.open(settings)
    assert file.read_bytes() == before
    Store.open(settings, (*MIGRATIONS, add_mood)).close()


def test_somebody_elses_database_is_refused_untouched(settings: StoreSettings) -> None:
    settings.data_dir.mkdir()
    with duckdb.connect(str(settings.data_dir / "ratchet.duckdb")) as foreign:
        foreign.execute("CREATE TABLE turns (something VARCHAR)")
    with pytest.raises(StoreUnavailable, match="not one of Ratchet's"):
        Store.open(settings)
    with duckdb.connect(str(settings.data_dir / "ratchet.duckdb"), read_only=True) as foreign:
        assert foreign.execute("SHOW TABLES").fetchall() == [("turns",)]
