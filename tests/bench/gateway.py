"""What a gateway costs beside its peers: processor time a request and a chunk, time to the first byte, memory.

    python -m tests.bench.gateway --json gateway.json

One stub upstream, one load generator, and every proxy before the same stub: the proxy that is measured on one core,
stub and load on the other. Ours filters with 10,000 words both ways and records durably; none of the others does
either. Rounds are interleaved, medians are given. LiteLLM's venv is made once, about a minute; nginx is left out where
there is none (Debian: `apt install nginx-light`).
"""

from __future__ import annotations

import contextlib
import random
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.bench.gateway_load import Seen, Work
from tests.bench.gateway_proxies import OTHER_CORE, Proxy, as_first_written, child, litellm, nginx, ours
from tests.bench.report import Row, arguments, compared, figure, publish

ROUNDS = 3
WORDS = 10_000
ASGI, LITESTAR, HTTPX = "bare ASGI + aiohttp", "bare Litestar + aiohttp", "Litestar + httpx"
SLOW = ("LiteLLM", HTTPX)
"""Peers that need longer for as many requests."""
REST_MS = 10
RSS_LIMIT_MIB = 150
OPEN_STREAMS = 1000


class Load:
    """The load generator."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, proxy: Proxy, **work: object) -> Seen:
        """Have it ask, and see how it went. An answer that failed ends the bench: its figures would mean nothing."""
        assert self._process.stdin is not None and self._process.stdout is not None, "both are piped"
        given = {"port": proxy.port, "path": proxy.path, "model": proxy.model, "headers": proxy.headers, **work}
        self._process.stdin.write(msgspec.json.encode(msgspec.convert(given, Work)).decode() + "\n")
        self._process.stdin.flush()
        seen = msgspec.json.decode(self._process.stdout.readline(), type=Seen)
        if seen.failed or not seen.answered:
            raise SystemExit(f"{proxy.name} failed {seen.failed} of {seen.failed + seen.answered} chats")
        return seen


class Round(NamedTuple):
    """One proxy's figures of one round. Microseconds."""

    request_cpu: float
    request_p50: float
    chunk_cpu: float
    first_byte: float
    first_byte_again: float
    """Of those who ask again at once; `first_byte` of those who rest."""
    requests_per_s: float


def measure(proxy: Proxy, load: Load) -> Round:
    """One round of one proxy."""
    load(proxy, clients=64, stream=False, chunks=8, seconds=0.5)
    before = proxy.cpu_s()
    whole = load(proxy, clients=64, stream=False, chunks=8, seconds=4 if proxy.name.startswith(SLOW) else 2)
    request_cpu = (proxy.cpu_s() - before) / whole.answered
    single = load(proxy, clients=1, stream=False, chunks=8, seconds=3, each=100)
    load(proxy, clients=1, stream=True, chunks=2, each=5)
    again = load(proxy, clients=1, stream=True, chunks=2, seconds=3, each=100)
    # At once means hot to a proxy that waits for nothing, but 3 ms later to one that waits for a disk: after a rest of
    # some length all are equally cold, as they are for people.
    first = load(proxy, clients=1, stream=True, chunks=2, seconds=3, each=100, pause_ms=REST_MS)
    before, chunks = proxy.cpu_s(), 120
    load(proxy, clients=64, stream=True, chunks=chunks, pace_ms=20, each=1)
    chunk_cpu = (proxy.cpu_s() - before) / (64 * chunks)
    return Round(
        request_cpu=request_cpu * 1e6,
        request_p50=single.whole_us,
        chunk_cpu=chunk_cpu * 1e6,
        first_byte=first.first_us,
        first_byte_again=again.first_us,
        requests_per_s=whole.answered / whole.seconds,
    )


@contextlib.contextmanager
def everybody(upstream: str, folder: Path, words: Path) -> Iterator[list[Proxy]]:
    """All proxies, started."""
    with contextlib.ExitStack() as stack:
        start = stack.enter_context
        found = [
            Proxy("direct", int(upstream.rsplit(":", 1)[1])),
            start(nginx(upstream, folder)),
            start(as_first_written("asgi", ASGI, upstream)),
            start(as_first_written("litestar", LITESTAR, upstream)),
            start(as_first_written("httpx", HTTPX, upstream)),
            start(litellm(upstream, folder)),
            start(ours(upstream, folder / "data", words)),
        ]
        yield [proxy for proxy in found if proxy is not None]


