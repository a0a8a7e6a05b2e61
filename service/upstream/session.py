"""The way to a host: aiohttp's sessions, one question at a time, and nothing that routes.

One session keeps its connections. Another keeps none, for second attempts: where a host was started anew, every kept
connection to it may have died unnoticed, and a request must not die with them one after another.
"""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterable
from typing import Any, Self

import aiohttp
import msgspec

from feedback.errors import UpstreamBroke, UpstreamRefused
from service.observing.calls import current_call
from service.settings import GatewaySettings
from service.upstream import faults
from service.upstream.host import Host

HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "ratchet-gateway"}
ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
"""Largest answer that is read whole: embeddings, or what is known of a large model."""
READ_AHEAD_BYTES = 16 * 1024
"""Of an answer; twice as much may wait for a client that doesn't read before the host is made to wait."""
KERNEL_READ_AHEAD_BYTES = 64 * 1024
"""The same of the kernel, which would take up to 32 MiB for each."""
LARGE_BYTES = 1024 * 1024
"""A body of so many bytes, with images, is written in pieces: aiohttp would hold up the loop with the whole."""


class Session:
    """The sessions. Open them inside the loop that serves."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._connect_timeout_s = settings.connect_timeout_s
        self._kept: aiohttp.ClientSession | None = None
        self._anew: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._kept = self._opened(aiohttp.TCPConnector(limit=0, socket_factory=_socket))
        self._anew = self._opened(aiohttp.TCPConnector(limit=0, socket_factory=_socket, force_close=True))
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in (self._kept, self._anew):
            if session is not None:
                await session.close()

    async def ask(
        self, host: Host, method: str, path: str, body: bytes | None, wait_s: float
    ) -> aiohttp.ClientResponse:
        """Send, wait for the headers, take nothing but 200. A kept-alive connection that died unnoticed is retried."""
        assert self._kept is not None and self._anew is not None, "the upstream is used outside its `async with`"
        url, headers = host.url + path, current_call().upstream_headers()
        for session in (self._kept, self._anew):
            try:
                async with asyncio.timeout(wait_s):
                    data = body if body is None or len(body) < LARGE_BYTES else io.BytesIO(body)
                    answer = await session.request(method, url, data=data, headers=headers, allow_redirects=False)
                    if answer.status != 200:
                        raise await _refused(answer)
                    return answer
            except (aiohttp.ClientError, OSError, ValueError) as error:
                if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
                    raise faults.slow(wait_s) from error
                if session is self._anew or not _died_unnoticed(error):
                    raise faults.translated(error, host.name) from error
        raise AssertionError("unreachable: the second attempt returns or raises")

    async def fetch(
        self, host: Host, method: str, path: str, body: bytes | None = None, *, wait_s: float | None = None
    ) -> dict[str, Any]:
        """A question answered whole by one host. Raises UpstreamDown, UpstreamRefused, UpstreamBroke."""
        wait_s = wait_s or self._connect_timeout_s
        answer = await self.ask(host, method, path, body, wait_s)
        try:
            async with asyncio.timeout(wait_s):
                return msgspec.json.decode(await _whole(answer), type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise UpstreamBroke("The upstream answered with something that is not JSON.", "See its log.") from error
        except (TimeoutError, aiohttp.ClientError) as error:
            raise faults.cut_short() from error
        finally:
            answer.close()

    async def pass_on(
        self, host: Host, method: str, path: str, headers: dict[str, str], data: AsyncIterable[bytes] | bytes | None
    ) -> aiohttp.ClientResponse:
        """Send one host a request as it came; its answer, whatever its status, is the caller's to read and to close.

        It may take any time: a model is pulled in hours. Raises UpstreamDown, UpstreamBroke.
        """
        assert self._kept is not None, "the upstream is used outside its `async with`"
        try:
            return await self._kept.request(method, host.url + path, headers=headers, data=data, allow_redirects=False)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise faults.translated(error, host.name) from error

    def _opened(self, connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._connect_timeout_s)
        return aiohttp.ClientSession(
            connector=connector, timeout=timeout, headers=HEADERS, auto_decompress=False, trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(), read_bufsize=READ_AHEAD_BYTES,
        )  # fmt: skip


def _socket(address: aiohttp.AddrInfoType) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL_READ_AHEAD_BYTES)
    return made


def _died_unnoticed(error: Exception) -> bool:
    """Whether a connection broke that stood before: it may have been closed at the other end while it was idle."""
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ServerTimeoutError):
        return False
    return isinstance(error, aiohttp.ServerDisconnectedError | aiohttp.ClientOSError)


async def _refused(answer: aiohttp.ClientResponse) -> UpstreamRefused:
    try:
        return await faults.refused(answer)
    finally:
        answer.close()


async def _whole(answer: aiohttp.ClientResponse) -> bytes:
    """A body, if it is not too large."""
    parts: list[bytes] = []
    size = 0
    while data := await answer.content.readany():
        parts.append(data)
        size += len(data)
        if size > ANSWER_LIMIT_BYTES:
            raise UpstreamBroke("The upstream's answer is larger than the gateway takes.", "Ask for less at once.")
    return b"".join(parts)
