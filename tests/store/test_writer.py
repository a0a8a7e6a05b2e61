"""The writer outlives everything that its clients do to it, and fails nobody for another's fault."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

import pytest

from feedback.errors import InvalidInput, StoreBusy, StoreUnavailable, UnknownTurn
from feedback.settings import StoreSettings
from feedback.store.database import Store
from feedback.store.session import Session, Write
from tests.fakes.rows import a_rating, a_turn

TOO_BIG = 2**40
"""Fits no INTEGER column: DuckDB finds out when the batch is flushed."""


@contextmanager
def writer_held(store: Store) -> Iterator[None]:
    """Keep the writer busy, so that what is added meanwhile is one batch: a callback of its own future blocks it."""
    entered, leave = threading.Event(), threading.Event()

    def block(_: Future[None]) -> None:
        entered.set()
        leave.wait(30)

    store.add_turn(a_turn()).add_done_callback(block)
    assert entered.wait(30)
    try:
        yield
    finally:
        leave.set()


def test_a_bad_row_fails_alone_in_its_batch(store: Store) -> None:
    good = [a_turn() for _ in range(60)]
    bad = [a_turn(prompt_tokens=TOO_BIG), a_turn(reply_tokens=TOO_BIG)]
    with writer_held(store):
        futures = [store.add_turn(turn) for turn in (*good[:20], bad[0], *good[20:40], bad[1], *good[40:])]
    for future in futures[:20] + futures[21:41] + futures[42:]:
        future.result(10)
    for future, turn in ((futures[20], bad[0]), (futures[41], bad[1])):
        with pytest.raises(InvalidInput, match=turn.turn_id):
            future.result(10)
    assert {turn.turn_id for turn in good} < {turn.turn_id for turn in store.turns(limit=100)}
    assert store.counts()["turns"] == 61


def test_a_rating_counts_for_a_turn_of_the_same_batch_but_not_for_one_that_fails(store: Store) -> None:
    good, bad = a_turn(), a_turn(prompt_tokens=TOO_BIG)
    with writer_held(store):
        written = [store.add_turn(good), store.add_turn(bad)]
        rated = [store.add_rating(a_rating(good.turn_id)), store.add_rating(a_rating(bad.turn_id))]
    written[0].result(10)
    rated[0].result(10)
    with pytest.raises(InvalidInput):
        written[1].result(10)
    with pytest.raises(UnknownTurn):
        rated[1].result(10)


def test_a_cancelled_write_is_left_out_and_the_writer_goes_on(store: Store) -> None:
    cancelled, kept = a_turn(), a_turn()
    with writer_held(store):
        future = store.add_turn(cancelled)
        neighbour = store.add_turn(kept)
        assert future.cancel()
    neighbour.result(10)
    store.add_turn(a_turn()).result(10)
    with pytest.raises(UnknownTurn):
        store.turn(cancelled.turn_id)


async def test_a_cancelled_request_does_not_stop_the_writer(store: Store) -> None:
    with writer_held(store):
        tasks = [asyncio.ensure_future(asyncio.wrap_future(store.add_turn(a_turn()))) for _ in range(10)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.sleep(0)
    await asyncio.wait_for(asyncio.wrap_future(store.add_turn(a_turn())), 10)
    done = await asyncio.gather(*tasks, return_exceptions=True)
    assert [isinstance(result, asyncio.CancelledError) for result in done] == [True, False] * 5
    assert store.counts()["turns"] == 1 + 5 + 1


async def test_a_request_cancelled_while_its_row_is_being_committed_does_not_stop_the_writer(store: Store) -> None:
    for _ in range(50):
        task = asyncio.ensure_future(asyncio.wrap_future(store.add_turn(a_turn())))
        await asyncio.sleep(0.0005)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    await asyncio.wait_for(asyncio.wrap_future(store.add_turn(a_turn())), 10)


def test_a_callback_that_raises_does_not_stop_the_writer(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    def spoil(_: Future[None]) -> None:
        raise RuntimeError("a callback's own trouble")

    future = store.add_turn(a_turn())
    future.add_done_callback(spoil)
    store.add_turn(a_turn()).result(10)


def test_a_full_queue_refuses_at_once_and_recovers(tmp_path: Path) -> None:
    store = Store.open(StoreSettings(data_dir=tmp_path, queue_limit=5))
    try:
        with writer_held(store):
            futures = [store.add_turn(a_turn()) for _ in range(5)]
            assert store.counts()["queued"] == 5
            with pytest.raises(StoreBusy, match="5 writes wait"):
                store.add_turn(a_turn())
        for future in futures:
            future.result(10)
        store.add_turn(a_turn()).result(10)
    finally:
        store.close()


def test_closing_commits_what_was_queued_and_refuses_what_comes_after(store: Store, settings: StoreSettings) -> None:
    with writer_held(store):
        futures = [store.add_turn(a_turn()) for _ in range(2000)]
        closing = threading.Thread(target=store.close)
        closing.start()
    closing.join(30)
    for future in futures:
        future.result(0)
    with pytest.raises(StoreUnavailable, match="closed"):
        store.add_turn(a_turn())
    again = Store.open(settings)
    assert again.counts()["turns"] == 2001
    again.close()


def test_an_idle_store_folds_its_log_into_the_file(store: Store, settings: StoreSettings) -> None:
    log = settings.data_dir / "ratchet.duckdb.wal"
    store.add_turn(a_turn()).result(10)
    waited = threading.Event()
    for _ in range(100):
        if not log.exists() or log.stat().st_size == 0:
            break
        waited.wait(0.05)
    assert not log.exists() or log.stat().st_size == 0
    store.add_turn(a_turn()).result(10)
    assert store.counts()["turns"] == 2


def test_many_threads_write_and_each_row_is_there_once(store: Store) -> None:
    turns = [[a_turn() for _ in range(25)] for _ in range(16)]

    def client(mine: list) -> None:  # type: ignore[type-arg]
        for turn in mine:
            store.add_turn(turn).result(30)
            store.add_rating(a_rating(turn.turn_id)).result(30)

    threads = [threading.Thread(target=client, args=(mine,)) for mine in turns]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with store.reader() as cursor:
        found = cursor.execute("SELECT t.turn_id FROM turns t JOIN ratings r USING (turn_id)").fetchall()
    assert sorted(turn_id for (turn_id,) in found) == sorted(turn.turn_id for mine in turns for turn in mine)


def test_a_queue_of_long_texts_does_not_outgrow_the_memory_limit(tmp_path: Path) -> None:
    store = Store.open(StoreSettings(data_dir=tmp_path, memory_limit_mib=60))
    try:
        with writer_held(store):
            futures = [store.add_turn(a_turn(reply=f"{number:08x}" * 300_000)) for number in range(40)]
        for future in futures:
            future.result(60)
        assert store.counts()["turns"] == 41
    finally:
        store.close()


def test_a_lone_write_is_not_held_back_and_those_that_come_together_share_commits(store: Store) -> None:
    sizes: list[int] = []
    store.tell_commits(lambda size, _: sizes.append(size))
    for _ in range(5):
        store.add_turn(a_turn()).result(10)
        assert not store._writer._batches.busy, "the next one is committed at once"
    assert sizes == [1] * 5
    sizes.clear()
    with writer_held(store):
        waiting = [store.add_turn(a_turn()) for _ in range(40)]
    for future in waiting:
        future.result(10)
    assert sum(sizes) == 41 and len(sizes) <= 3


def test_a_commit_that_takes_too_long_is_trouble_and_ends_by_itself(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("feedback.store.writer.STALL_S", 0.05)
    entered, leave = threading.Event(), threading.Event()
    real = Session.commit

    def slow(self: Session, batch: Sequence[Write]) -> None:
        entered.set()
        leave.wait(10)
        real(self, batch)

    monkeypatch.setattr(Session, "commit", slow)
    stored = store.add_turn(a_turn())
    assert entered.wait(10)
    limit = time.monotonic() + 5
    while store.trouble is None and time.monotonic() < limit:
        time.sleep(0.01)
    assert isinstance(store.trouble, StoreBusy) and not stored.done()
    leave.set()
    stored.result(10)
    while store.trouble is not None and time.monotonic() < limit:
        time.sleep(0.01)
    assert store.trouble is None
