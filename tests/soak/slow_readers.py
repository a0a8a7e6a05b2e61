"""A thousand people who don't read: the gateway's memory must stay bounded, and each must get the right answer at last.

    python -m tests.soak.slow_readers --readers 1000

An upstream would send megabytes to each. First nobody reads a byte, then everybody reads a trickle, then they read to
the end, a few dozen at a time. Prints what the gateway's memory was at each step and what the upstream got rid of; the
exit code is 1 where memory grew beyond the bound, where an answer was not the upstream's to the byte, or where somebody
who did read had to wait for those who didn't.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import http.client
import io
import json
import resource
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import cast

import aiohttp
import psutil
from aiohttp import web

from feedback.settings import StoreSettings
from tests.fakes.gateway import set_alias
from tests.fakes.gateway_process import GatewayProcess
from tests.soak.checks import stored

CHUNK_CHARACTERS = 16_384
BUFFER_BYTES = 64 * 1024
"""What the kernel holds for the upstream, so that what it could push went into the gateway or through it."""
GROWTH_LIMIT_KIB = 512
"""For each reader while nobody reads to the end: what the kernel and the server hold for it, its text so far, and its
tasks. The answers are many times as large."""
FINISHING = 25
"""Readers that read to the end at once; the text of each is whole in the gateway's memory just before it is stored."""
FINISHING_LIMIT_MIB = 256
"""How much memory may grow for them, beyond the others' limit and beyond what the database may take for itself."""
DATABASE_LIMIT_MIB = StoreSettings().memory_limit_mib
RECORDED_EVERY = 10
"""Of so many readers one's turn is recorded: a checkpoint writes the last, unfilled row group again, and 2,047 turns of
megabytes would make this a test of the disk."""
START_LIMIT_MIB = 32
"""What any load costs, however few they are."""
TRICKLE_BYTES = 2048
TRICKLES = 5
QUIET_S = 3.0
"""Nothing moves any more when nothing was pushed for so long."""
OTHER_LIMIT_S = 10.0
"""How long somebody else's small chat may take meanwhile."""


@dataclasses.dataclass
class Seen:
    """MiB of the gateway's memory at each step, MiB that the upstream pushed, and what is wrong."""

    memory: dict[str, float] = dataclasses.field(default_factory=dict)
    pushed: dict[str, float] = dataclasses.field(default_factory=dict)
    wrong: list[str] = dataclasses.field(default_factory=list)


def chunk_of(asked: str, number: int) -> str:
    """One chunk of the answer to a prompt: no two prompts' are the same, nor two of one answer's."""
    return f"{asked} {number:06d} ".ljust(CHUNK_CHARACTERS, "x")


