"""A list of a million words, on the path that a gateway takes: from files, compiled apart, kept, and while serving.

Each measurement runs in a process of its own (`python -m tests.bench.words_million WHAT FOLDER`, JSON on standard
output), so that nothing that another one left counts. Memory is what the process and the one that compiles for it had
at their peaks, both together. For requests while a list is loaded, what counts is how much longer the longest one takes
than in an equally long stretch without: clients, gateway and a fake upstream share the machine's cores.
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp

from service.words.book import WordBook
from service.words.sources import Sources
from tests.bench.report import Row, figure
from tests.fakes.gateway import set_alias
from tests.fakes.gateway_process import ROOT, GatewayProcess
from tests.fakes.ollama import FakeOllama

CLIENTS = 2
PAUSE_S = 0.005
QUIET_S = 8
"""About as long as a reload."""


def rows(words: list[str], others: list[str], text: str, folder: Path) -> Iterator[Row]:
    """Load `words`, then, while serving, `others` in their place. `text` is checked."""
    lists = folder / "million"
    lists.mkdir()
    (lists / "million.txt").write_text("\n".join(words), "utf-8")
    (folder / "others.txt").write_text("\n".join(others), "utf-8")
    (folder / "text").write_text(text, "utf-8")
    name = f"{len(words):,} words"
    built, loaded = _measured("load", folder), _measured("load", folder)
    yield must(f"{name}: from the file to serving, CPU", built["cpu_s"], "s", at_most=10)
    yield must("the same: wall clock", built["wall_s"], "s", at_most=10)
    yield must("the same: memory at its peak, both processes", built["peak_mb"], "MB", at_most=600)
    yield figure("the same: memory that stays", built["stays_mb"], "MB")
    yield figure("the same: check of 1,000 mixed characters", built["check_us"], "µs")
    yield figure("the same: from the compiled file, CPU", loaded["cpu_s"], "s")
    yield figure("the same: from the compiled file, memory at its peak", loaded["peak_mb"], "MB")
    served = _measured("serve", folder)
    yield figure(f"{name} while serving: from request to serving", served["load_s"], "s")
    yield figure("the same: the gateway's memory at its peak", served["peak_mb"], "MB")
    yield figure("the same: requests, median", served["median_ms"], "ms")
    yield figure(f"longest request in {QUIET_S} quiet seconds before", served["quiet_ms"], "ms")
    yield figure("longest request while it loads", served["longest_ms"], "ms")
    more = max(0.0, served["longest_ms"] - served["quiet_ms"])
    yield must("the same: slower because of it", more, "ms", at_most=50)


def must(name: str, value: float, unit: str, *, at_least: float | None = None, at_most: float | None = None) -> Row:
    """A figure with a target of its own."""
    holds = (at_least is None or value >= at_least) and (at_most is None or value <= at_most)
    target = f"≥ {at_least:,.0f}" if at_least is not None else f"≤ {at_most:,.0f}"
    return Row(name=name, value=value, unit=unit, target=target, holds=holds)


def _measured(what: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.words_million", what, str(folder)]
    said = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    figures: dict[str, float] = json.loads(said)
    return figures


def load(folder: Path) -> dict[str, float]:
    """A book of the list: compiled, or loaded where it was before."""
    began, cpu = time.perf_counter(), _cpu_s()
    book = WordBook(Sources(folder=folder / "million", inducement=False), folder / "compiled")
    figures = {"wall_s": time.perf_counter() - began, "cpu_s": _cpu_s() - cpu, "stays_mb": _mb("self", "VmRSS")}
    child = resource.getrusage(resource.RUSAGE_CHILDREN)
    figures["peak_mb"] = _mb("self", "VmHWM") + (child.ru_maxrss / 1024 if child.ru_utime else 0)
    text = (folder / "text").read_text("utf-8")
    took = []
    for _ in range(20):
        start = time.perf_counter()
        book.filter.check(text, "in")
        took.append(time.perf_counter() - start)
    return figures | {"check_us": min(took) * 1e6}


def serve(folder: Path) -> dict[str, float]:
    """A gateway whose list is exchanged for the other one while clients chat."""
    data = folder / "data"
    data.mkdir()
    set_alias(data)
    lists = folder / "million"
    with (
        FakeOllama(answers=lambda model, messages: "今天天气很好。") as fake,
        GatewayProcess(data, fake.url, log_level="error", words_dir=lists, words_reload_s=0) as gateway,
    ):
        (folder / "others.txt").replace(lists / "million.txt")
        figures = asyncio.run(_exchanged(gateway.url))
        return figures | {"peak_mb": _mb(str(gateway.process.pid), "VmHWM")}


async def _exchanged(url: str) -> dict[str, float]:
    took: list[tuple[float, float]] = []
    async with aiohttp.ClientSession(url) as session:
        clients = [asyncio.create_task(_chat(session, took)) for _ in range(CLIENTS)]
        await asyncio.sleep(2)  # what is made for the first requests is made
        began = time.perf_counter()
        await asyncio.sleep(QUIET_S)
        asked = time.perf_counter()
        async with session.put("/words") as answer:
            assert answer.status == 200, await answer.text()
        served = time.perf_counter()
        await asyncio.sleep(1)  # the old list is let go of
        for client in clients:
            client.cancel()
    quiet = [seconds for end, seconds in took if began <= end < asked]
    loading = sorted(seconds for end, seconds in took if end >= asked)
    return {
        "load_s": served - asked, "quiet_ms": max(quiet) * 1e3, "longest_ms": loading[-1] * 1e3,
        "median_ms": loading[len(loading) // 2] * 1e3,
    }  # fmt: skip


async def _chat(session: aiohttp.ClientSession, took: list[tuple[float, float]]) -> None:
    """Ask, again and again; note when each answer was there, and how long it took."""
    body: dict[str, Any] = {"model": "assistant", "stream": False}
    body["messages"] = [{"role": "user", "content": "中国人民大会堂的门口今天很安静。" * 3}]
    while True:
        start = time.perf_counter()
        async with session.post("/api/chat", json=body) as answer:
            await answer.read()
            assert answer.status == 200, answer.status
        end = time.perf_counter()
        took.append((end, end - start))
        await asyncio.sleep(PAUSE_S)


def _cpu_s() -> float:
    """Of this process and of those that it waited for."""
    uses = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(use.ru_utime + use.ru_stime for use in uses)


def _mb(pid: str, what: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{what}:"))


if __name__ == "__main__":
    print(json.dumps({"load": load, "serve": serve}[sys.argv[1]](Path(sys.argv[2]))))
