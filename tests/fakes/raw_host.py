"""A host that lists its models as Ollama does and then misbehaves on the wire, below what an HTTP library would send.

    with RawHost(garbage_http) as host:
        ...  # ask host.url

What it does with a chat is a coroutine that gets the connection's writer; all that is written is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from typing import Self

from tests.fakes.listening import accept_no_more, listening

Writer = asyncio.StreamWriter
Does = Callable[["RawHost", Writer], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nTransfer-Encoding: chunked\r\n\r\n"


async def reset(host: RawHost, writer: Writer) -> None:
    """Closes the connection by RST."""
    sock: socket.socket = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def cut_in_headers(host: RawHost, writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Ty")


async def garbage_http(host: RawHost, writer: Writer) -> None:
    writer.write(bytes(range(256)) * 40 + b"\r\n\r\n")


async def html(host: RawHost, writer: Writer) -> None:
    """What a proxy's error page looks like under 200."""
    page = b"<html>\n<body>It works!</body>\n</html>\n"
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(page) + page)


async def headers_only(host: RawHost, writer: Writer) -> None:
    writer.write(HEAD)


async def error_page(host: RawHost, writer: Writer) -> None:
    writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>")


async def never(host: RawHost, writer: Writer) -> None:
    """Takes the request and says nothing."""
    await asyncio.sleep(3600)


async def endless_line(host: RawHost, writer: Writer) -> None:
    """A line that goes on until the other side has had enough, or a quarter of a gibibyte."""
    writer.write(HEAD)
    block = b"%x\r\n" % 65536 + b'"' * 65536 + b"\r\n"
    while host.written < 256 << 20:
        writer.write(block)
        host.written += 65536
        await writer.drain()


class RawHost:
    """A server on loopback, in a thread with a loop of its own."""

    def __init__(self, does: Does, models: tuple[str, ...] = ("assistant:1.0.0",)) -> None:
        self.does = does
        self.models = models
        self.url = ""
        self.asked = 0
        """Chats that it got."""
        self.written = 0
        """Bytes of endless lines that were taken off it, about."""
        self._loop = asyncio.new_event_loop()
        self._writers: list[Writer] = []
        self._up = threading.Event()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="raw-host", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._up.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve())

    async def _serve(self) -> None:
        listener = listening()
        server = await asyncio.start_server(self._answer, sock=listener)
        self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self._up.set()
        await self._stop.wait()
        await accept_no_more(listener)
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await task
        await asyncio.sleep(0.02)  # a connection may be on its way in
        for writer in self._writers:
            writer.transport.abort()  # whatever was not taken off it
        await asyncio.sleep(0.01)  # they close in the loop's next rounds

    async def _answer(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self._writers.append(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            for line in head.splitlines():
                if line.lower().startswith("content-length:"):
                    await reader.readexactly(int(line.split(":")[1]))
            if "/api/tags" in head:
                body = json.dumps({"models": [{"name": name} for name in self.models]}).encode()
                writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            else:
                self.asked += 1
                await self.does(self, writer)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the other side has had enough
        finally:
            writer.close()