class Upstream:
    """Answers a prompt of `reader 7` with so many chunks, any other with one, as fast as they are taken off it."""

    def __init__(self, chunks: int) -> None:
        self.chunks = chunks
        self.pushed = 0
        """Bytes that left its own buffers."""
        self.asked = 0
        self.url = ""

    async def start(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/api/tags", self._tags)
        app.router.add_post("/api/chat", self._chat)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
        await runner.setup()
        listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
        await web.SockSite(runner, listener, backlog=4096).start()
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        return runner

    async def _tags(self, _: web.Request) -> web.Response:
        return web.json_response({"models": [{"name": "assistant:1.0.0"}]})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        asked = (await request.json())["messages"][-1]["content"]
        self.asked += 1
        answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await answer.prepare(request)
        for number in range(self.chunks if asked.startswith("reader") else 1):
            line = _line(chunk_of(asked, number), done=False)
            await answer.write(line)
            self.pushed += len(line)
        await answer.write(_line("", done=True))
        return answer


def _line(text: str, *, done: bool) -> bytes:
    message = {"role": "assistant", "content": text}
    ended = {"done_reason": "stop", "prompt_eval_count": 2, "eval_count": 9} if done else {}
    return json.dumps({"model": "assistant:1.0.0", "message": message, "done": done, **ended}).encode() + b"\n"


class Reader:
    """One person with a socket that takes next to nothing by itself."""

    def __init__(self, number: int, chunks: int) -> None:
        self.asked = f"reader {number}"
        self._recorded = number % RECORDED_EVERY == 0
        self._chunks = chunks
        self._read = bytearray()
        self._socket = socket.socket()
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    async def ask(self, url: str) -> None:
        loop = asyncio.get_running_loop()
        host, port = url.removeprefix("http://").split(":")
        await loop.sock_connect(self._socket, (host, int(port)))
        messages = [{"role": "user", "content": self.asked}]
        body = json.dumps({"model": "assistant", "messages": messages, "store": self._recorded}).encode()
        head = f"POST /api/chat HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-length: {len(body)}\r\n\r\n"
        await loop.sock_sendall(self._socket, head.encode() + body)

    async def trickle(self) -> None:
        self._read += await asyncio.get_running_loop().sock_recv(self._socket, TRICKLE_BYTES)

    async def finish(self) -> str:
        """Read to the end; what is wrong with the answer, or nothing."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        with self._socket:
            while data := await asyncio.get_running_loop().sock_recv(self._socket, 1 << 18):
                self._read += data
        try:
            return self._verdict()
        except (http.client.HTTPException, ValueError, KeyError) as error:
            return f"{self.asked}: no whole answer ({type(error).__name__})"
        finally:
            self._read.clear()

    def _verdict(self) -> str:
        answer = http.client.HTTPResponse(cast(socket.socket, _Bytes(self._read)))
        answer.begin()
        if answer.status != 200:
            return f"{self.asked}: status {answer.status}"
        *lines, last = [json.loads(line) for line in answer.read().splitlines()]
        said = "".join(line["message"]["content"] for line in lines)
        right = said == "".join(chunk_of(self.asked, number) for number in range(self._chunks))
        right = right and last["done"] and bool(last.get("turn_id")) == self._recorded
        return "" if right else f"{self.asked}: another answer than the upstream's"


class _Bytes:
    """What `http.client` takes for a socket."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._data = data

    def makefile(self, _: str) -> io.BytesIO:
        return io.BytesIO(self._data)


class Watch:
    """The gateway's memory, a few times a second; the highest since it was last asked."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._highest = 0.0
        self._task = asyncio.create_task(self._look())

    def now(self) -> float:
        found = float(self._process.memory_info().rss) / 2**20
        self._highest = max(self._highest, found)
        return found

    def highest(self) -> float:
        self.now()
        found, self._highest = self._highest, 0.0
        return found

    def end(self) -> None:
        self._task.cancel()

    async def _look(self) -> None:
        while True:
            self.now()
            await asyncio.sleep(0.2)


async def settled(upstream: Upstream) -> None:
    """Wait until nothing moves."""
    last, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET_S:
        await asyncio.sleep(0.1)
        if upstream.pushed != last:
            last, since = upstream.pushed, time.monotonic()


async def other_chat(url: str, seen: Seen) -> None:
    """Somebody who does read."""
    body = {"model": "assistant", "messages": [{"role": "user", "content": "other"}], "stream": False}
    try:
        async with (
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=OTHER_LIMIT_S)) as session,
            session.post(f"{url}/api/chat", json=body) as answer,
        ):
            if (await answer.json())["message"]["content"] != chunk_of("other", 0):
                seen.wrong.append("somebody else got a wrong answer")
    except (aiohttp.ClientError, TimeoutError):
        seen.wrong.append("somebody else got no answer")


async def read_slowly(url: str, pid: int, upstream: Upstream, count: int) -> Seen:
    """All three steps."""
    seen, readers = Seen(), [Reader(number, upstream.chunks) for number in range(count)]
    await other_chat(url, seen)
    watch = Watch(pid)

    def note(step: str) -> None:
        seen.memory[step], seen.pushed[step] = watch.highest(), upstream.pushed / 2**20
        print(f"{step:<28} {seen.memory[step]:7.1f} MiB, {seen.pushed[step]:9.1f} MiB pushed", flush=True)

    note("before")
    await asyncio.gather(*(reader.ask(url) for reader in readers))
    await settled(upstream)
    if upstream.asked != count + 1:
        seen.wrong.append(f"the upstream was asked by {upstream.asked - 1} of {count}")
    note("nobody reads")
    await other_chat(url, seen)
    for _ in range(TRICKLES):
        await asyncio.gather(*(reader.trickle() for reader in readers))
        await asyncio.sleep(0.2)
    await settled(upstream)
    note("everybody reads a trickle")
    await other_chat(url, seen)
    few = asyncio.Semaphore(FINISHING)

    async def finished(reader: Reader) -> str:
        async with few:
            return await reader.finish()

    seen.wrong += [verdict for verdict in await asyncio.gather(*map(finished, readers)) if verdict]
    note("everybody reads to the end")
    watch.end()
    return seen


def stalled_limit(count: int) -> float:
    """MiB by which memory may grow while nobody reads to the end."""
    return START_LIMIT_MIB + count * GROWTH_LIMIT_KIB / 1024


def judge(seen: Seen, count: int) -> list[str]:
    """What is wrong, memory included."""
    start, stalled = seen.memory["before"], stalled_limit(count)
    limits = {"nobody reads": stalled, "everybody reads a trickle": stalled}
    limits["everybody reads to the end"] = stalled + FINISHING_LIMIT_MIB + DATABASE_LIMIT_MIB
    grown = {step: seen.memory[step] - start for step in limits}
    return seen.wrong + [
        f"{step}: memory grew by {grown[step]:.0f} MiB, more than {limit:.0f}"
        for step, limit in limits.items()
        if grown[step] > limit
    ]


async def _run(data_dir: Path, count: int, chunks: int) -> tuple[Seen, list[str]]:
    upstream = Upstream(chunks)
    runner = await upstream.start()
    settings = {"log_level": "error", "concurrent_limit": count + 8}
    try:
        with await asyncio.to_thread(GatewayProcess, data_dir, upstream.url, **settings) as gateway:
            seen = await read_slowly(gateway.url, gateway.process.pid, upstream, count)
            code, log = await asyncio.to_thread(gateway.terminate, 60)
    finally:
        await runner.cleanup()
    wrong = judge(seen, count) + [f"it left with {code}"] * bool(code)
    return seen, wrong + [line for line in log if '"unforeseen"' in line][:5]


def run(data_dir: Path, count: int, mib: float) -> tuple[Seen, list[str]]:
    """The whole of it. Gives what was seen and what is wrong."""
    _may_open(count * 2 + 256)
    set_alias(data_dir)
    seen, wrong = asyncio.run(_run(data_dir, count, round(mib * 2**20 / CHUNK_CHARACTERS)))
    statuses = sorted(stored(data_dir)[0].values())
    recorded = len(range(0, count, RECORDED_EVERY)) + 3
    if statuses != ["whole"] * recorded:
        wrong.append(f"{statuses.count('whole')} turns of {recorded} are stored whole")
    return seen, wrong


def _may_open(files: int) -> None:
    """This process and its children; a reader costs each of them two. Fails where the machine allows fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < files:
        resource.setrlimit(resource.RLIMIT_NOFILE, (files, hard))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--readers", type=int, default=1000)
    parser.add_argument("--mib", type=float, default=2.0, help="size of each answer")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seen, wrong = run(Path(folder), given.readers, given.mib)
    limit, more = stalled_limit(given.readers), FINISHING_LIMIT_MIB + DATABASE_LIMIT_MIB
    start, highest = seen.memory["before"], max(seen.memory.values())
    print(
        f"{given.readers} readers, {given.mib:g} MiB to each: the gateway's memory {start:.0f} MiB at the start, "
        f"{highest:.0f} MiB at its highest; bound {start + limit:.0f} MiB while they don't read, "
        f"{more} MiB more, the database's included, while {FINISHING} at a time read to the end"
    )
    sys.exit("; ".join(wrong[:10]) or None)


if __name__ == "__main__":
    main()
