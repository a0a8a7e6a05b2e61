"""A backup is whole, consistent and made while people write; restoring is putting it in the file's place."""

from __future__ import annotations

import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from feedback.errors import Conflict, StoreUnavailable
from feedback.settings import StoreSettings
from feedback.store.database import Store
from tests.fakes.rows import a_rating, a_turn


def stored_in(file: Path) -> tuple[list[str], list[str]]:
    """The turn ids in a copy, and the turn ids that its ratings are about."""
    with duckdb.connect(str(file), read_only=True) as copy:
        turns = copy.execute("SELECT turn_id FROM turns").fetchall()
        rated = copy.execute("SELECT turn_id FROM ratings").fetchall()
    return [turn_id for (turn_id,) in turns], [turn_id for (turn_id,) in rated]


def test_a_backup_under_load_is_complete_up_to_a_point(store: Store, tmp_path: Path) -> None:
    """Each client rates its turn before it writes the next: a whole copy misses at most the newest of each client."""
    stop, lock = threading.Event(), threading.Lock()
    acknowledged: list[list[str]] = [[] for _ in range(8)]

    def client(mine: list[str]) -> None:
        while not stop.is_set():
            turn = a_turn(reply="x" * 2000)
            store.add_turn(turn).result(30)
            with lock:
                mine.append(turn.turn_id)
            store.add_rating(a_rating(turn.turn_id)).result(30)

    threads = [threading.Thread(target=client, args=(mine,)) for mine in acknowledged]
    for thread in threads:
        thread.start()
    try:
        for number in range(3):
            threading.Event().wait(0.2)
            with lock:
                before = [list(mine) for mine in acknowledged]
            copied, rated = stored_in(store.backup(tmp_path / f"{number}.duckdb"))
            with lock:
                grown = sum(map(len, acknowledged)) > sum(map(len, before))
            assert len(copied) == len(set(copied))
            assert {turn_id for mine in before for turn_id in mine} <= set(copied)
            assert set(rated) <= set(copied), "a rating without its turn"
            assert grown, "nobody wrote while the copy was made"
            for mine in acknowledged:
                held = [turn_id in set(copied) for turn_id in list(mine)]
                assert held == sorted(held, reverse=True), "a later turn is in the copy and an earlier one is not"
                assert sum(turn_id in set(rated) for turn_id in mine) >= sum(held) - 1
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["0.duckdb", "1.duckdb", "2.duckdb", "data"]


def test_a_backup_put_in_the_files_place_is_a_store_again(
    store: Store, settings: StoreSettings, tmp_path: Path
) -> None:
    turn = a_turn(reply="长" * 1000)
    store.add_turn(turn).result(10)
    copy = store.backup(tmp_path / "copy.duckdb")
    store.close()
    restored = StoreSettings(data_dir=tmp_path / "restored")
    restored.data_dir.mkdir()
    shutil.copyfile(copy, restored.data_dir / "ratchet.duckdb")
    again = Store.open(restored)
    try:
        assert again.turns() == [turn]
        again.add_rating(a_rating(turn.turn_id)).result(10)
    finally:
        again.close()


def test_a_folder_as_target_gets_a_file_named_by_the_time(store: Store, tmp_path: Path) -> None:
    made = store.backup(tmp_path)
    assert made.parent == tmp_path
    assert made.name.startswith("ratchet-2") and made.suffix == ".duckdb"


def test_a_quote_in_the_path_is_only_a_quote(store: Store, tmp_path: Path) -> None:
    assert store.backup(tmp_path / "it's; DROP TABLE turns" / "备份.duckdb").exists()


def test_a_backup_over_the_live_file_is_refused(store: Store, settings: StoreSettings) -> None:
    with pytest.raises(Conflict, match="live database"):
        store.backup(settings.data_dir / "ratchet.duckdb")


def test_a_backup_that_can_not_be_made_says_so_and_leaves_nothing_behind(store: Store, tmp_path: Path) -> None:
    target = tmp_path / "copy.duckdb"
    store.backup(target)
    with pytest.raises(StoreUnavailable, match="could not be copied"):
        store.backup(target / "below-a-file.duckdb")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy.duckdb", "data"]
    store.add_turn(a_turn()).result(10)


def test_two_backups_to_one_name_do_not_spoil_each_other(store: Store, tmp_path: Path) -> None:
    for future in [store.add_turn(a_turn()) for _ in range(2000)]:
        future.result(30)
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: store.backup(tmp_path / "copy.duckdb"), range(4)))
    assert made == [tmp_path / "copy.duckdb"] * 4
    assert len(stored_in(made[0])[0]) == 2000


def test_what_a_killed_backup_left_behind_is_in_nobodys_way(store: Store, tmp_path: Path) -> None:
    (tmp_path / ".copy.duckdb.part").write_bytes(b"half a copy")
    (tmp_path / ".copy.duckdb.part.wal").write_bytes(b"half a log")
    store.backup(tmp_path / "copy.duckdb")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["copy.duckdb", "data"]
