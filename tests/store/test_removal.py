"""What was removed is gone: from every table, and from the bytes of the file, while others write on."""

from __future__ import annotations

import random
import threading
import time
from pathlib import Path

import duckdb
import pytest

from feedback.errors import InvalidInput, UnknownTurn
from feedback.settings import StoreSettings
from feedback.store import connection as connection_module
from feedback.store.database import Store
from feedback.store.removal import Whose
from feedback.turns import Message
from tests.fakes.rows import a_rating, a_turn, an_annotation
from tests.store.test_durability import acknowledged, start

SECRETS = ("GEHEIM-ascii-7291", "秘密的句子七二九一")


@pytest.fixture
def plain(monkeypatch) -> None:
    """Store text uncompressed, so that a search of the file's bytes would find it."""
    real = duckdb.connect

    def uncompressed(*args, config, **more):
        return real(*args, config=config | {"force_compression": "uncompressed"}, **more)

    monkeypatch.setattr(connection_module.duckdb, "connect", uncompressed)


def fill(store: Store, rows: int = 300) -> tuple[list[str], list[str]]:
    """Turns of anna, every tenth, among others'; her ids and the others'."""
    hers, others = [], []
    for number in range(rows):
        anna = number % 10 == 3
        text = f"{SECRETS[0]} {SECRETS[1]} {number}" if anna else f"question {number} 问题"
        turn = a_turn(
            subject="anna" if anna else f"user-{number % 7}", reply=f"{text} " * 20,
            messages=[Message(role="user", content=text)],
        )  # fmt: skip
        (hers if anna else others).append(turn.turn_id)
        store.add_turn(turn)
    for turn_id in hers:
        store.add_rating(a_rating(turn_id, comment=SECRETS[1], rater="anna"))
    store.add_annotation(an_annotation(others[0], annotator="anna", corrected_reply=SECRETS[0]))
    store.add_rating(a_rating(others[1], comment="fine")).result()
    return hers, others


def bytes_hold(data_dir: Path) -> bool:
    found = [file.read_bytes() for file in data_dir.rglob("*") if file.is_file()]
    return any(secret.encode() in data for data in found for secret in SECRETS)


def remove(store: Store, whose: Whose) -> None:
    while batch := store.next_turns(whose):
        store.remove_turns([one.turn_id for one in batch])


def test_removed_rows_leave_no_byte_in_the_file(plain, settings: StoreSettings):
    with_store = Store.open(settings)
    hers, others = fill(with_store)
    kept = [with_store.turn(turn_id) for turn_id in others]
    assert bytes_hold(settings.data_dir)
    assert with_store.written_into("anna") == [others[0]]
    remove(with_store, Whose(subject="anna"))
    removed = with_store.remove_verdicts("anna")
    assert (removed.ratings, removed.annotations) == (0, 1)
    assert with_store.compact()
    assert not bytes_hold(settings.data_dir)
    assert [with_store.turn(turn_id) for turn_id in others] == kept
    assert len(with_store.ratings(others[1])) == 1
    with pytest.raises(UnknownTurn):
        with_store.turn(hers[0])
    with_store.add_turn(a_turn(turn_id="turn-after")).result()
    with_store.close()
    assert not bytes_hold(settings.data_dir)
    again = Store.open(settings)
    assert again.counts()["turns"] == len(others) + 1
    again.close()


def test_without_compaction_the_bytes_would_stay(plain, settings: StoreSettings):
    """Why `compact` is there: if this fails, DuckDB has learnt to blank what it frees, and `rewrite` may go."""
    with_store = Store.open(settings)
    fill(with_store)
    remove(with_store, Whose(subject="anna"))
    with_store.close()
    assert bytes_hold(settings.data_dir)


def test_a_removed_turn_can_not_be_rated(store: Store):
    turn = a_turn()
    store.add_turn(turn).result()
    store.remove_turns([turn.turn_id])
    with pytest.raises(UnknownTurn):
        store.add_rating(a_rating(turn.turn_id)).result()


def test_writes_go_on_while_the_file_is_written_anew(store: Store):
    fill(store)
    stop, written, failed = threading.Event(), [], []

    def write() -> None:
        while not stop.is_set():
            turn = a_turn()
            try:
                store.add_turn(turn).result(20)
                written.append(turn.turn_id)
                assert store.turn(turn.turn_id).turn_id == turn.turn_id
            except Exception as error:  # told by the test, whatever it is
                failed.append(error)
                return

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    try:
        assert [store.compact() for _ in range(5)] == [True] * 5
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert not failed and len(written) > 4
    assert len({turn.turn_id for turn in store.turns(limit=100_000)} & set(written)) == len(written)


def test_a_reader_that_stays_keeps_the_old_file_and_is_not_disturbed(store: Store, monkeypatch):
    monkeypatch.setattr("feedback.store.rewrite.READERS_PATIENCE_S", 0.05)
    fill(store)
    with store.reader() as cursor:
        cursor.execute("SELECT turn_id FROM turns")
        cursor.fetchmany(5)
        assert not store.compact()
        store.add_turn(a_turn()).result()
        assert len(cursor.fetchall()) == 295
    assert store.compact()
    assert store.counts()["turns"] == 301


def test_what_a_kill_left_beside_the_file_is_removed_at_the_next_start(settings: StoreSettings):
    Store.open(settings).close()
    for name in (".ratchet.duckdb.fresh", "ratchet.duckdb.tmp/spilt"):
        file = settings.data_dir / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(SECRETS[0])
    Store.open(settings).close()
    assert [file.name for file in settings.data_dir.iterdir()] == ["ratchet.duckdb"]


@pytest.mark.parametrize("whose", [Whose(), Whose(subject="a", turn="b")])
def test_exactly_one_says_whose(whose: Whose):
    with pytest.raises(InvalidInput):
        _ = whose.kind


def test_no_acknowledged_row_is_lost_in_kills_while_the_file_is_written_anew(tmp_path: Path):
    data_dir, printed = tmp_path / "data", tmp_path / "acknowledged"
    chance = random.Random(4)
    for _ in range(10):
        size = printed.stat().st_size if printed.exists() else 0
        with printed.open("ab") as out:
            child = start("compacting_child.py", str(data_dir), stdout=out)
        deadline = time.monotonic() + 30
        while printed.stat().st_size == size and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0.1, 0.5))
        child.kill()
        child.wait(10)
        assert printed.stat().st_size > size, "the child wrote nothing"
        store = Store.open(StoreSettings(data_dir=data_dir))
        with store.reader() as cursor:
            rows = cursor.execute("SELECT turn_id FROM turns UNION ALL SELECT rating_id FROM ratings").fetchall()
        store.close()
        stored = [item_id for (item_id,) in rows]
        assert acknowledged(printed) <= set(stored)
        assert len(stored) == len(set(stored)), "a row is there twice"
