"""What goes in comes out; what is not there is said; one process owns the file."""

from __future__ import annotations

import datetime as dt
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from feedback.errors import Conflict, StoreLocked, StoreUnavailable, UnknownTurn
from feedback.settings import StoreSettings
from feedback.store.database import Store
from feedback.store.tables import ANNOTATIONS, RATINGS, TURNS, Table
from tests.fakes.rows import a_hit, a_rating, a_turn, an_annotation

OPEN_ELSEWHERE = """
import pathlib, sys
from feedback.errors import StoreLocked
from feedback.settings import StoreSettings
from feedback.store.database import Store
try:
    Store.open(StoreSettings(data_dir=pathlib.Path(sys.argv[1])))
except StoreLocked as error:
    print(error)
"""


def open_elsewhere(data_dir: Path) -> str:
    """What another process is told that tries to open the store."""
    command = [sys.executable, "-c", OPEN_ELSEWHERE, str(data_dir)]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout


def test_every_field_comes_back_exactly_even_after_reopening(store: Store, settings: StoreSettings) -> None:
    plus_8 = dt.timezone(dt.timedelta(hours=8))
    turn = a_turn(created_at=dt.datetime(2026, 2, 28, 23, 59, 59, 999_999, plus_8), filter_hits=[a_hit()], subject="李")
    bare = a_turn(messages=[], options={}, prompt_tokens=None, reply_tokens=None, first_token_ms=None, status="cut")
    rating = a_rating(
        turn.turn_id, verdict=None, stars=1, reasons=["错", "a"], corrected_reply="b", task_completed=False
    )
    annotation = an_annotation(turn.turn_id, corrected_reply="巴黎", note="n")
    for written in (store.add_turn(turn), store.add_turn(bare), store.add_rating(rating)):
        written.result(10)
    store.add_annotation(annotation).result(10)
    store.close()

    again = Store.open(settings)
    try:
        assert again.turn(turn.turn_id) == turn
        assert again.turn(turn.turn_id).created_at.utcoffset() == dt.timedelta(0)
        assert again.turn(bare.turn_id) == bare
        assert again.ratings(turn.turn_id) == [rating]
        assert again.annotations(turn.turn_id) == [annotation]
        assert again.counts() == {"turns": 2, "ratings": 1, "annotations": 1, "queued": 0}
    finally:
        again.close()


def test_re_rating_appends_and_the_oldest_comes_first(store: Store) -> None:
    turn = a_turn()
    store.add_turn(turn).result(10)
    early, late = dt.datetime(2026, 1, 1, tzinfo=dt.UTC), dt.datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC)
    second, first = a_rating(turn.turn_id, created_at=late), a_rating(turn.turn_id, created_at=early, verdict="down")
    for rating in (second, first):
        store.add_rating(rating).result(10)
    assert store.ratings(turn.turn_id) == [first, second]


def test_turns_are_paged_by_id_without_gap_or_repeat(store: Store) -> None:
    turns = [a_turn(turn_id=f"turn-{number:04d}") for number in range(25)]
    for future in [store.add_turn(turn) for turn in reversed(turns)]:
        future.result(10)
    seen, after = [], ""
    for _ in range(3):
        page = store.turns(after=after, limit=10)
        seen += page
        after = page[-1].turn_id
    assert seen == turns
    assert store.turns(after=after) == []


def test_an_unknown_turn_is_said_to_readers_and_to_raters(store: Store) -> None:
    with pytest.raises(UnknownTurn, match="turn-nowhere"):
        store.turn("turn-nowhere")
    with pytest.raises(UnknownTurn):
        store.add_rating(a_rating("turn-nowhere")).result(10)
    with pytest.raises(UnknownTurn):
        store.add_annotation(an_annotation("turn-nowhere")).result(10)
    assert store.ratings("turn-nowhere") == []
    assert store.counts()["ratings"] == 0


def test_a_turn_from_before_a_restart_can_be_rated(store: Store, settings: StoreSettings) -> None:
    turn = a_turn()
    store.add_turn(turn).result(10)
    store.close()
    again = Store.open(settings)
    try:
        again.add_rating(a_rating(turn.turn_id)).result(10)
        assert len(again.ratings(turn.turn_id)) == 1
    finally:
        again.close()


def test_the_same_turn_twice_is_refused_and_stored_once(store: Store) -> None:
    turn = a_turn()
    futures = [store.add_turn(turn), store.add_turn(turn)]
    futures[0].result(10)
    with pytest.raises(Conflict, match=turn.turn_id):
        futures[1].result(10)
    with pytest.raises(Conflict):
        store.add_turn(turn).result(10)
    assert store.counts()["turns"] == 1


def test_another_process_is_refused_by_the_owners_pid(store: Store, settings: StoreSettings) -> None:
    assert f"is open in process {os.getpid()}." in open_elsewhere(settings.data_dir)


def test_a_backup_does_not_give_the_lock_away(store: Store, settings: StoreSettings, tmp_path: Path) -> None:
    store.backup(tmp_path / "copy.duckdb")
    assert "is open in process" in open_elsewhere(settings.data_dir)


def test_this_process_is_refused_a_second_store_until_the_first_is_closed(
    store: Store, settings: StoreSettings
) -> None:
    with pytest.raises(StoreLocked, match=f"this process \\({os.getpid()}\\)"):
        Store.open(settings)
    store.close()
    Store.open(settings).close()


def test_closing_twice_is_harmless_and_reading_afterwards_is_refused(store: Store) -> None:
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable):
        store.counts()


def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(settings: StoreSettings) -> None:
    settings.data_dir.mkdir()
    file = settings.data_dir / "ratchet.duckdb"
    file.write_bytes(b"not a database, but somebody's only copy of something" * 100)
    with pytest.raises(StoreUnavailable, match="can't be opened"):
        Store.open(settings)
    assert file.read_bytes().startswith(b"not a database")


@pytest.mark.parametrize("table", [TURNS, RATINGS, ANNOTATIONS], ids=lambda table: table.name)
def test_every_field_of_a_struct_has_its_column(store: Store, table: Table[msgspec.Struct]) -> None:
    fields = {field.name for field in msgspec.structs.fields(table.kind)}
    assert fields == set(table.columns), "a new field needs a column: add it to tables.py and write a migration"
    with store.reader() as cursor:
        made = {name for (name,) in cursor.execute(f"SELECT column_name FROM (DESCRIBE {table.name})").fetchall()}
    assert made == fields
