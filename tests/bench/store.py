"""How many turns a second the store makes durable for 64 clients, and how long each waits for its acknowledgement.

    python -m tests.bench.store --json store.json

Against one row per commit in the same DuckDB, against SQLite (WAL, synchronous=FULL) and against DuckDB as it comes,
the last two behind an equal queue: same rows, same batching, same futures. Rounds are interleaved, medians are given.
"""

from __future__ import annotations

import asyncio
import queue
import random
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path

import duckdb

from feedback.settings import StoreSettings
from feedback.store.batches import BATCH_ROWS
from feedback.store.database import Store
from feedback.store.migrations import first_tables
from feedback.store.tables import TURNS, Row
from feedback.turns import Turn
from tests.bench.report import arguments, compared, figure, publish
from tests.fakes.rows import a_turn

CLIENTS, ROUNDS, SECONDS, TAIL_TURNS = 64, 3, 3.0, 50_000
WORDS = ["".join(random.Random(seed).choices("abcdefghijklmnopqrstuvwxyz", k=2 + seed % 8)) for seed in range(5000)]

Add = Callable[[Turn], "Future[None]"]


class EqualQueue:
    """The store's queue with another `commit` behind it."""

    def __init__(self, commit: Callable[[list[Row]], None], most: int) -> None:
        self._commit, self._most = commit, most
        self._queue: queue.SimpleQueue[tuple[Row, Future[None]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def add(self, turn: Turn) -> Future[None]:
        future: Future[None] = Future()
        self._queue.put((TURNS.row(turn), future))
        return future

    def close(self) -> None:
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch = [first]
            while len(batch) < self._most and not self._queue.empty():
                if (write := self._queue.get()) is None:
                    self._queue.put(None)
                    break
                batch.append(write)
            self._commit([row for row, _ in batch])
            for _, future in batch:
                future.set_result(None)


def our_store(folder: Path) -> tuple[Add, Callable[[], None]]:
    store = Store.open(StoreSettings(data_dir=folder))
    return store.add_turn, store.close


def duckdb_as_it_comes(folder: Path, most: int = BATCH_ROWS) -> tuple[Add, Callable[[], None]]:
    con = duckdb.connect(str(folder / "plain.duckdb"))
    first_tables(con)

    def commit(rows: list[Row]) -> None:
        con.begin()
        with con.appender("turns", columns=list(TURNS.columns)) as appender:
            appender.append_rows(rows)
        con.commit()

    peer = EqualQueue(commit, most)
    return peer.add, lambda: (peer.close(), con.close())[0]


def duckdb_row_by_row(folder: Path) -> tuple[Add, Callable[[], None]]:
    return duckdb_as_it_comes(folder, most=1)


def sqlite_full(folder: Path) -> tuple[Add, Callable[[], None]]:
    con = sqlite3.connect(folder / "plain.sqlite", isolation_level=None, check_same_thread=False)
    con.execute("PRAGMA journal_mode = WAL")
    con.execute("PRAGMA synchronous = FULL")
    con.execute(f"CREATE TABLE turns ({', '.join(TURNS.columns)})")
    insert = f"INSERT INTO turns VALUES ({', '.join('?' * len(TURNS.columns))})"
    when = TURNS.columns.index("created_at")

    def commit(rows: list[Row]) -> None:
        con.execute("BEGIN")
        con.executemany(insert, [(*row[:when], row[when].isoformat(), *row[when + 1 :]) for row in rows])
        con.execute("COMMIT")

    peer = EqualQueue(commit, BATCH_ROWS)
    return peer.add, lambda: (peer.close(), con.close())[0]


Kind = Callable[[Path], tuple[Add, Callable[[], None]]]


def measure(kind: Kind, words: int, *, seconds: float = 1e9, turns: int = 10**9) -> tuple[float, list[float]]:
    """64 clients write turns one after another: turns/s, and every acknowledgement's wait in ms, sorted."""
    texts = [" ".join(random.Random(seed).choices(WORDS, k=words)) for seed in range(500)]
    waits: list[float] = []

    async def client(add: Add, until: float) -> None:
        while time.perf_counter() < until and len(waits) < turns:
            begun = time.perf_counter()
            await asyncio.wrap_future(add(a_turn(reply=texts[len(waits) % len(texts)])))
            waits.append((time.perf_counter() - begun) * 1000)

    async def clients(add: Add) -> float:
        begun = time.perf_counter()
        await asyncio.gather(*(client(add, begun + seconds) for _ in range(CLIENTS)))
        return time.perf_counter() - begun

    with tempfile.TemporaryDirectory() as folder:
        add, close = kind(Path(folder))
        took = asyncio.run(clients(add))
        close()
    return len(waits) / took, sorted(waits)


def main() -> None:
    options = arguments(__doc__.splitlines()[0])
    kinds: list[Kind] = [our_store, duckdb_row_by_row, sqlite_full]
    rounds = [[measure(kind, 100, seconds=SECONDS) for kind in kinds] for _ in range(ROUNDS)]
    ours, single, sqlite = (statistics.median(round[at][0] for round in rounds) for at in range(3))
    waits = sorted(wait for round in rounds for wait in round[0][1])
    tails = [[measure(kind, 300, turns=TAIL_TURNS) for kind in (our_store, duckdb_as_it_comes)] for _ in range(ROUNDS)]
    longest, plain = (statistics.median(round[at][1][-1] for round in tails) for at in range(2))
    rate, plain_rate = (statistics.median(round[at][0] for round in tails) for at in range(2))
    name = f"durable turns, {CLIENTS} clients"
    rows = [
        compared(name, ours, "turns/s", peer="one row per commit", peer_value=single, at_least=10),
        compared(name, ours, "turns/s", peer="SQLite FULL, equal queue", peer_value=sqlite, at_least=0.5),
        figure("acknowledged after, p50", waits[len(waits) // 2], "ms"),
        figure("acknowledged after, p99", waits[len(waits) * 99 // 100], "ms"),
        compared(
            f"longest wait in {TAIL_TURNS:,} turns of 2 KB", longest, "ms", peer="DuckDB as it comes, equal queue",
            peer_value=plain, at_most=0.5,
        ),
        compared(f"the same {TAIL_TURNS:,} turns", rate, "turns/s", peer="DuckDB as it comes", peer_value=plain_rate),
    ]  # fmt: skip
    publish("store", rows, ["duckdb", "msgspec"], options.json)


if __name__ == "__main__":
    main()
