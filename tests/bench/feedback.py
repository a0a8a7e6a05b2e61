"""How long people wait at a gateway with a million turns, three million ratings and a hundred thousand items.

    python -m tests.bench.feedback --json feedback.json

Makes the store (`feedback_data`), starts a gateway on it as a process of its own, and asks as a client on the same
machine does: each time is the server's and the way there and back. A view is a first one: each is another person's.
`--data DIR` keeps the store in DIR and uses it again, `--turns N` makes a smaller one.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psutil

from feedback.store.database import FILE_NAME
from service.measures.keeping import FRESH_S
from tests.bench.feedback_data import Size, fill
from tests.bench.report import Row, figure, publish
from tests.fakes.gateway import set_alias
from tests.fakes.gateway_process import GatewayProcess
from tests.fakes.ollama import FakeOllama

VIEWS, TASKS, TOUCHES = 15, 60, 6
NEXT_MS, PAGE_MS, MEASURES_MS = 50, 300, 1000
PAGES = ("/", "/desks", "/annotate", "/review", "/expert", "/today", "/guide/assistant", "/quality", "/measures")
QUESTIONS = ("by=version", "by=week", "by=topic,language", "by=version,week,topic")
COUNTED_WITHIN_S = 180.0


def within(name: str, times_ms: list[float], most: float) -> Iterator[Row]:
    """The median beside its target, and the worst."""
    median = statistics.median(times_ms)
    yield Row(name=f"{name}, median", value=median, unit="ms", target=f"≤ {most:g} ms", holds=median <= most)
    yield figure(f"{name}, worst of {len(times_ms)}", max(times_ms), "ms")


def timed(ask: Callable[[], httpx.Response]) -> float:
    """Milliseconds until the whole answer is there. Raises httpx.HTTPStatusError where it is none."""
    began = time.perf_counter()
    answer = ask()
    took = (time.perf_counter() - began) * 1000
    answer.raise_for_status()
    return took


def person(number: int) -> dict[str, str]:
    return {"X-Person": f"bench-{number}", "Accept": "text/html"}


def viewed(client: httpx.Client, path: str, number: int) -> float:
    return timed(lambda: client.get(path, headers=person(number)))


def given(client: httpx.Client, desk: str, number: int) -> float:
    headers = {"X-Person": f"bench-{desk}-{number}"}
    return timed(lambda: client.post("/queue/next", json={"desk": desk}, headers=headers))


def asked(client: httpx.Client, question: str) -> float:
    return timed(lambda: client.get(f"/measures?{question}"))


def pages(client: httpx.Client) -> Iterator[Row]:
    for path in PAGES:
        try:
            times = [viewed(client, path, number) for number in range(VIEWS)]
        except httpx.HTTPStatusError as error:
            status = error.response.status_code
            yield Row(name=f"page {path} answers {status}", value=status, unit="", target="200", holds=False)
        else:
            yield from within(f"page {path}", times, PAGE_MS)


def tasks(client: httpx.Client) -> Iterator[Row]:
    """Each person's first task at each desk: found, leased and durable."""
    for desk in ("annotate", "review", "expert"):
        yield from within(f"next task at {desk}", [given(client, desk, number) for number in range(TASKS)], NEXT_MS)


def measures(client: httpx.Client) -> Iterator[Row]:
    for question in QUESTIONS:
        times = [asked(client, question) for _ in range(VIEWS)]
        yield from within(f"measures {question}", times, MEASURES_MS)
    turn = client.get("/turns?limit=1").json()["items"][0]["turn_id"]
    times = []
    for _ in range(TOUCHES):
        client.post(f"/turns/{turn}/ratings", json={"verdict": "up", "rater": "bench"}).raise_for_status()
        time.sleep(FRESH_S + 0.1)
        times.append(asked(client, "by=version"))
    yield from within("measures after a new rating", times, MEASURES_MS)


def counted_s(client: httpx.Client) -> float:
    """Seconds until every turn was counted once. Raises TimeoutError."""
    began = time.perf_counter()
    while client.get("/measures").status_code != 200:
        if time.perf_counter() - began > COUNTED_WITHIN_S:
            raise TimeoutError(f"the turns are not counted after {COUNTED_WITHIN_S:g} s")
        time.sleep(0.2)
    return time.perf_counter() - began


def started(data_dir: Path, upstream: str) -> tuple[GatewayProcess, float]:
    """A gateway on that store, and the seconds until it answers."""
    set_alias(data_dir, "1.11.0")
    began = time.perf_counter()
    gateway = GatewayProcess(data_dir, upstream, log_level="error")
    httpx.get(f"{gateway.url}/health").raise_for_status()
    return gateway, time.perf_counter() - began


def rss_mb(gateway: GatewayProcess) -> float:
    return float(psutil.Process(gateway.process.pid).memory_info().rss) / 1e6


def rows_of(data_dir: Path, size: Size) -> Iterator[Row]:
    if not (data_dir / FILE_NAME).exists():
        began = time.perf_counter()
        fill(data_dir, size)
        yield figure(f"making the store, {size.turns:,} turns", time.perf_counter() - began, "s")
    with FakeOllama(models=["assistant:1.11.0"]) as upstream:
        with tempfile.TemporaryDirectory() as empty:
            gateway, took = started(Path(empty), upstream.url)
            with gateway:
                yield figure("start-up, empty store", took, "s")
                yield figure("memory, empty store", rss_mb(gateway), "MB")
        gateway, took = started(data_dir, upstream.url)
        with gateway, httpx.Client(base_url=gateway.url, timeout=60) as client:
            yield figure("start-up", took, "s")
            yield figure("memory after start-up", rss_mb(gateway), "MB")
            yield figure("all turns counted for the first time, somebody waiting", counted_s(client), "s")
            yield from tasks(client)
            yield from pages(client)
            yield from measures(client)
            yield figure("memory at the end", rss_mb(gateway), "MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report to FILE")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown as well")
    parser.add_argument("--data", type=Path, metavar="DIR", help="keep the store in DIR, and use it again")
    parser.add_argument("--turns", type=int, default=Size().turns, metavar="N", help="how many, 1,000 at least")
    options = parser.parse_args()
    turns = options.turns
    size = Size(turns=turns, ratings=3 * turns, items=turns // 10, open_items=turns // 500, preferences=turns // 20)
    with tempfile.TemporaryDirectory() as folder:
        rows = list(rows_of(options.data or Path(folder), size))
    publish("feedback", rows, ["duckdb", "litestar", "uvicorn"], options.json, markdown=options.markdown)


if __name__ == "__main__":
    main()
