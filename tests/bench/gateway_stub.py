"""The upstream that the gateway's bench puts behind every proxy: `python -m tests.bench.gateway_stub`, prints its port.

Speaks just enough of Ollama's dialect, and of OpenAI's for LiteLLM, straight on a uvloop protocol, so that it is never
what is measured. What it answers stands in the prompt, which every proxy passes on: `chunks=8 pace_ms=0`. An answer
without a pace leaves in one write, as what a fast model has said by the time that a proxy reads; a whole one is one
JSON object. A paced stream's chunks come at their own times, not all streams' at once.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
from typing import Any, cast

import uvloop

ASKED = re.compile(rb"chunks=(\d+) pace_ms=(\d+)")
STREAMED = re.compile(rb'"stream": ?true')
WORDS = (
    "the",
    "tower",
    "is",
    "about",
    "three",
    "hundred",
    "metres",
    "tall",
    "and",
    "was",
    "built",
    "in",
    "that",
    "city",
)


def _said(number: int) -> str:
    return f" {WORDS[number % len(WORDS)]}"


def _ollama(text: str, chunks: int, last: bool) -> bytes:
    line: dict[str, Any] = {
        "model": "assistant:1.0.0", "created_at": "2026-01-01T00:00:00.000000Z",
        "message": {"role": "assistant", "content": text}, "done": last,
    }  # fmt: skip
    if last:
        line |= {
            "done_reason": "stop", "total_duration": 4883583458, "load_duration": 1334875,
            "prompt_eval_count": 26, "prompt_eval_duration": 342546000, "eval_count": chunks,
            "eval_duration": 4535599000,
        }  # fmt: skip
    return json.dumps(line).encode() + b"\n"


def _openai(text: str, chunks: int, last: bool) -> bytes:
    choice = {"index": 0, "delta": {} if last else {"content": text}, "finish_reason": "stop" if last else None}
    event = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o",
        "choices": [choice],
    }
    return b"data: " + json.dumps(event).encode() + b"\n\n" + (b"data: [DONE]\n\n" if last else b"")


def _openai_whole(text: str, chunks: int) -> bytes:
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 26, "completion_tokens": chunks, "total_tokens": 26 + chunks}
    whole = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "gpt-4o", "choices": [choice]}
    return json.dumps({**whole, "usage": usage}).encode()


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


def _headed(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


class Stub(asyncio.Protocol):
    """One connection; requests come one after another."""

    def __init__(self, made: dict[tuple[bytes, int], list[bytes]]) -> None:
        self._made = made
        """Every answer is made once: its pieces, by dialect and number of chunks."""
        self._data = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own kind is none by class

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._data += data
        head, found, rest = self._data.partition(b"\r\n\r\n")
        if not found:
            return
        lower = head.lower()
        if b"transfer-encoding: chunked" in lower:
            if not rest.endswith(b"0\r\n\r\n"):
                return
        else:
            length = re.search(rb"content-length: *(\d+)", lower)
            if length is not None and len(rest) < int(length[1]):
                return
        self._data = b""
        self._answer(head.split(b" ", 2)[1], rest)

    def _answer(self, path: bytes, body: bytes) -> None:
        assert self._transport is not None
        asked = ASKED.search(body)
        if asked is None:
            known = {"models": [{"name": "assistant:1.0.0", "model": "assistant:1.0.0"}], "version": "0.32.15"}
            self._transport.write(_headed(json.dumps(known).encode()))
            return
        chunks, pace_ms = int(asked[1]), int(asked[2])
        if STREAMED.search(body) is None:
            self._transport.write(self._whole(path, chunks))
            return
        pieces = self._pieces(path, chunks)
        if not pace_ms:
            self._transport.write(b"".join(pieces))
            return
        self._transport.write(pieces[0])
        loop, pace_s = asyncio.get_running_loop(), pace_ms / 1000
        when = loop.time() + pace_s * random.random()
        loop.call_at(when, self._go_on, pieces, 1, when, pace_s)

    def _go_on(self, pieces: list[bytes], at: int, when: float, pace_s: float) -> None:
        if self._transport is None:
            return
        self._transport.write(pieces[at])
        if at + 1 < len(pieces):
            asyncio.get_running_loop().call_at(when + pace_s, self._go_on, pieces, at + 1, when + pace_s, pace_s)

    def _whole(self, path: bytes, chunks: int) -> bytes:
        key = (path + b" whole", chunks)
        if key not in self._made:
            text = "".join(_said(number) for number in range(chunks))
            body = _ollama(text, chunks, True) if path == b"/api/chat" else _openai_whole(text, chunks)
            self._made[key] = [_headed(body)]
        return self._made[key][0]

    def _pieces(self, path: bytes, chunks: int) -> list[bytes]:
        """The head with the first chunk, every further chunk, and the last one with the end."""
        key = (path, chunks)
        if key not in self._made:
            kind, line = (b"x-ndjson", _ollama) if path == b"/api/chat" else (b"event-stream", _openai)
            lines = [_chunk(line(_said(number), chunks, False)) for number in range(chunks)]
            head = b"HTTP/1.1 200 OK\r\ncontent-type: application/%b\r\ntransfer-encoding: chunked\r\n\r\n" % kind
            self._made[key] = [head + lines[0], *lines[1:], _chunk(line("", chunks, True)) + b"0\r\n\r\n"]
        return self._made[key]


async def _serve() -> None:
    made: dict[tuple[bytes, int], list[bytes]] = {}
    server = await asyncio.get_running_loop().create_server(lambda: Stub(made), "127.0.0.1", 0, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)  # until whoever started it is gone


if __name__ == "__main__":
    uvloop.run(_serve())
