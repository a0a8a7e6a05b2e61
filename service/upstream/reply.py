"""A reply on its way from a host, line by line, and every way it can fail to come to its end.

Always asked for a stream, also for a client that wants the whole: only so can a silence be told from a long answer, and
a reply be stopped half-way. A reply without its last line is a broken one and must never pass for a whole one; and a
line without an end must never fill the memory.
"""

from __future__ import annotations

import asyncio
from typing import Any

import aiohttp
import msgspec

from feedback.errors import UpstreamBroke
from service.settings import GatewaySettings
from service.upstream import faults
from service.upstream.places import Place

END_OF_BODY_S = 0.25
"""How long the end of a body may be behind its last line; a connection that is slower is not kept."""
LINE_LIMIT_BYTES = 8 * 1024 * 1024
"""Longest line of a reply. The longest in earnest is a generation's last, with its context of some 100,000 tokens."""


class SaidMessage(msgspec.Struct):
    """The part of a chunk that the model said."""

    content: str = ""
    thinking: str = ""
    tool_calls: list[Any] | None = None


class Chunk(msgspec.Struct):
    """One line of an answer. Durations are nanoseconds."""

    message: SaidMessage = msgspec.field(default_factory=SaidMessage)
    """Of a chat; a generation has `response`, `thinking` and `tool_calls` beside it instead."""
    response: str = ""
    thinking: str = ""
    tool_calls: list[Any] | None = None
    context: list[int] | None = None
    """The conversation as tokens, on a generation's last line."""
    logprobs: list[Any] | None = None
    done: bool = False
    done_reason: str = ""
    error: Any = None
    total_duration: int | None = None
    load_duration: int | None = None
    prompt_eval_count: int | None = None
    prompt_eval_duration: int | None = None
    eval_count: int | None = None
    eval_duration: int | None = None


_decode_chunk = msgspec.json.Decoder(Chunk).decode


class UpstreamReply:
    """A reply that has begun: read it to its end, or close it to stop the model. It holds its place until then."""

    def __init__(self, answer: aiohttp.ClientResponse, settings: GatewaySettings, place: Place) -> None:
        self._answer = answer
        self._place = place
        self._wait_s = settings.first_token_timeout_s
        self._stall_s = settings.stall_timeout_s
        self._line: list[bytes] = []
        """The beginning of a line whose end has not come yet."""
        self._line_bytes = 0
        self._ready: list[Chunk] = []
        """The first chunks, read before anything is passed on."""
        self._failure: UpstreamBroke | None = None
        """A bad line that came together with good ones: raised once those were taken."""

    @property
    def host(self) -> str:
        """The address of the host that answers."""
        return self._place.host.name

    async def begin(self) -> None:
        """Wait for the first chunks, which `read` then gives. Raises UpstreamBroke where there are none."""
        self._ready = await self._read()
        self._place.began()

    async def read(self) -> list[Chunk]:
        """The next chunks, all that came off the wire at once. Raises UpstreamBroke at an end, a silence, an error."""
        if self._ready:
            ready, self._ready = self._ready, []
            return ready
        try:
            return await self._read()
        except UpstreamBroke as error:
            self._place.host.troubles[error.code] += 1
            self._place.failed(error)
            raise

    async def finish(self) -> None:
        """The last chunk was read: take the end of the body too, so that the connection may serve again."""
        self._place.well()
        if not self._answer.content.at_eof():  # nearly always it came with the last line
            try:
                async with asyncio.timeout(END_OF_BODY_S):
                    while await self._answer.content.readany():
                        pass
            except (TimeoutError, aiohttp.ClientError):
                self._answer.close()
        self._place.give()

    def close(self) -> None:
        """Hang up, which stops the model; harmless after `finish`."""
        self._answer.close()
        self._place.give()

    async def _read(self) -> list[Chunk]:
        while True:
            if self._failure is not None:
                raise self._failure
            try:
                async with asyncio.timeout(self._wait_s):
                    data = await self._answer.content.readany()
            except TimeoutError as error:
                raise faults.silent(self._wait_s) from error
            except (aiohttp.ClientError, OSError) as error:
                raise faults.cut_short() from error
            self._wait_s = self._stall_s
            if not data:
                raise faults.cut_short()
            chunks = self._chunks(self._lines(data))
            if chunks:
                return chunks

    def _lines(self, data: bytes) -> list[bytes]:
        """The lines that end in `data`; the rest is kept. Raises UpstreamBroke for one that is too long."""
        if b"\n" not in data:
            self._line.append(data)
            self._line_bytes += len(data)
            if self._line_bytes > LINE_LIMIT_BYTES:
                raise faults.no_chunk()
            return []
        *lines, rest = (b"".join(self._line) + data).split(b"\n")
        self._line, self._line_bytes = ([rest], len(rest)) if rest else ([], 0)
        return lines

    def _chunks(self, lines: list[bytes]) -> list[Chunk]:
        """The good chunks up to the first bad line."""
        chunks: list[Chunk] = []
        try:
            for line in lines:
                if line:
                    chunks.append(_chunk(line))
        except UpstreamBroke as failure:
            self._failure = failure
        return chunks


def _chunk(line: bytes) -> Chunk:
    try:
        chunk = _decode_chunk(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise faults.no_chunk() from error
    if chunk.error is not None:
        raise faults.stopped(chunk.error)
    return chunk
