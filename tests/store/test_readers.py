"""Readers see one committed state, and neither hold the writer up nor are disturbed by it."""

from __future__ import annotations

import time

import duckdb
import pytest

from feedback.settings import StoreSettings
from feedback.store.database import Store
from tests.fakes.rows import a_turn


def fill(store: Store, turns: int) -> None:
    for future in [store.add_turn(a_turn(reply="x" * 500)) for _ in range(turns)]:
        future.result(30)


def test_a_reader_keeps_its_state_while_others_write_and_the_log_is_folded_in(store: Store) -> None:
    fill(store, 5000)
    with store.reader() as cursor:
        stream = cursor.execute("SELECT turn_id FROM turns ORDER BY turn_id")
        seen = len(stream.fetchmany(10))
        for _ in range(5):
            fill(store, 200)
            time.sleep(0.1)  # longer than idle_checkpoint_s: the writer checkpoints between
        while rows := stream.fetchmany(1000):
            seen += len(rows)
        assert seen == 5000
        assert cursor.execute("SELECT count(*) FROM turns").fetchall() == [(5000,)]
    assert store.counts()["turns"] == 6000


def test_a_long_reader_does_not_hold_writes_up(store: Store) -> None:
    fill(store, 1000)
    with store.reader() as cursor:
        cursor.execute("SELECT turn_id FROM turns").fetchmany(1)
        begun = time.monotonic()
        fill(store, 1)
        assert time.monotonic() - begun < 5
    assert store.counts()["turns"] == 1001


def test_a_reader_can_not_write_and_its_error_harms_nobody(store: Store) -> None:
    fill(store, 1)
    with pytest.raises(duckdb.Error, match="read-only"), store.reader() as cursor:
        cursor.execute("DELETE FROM turns")
    with pytest.raises(duckdb.BinderException), store.reader() as cursor:
        cursor.execute("SELECT nothing_like_it FROM turns")
    fill(store, 1)
    assert store.counts()["turns"] == 2


def test_a_name_that_is_no_table_is_never_taken_for_a_python_variable(store: Store) -> None:
    ratinsg = [1, 2, 3]
    with pytest.raises(duckdb.CatalogException), store.reader() as cursor:
        cursor.execute("SELECT * FROM ratinsg")
    assert ratinsg


def test_the_store_can_be_closed_under_a_reader_and_opened_only_after_it_left(
    store: Store, settings: StoreSettings
) -> None:
    fill(store, 10)
    with store.reader() as cursor:
        store.close()
        assert cursor.execute("SELECT count(*) FROM turns").fetchall() == [(10,)]
        with pytest.raises(Exception, match="open in this process"):
            Store.open(settings)
    again = Store.open(settings)
    assert again.counts()["turns"] == 10
    again.close()
