"""The clients of the gateway's bench, in a process of their own: `python -m tests.bench.gateway_load`.

Each line on stdin is a `Work` in JSON; each is answered with a line, a `Seen`. Clients are a uvloop protocol each,
which asks again as soon as it is answered, so that they cost little beside what they measure. An answer that is not
whole counts as failed.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
from typing import cast

import msgspec
import uvloop

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
LONGEST_S = 60
"""An answer that has not come by then failed."""


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask, by how many at once, and until when: every client has asked `each` times, or `seconds` are over."""

    port: int
    path: str
    headers: dict[str, str] = {}
    clients: int
    model: str
    stream: bool
    chunks: int
    pace_ms: int = 0
    pause_ms: int = 0
    """How long a client rests before it asks again."""
    seconds: float = 1e9
    each: int = 10**9


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """How it went. Medians are microseconds from the request on."""

    answered: int
    failed: int
    seconds: float
    first_us: float
    """To the first bytes of the answer's body."""
    whole_us: float


class Client(asyncio.Protocol):
    """One connection that asks and asks."""

    def __init__(self, work: Work, request: bytes, until: float) -> None:
        self._work, self._request, self._until = work, request, until
        self._data = bytearray()
        self._began = 0.0
        self._body_seen = False
        self.first: list[float] = []
        self.whole: list[float] = []
        self.failed = 0
        self.over = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own kind is none by class
        self._ask()

    def _ask(self) -> None:
        if len(self.whole) + self.failed >= self._work.each or time.perf_counter() >= self._until:
            self._stop()
            return
        self._data.clear()
        self._body_seen = False
        self._began = time.perf_counter()
        self._transport.write(self._request)

    def _stop(self) -> None:
        if not self.over.done():
            self.over.set_result(None)
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        self._data += data
        head_end = self._data.find(b"\r\n\r\n")
        if head_end < 0:
            return
        if not self._body_seen and len(self._data) > head_end + 4:
            self._body_seen = True
            length = LENGTH.search(self._data, 0, head_end + 2)
            self._length = -1 if length is None else int(length[1])
            self.first.append(now - self._began)
        if self._body_seen and self._ended(head_end):
            self.whole.append(now - self._began)
            if not self._good():
                self.whole.pop()
                self.failed += 1
            if self._work.pause_ms:
                asyncio.get_running_loop().call_later(self._work.pause_ms / 1000, self._ask)
            else:
                self._ask()

    def _ended(self, head_end: int) -> bool:
        if self._length < 0:
            return self._data.endswith(b"0\r\n\r\n")
        return len(self._data) - head_end - 4 >= self._length

    def _good(self) -> bool:
        end = bytes(self._data[-2000:])
        whole = b'"done":true' in end or b'"done": true' in end or b"[DONE]" in end or b'"finish_reason"' in end
        return self._data.startswith(b"HTTP/1.1 200") and whole and b'"error"' not in end

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.over.done():
            self.failed += 1
            self.over.set_result(None)


def _request(work: Work) -> bytes:
    prompt = (
        f"How tall is that tower, and when was it built? chunks={work.chunks} pace_ms={work.pace_ms}. "
        "Please answer in one sentence; I would like to tell my children, who asked me about it yesterday evening."
    )
    asked = {"model": work.model, "messages": [{"role": "user", "content": prompt}], "stream": work.stream}
    body = json.dumps(asked).encode()
    extra = "".join(f"{name}: {value}\r\n" for name, value in work.headers.items())
    head = (
        f"POST {work.path} HTTP/1.1\r\nhost: 127.0.0.1:{work.port}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n{extra}\r\n"
    )
    return head.encode() + body


async def _do(work: Work) -> Seen:
    loop, request, began = asyncio.get_running_loop(), _request(work), time.perf_counter()
    clients: list[Client] = []

    def client() -> Client:
        clients.append(Client(work, request, began + work.seconds))
        return clients[-1]

    for _ in range(work.clients):
        await loop.create_connection(client, "127.0.0.1", work.port)
    await asyncio.wait([one.over for one in clients], timeout=LONGEST_S)
    whole = sorted(wait for one in clients for wait in one.whole)
    first = sorted(wait for one in clients for wait in one.first)
    return Seen(
        answered=len(whole),
        failed=sum(one.failed + (not one.over.done()) for one in clients),
        seconds=time.perf_counter() - began,
        first_us=first[len(first) // 2] * 1e6 if first else 0.0,
        whole_us=whole[len(whole) // 2] * 1e6 if whole else 0.0,
    )


def main() -> None:
    for line in sys.stdin:
        seen = uvloop.run(_do(msgspec.json.decode(line, type=Work)))
        print(msgspec.json.encode(seen).decode(), flush=True)


if __name__ == "__main__":
    main()