def made_up_words(file: Path) -> Path:
    """A list of words that no chat has."""
    source = random.Random(4)
    words = {"".join(source.choices("bcdfghjklmnpqrstvwxz", k=source.randint(5, 12))) for _ in range(2 * WORDS)}
    file.write_text("\n".join(sorted(words)[:WORDS]) + "\n", encoding="utf-8")
    return file


def rows(medians: dict[str, Round], rss: float, open_rss: float) -> Iterator[Row]:
    """Ours beside each peer, with the targets."""
    mine = medians["ratchet"]
    at_most = {  # by figure, then by how a peer's name begins
        "request_cpu": {ASGI: 2.5, "LiteLLM": 1 / 20, HTTPX: 1 / 4},
        "chunk_cpu": {"nginx": 3.0},
        "first_byte": {ASGI: 2.0},
        "first_byte_again": {ASGI: 2.0},
    }
    titles = {
        "request_cpu": "CPU a request, 64 connections",
        "request_p50": "a whole reply, 1 connection, p50",
        "chunk_cpu": "CPU a chunk, 64 paced streams",
        "first_byte": f"first byte added, 1 stream, p50, a rest of {REST_MS} ms between two",
        "first_byte_again": "first byte added, 1 stream, p50, the next at once",
    }
    for name, title in titles.items():
        base = getattr(medians["direct"], name) if name.startswith("first_byte") else 0.0
        if name == "request_p50":
            yield figure(f"{title}, direct", medians["direct"].request_p50, "µs")
        for peer, theirs in medians.items():
            if peer in ("ratchet", "direct"):
                continue
            limit = next((most for start, most in at_most.get(name, {}).items() if peer.startswith(start)), None)
            yield compared(
                title, getattr(mine, name) - base, "µs", peer=peer, peer_value=getattr(theirs, name) - base,
                at_most=limit,
            )  # fmt: skip
    for peer, theirs in medians.items():
        if peer not in ("ratchet", "direct"):
            name = "requests, 64 connections"
            yield compared(name, mine.requests_per_s, "/s", peer=peer, peer_value=theirs.requests_per_s)
    yield compared(
        "resident memory after all of it", rss, "MiB", peer="its target", peer_value=RSS_LIMIT_MIB, at_most=1
    )
    yield figure(f"resident memory with {OPEN_STREAMS:,} open streams, all completed", open_rss, "MiB")


def main() -> None:
    options = arguments(__doc__.splitlines()[0])
    python = sys.executable
    with (
        tempfile.TemporaryDirectory() as temporary,
        child([python, "-m", "tests.bench.gateway_stub"], OTHER_CORE) as stub,
        child([python, "-m", "tests.bench.gateway_load"], OTHER_CORE) as loading,
    ):
        assert stub.stdout is not None, "it is piped"
        folder, load = Path(temporary), Load(loading)
        upstream = f"http://127.0.0.1:{stub.stdout.readline().strip()}"
        with everybody(upstream, folder, made_up_words(folder / "words.txt")) as proxies:
            rounds = [{proxy.name: measure(proxy, load) for proxy in proxies} for _ in range(ROUNDS)]
            mine = proxies[-1]
            rss = mine.rss_mib()
            load(mine, clients=OPEN_STREAMS, stream=True, chunks=12, pace_ms=400, each=1)
            open_rss = mine.rss_mib()
    medians = {
        name: Round(*(statistics.median(values) for values in zip(*(one[name] for one in rounds), strict=True)))
        for name in rounds[0]
    }
    packages = ["litestar", "uvicorn", "uvloop", "aiohttp", "httpx", "msgspec", "duckdb"]
    publish("gateway", list(rows(medians, rss, open_rss)), packages, options.json, markdown=options.markdown)


if __name__ == "__main__":
    main()
