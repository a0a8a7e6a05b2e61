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
NEWLINE = 10
MANY = 3
"""From so many chunks at once on it pays to join their texts."""
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


_decoder = msgspec.json.Decoder(Chunk)
_decode_chunk, _decode_lines = _decoder.decode, _decoder.decode_lines


class UpstreamReply:
    """A reply that has begun: read it to its end, or close it to stop the model. It holds its place until then."""

    def __init__(self, answer: aiohttp.ClientResponse, settings: GatewaySettings, place: Place) -> None:
        self._answer = answer
        self._content = answer.content
        # Or aiohttp starts its parser anew after each of the pieces that came at once; so it does when all are taken.
        self._content._low_water = 1
        self._place = place
        self._loop = asyncio.get_running_loop()
        self._wait_s = settings.first_token_timeout_s
        self._stall_s = settings.stall_timeout_s
        self._waiting_since = 0.0
        """By the loop's clock; 0 while nobody waits."""
        self._alarm: asyncio.TimerHandle | None = None
        """One for many reads: to set one for each would cost as much as to decode what was read."""
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
        self._hush()  # the next alarm is for the shorter wait
        self._wait_s = self._stall_s
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
        self._hush()
        self._place.well()
        if not self._content.at_eof():  # nearly always it came with the last line
            try:
                async with asyncio.timeout(END_OF_BODY_S):
                    while await self._content.readany():
                        pass
            except (TimeoutError, aiohttp.ClientError):
                self._answer.close()
        self._place.give()

    def close(self) -> None:
        """Hang up, which stops the model; harmless after `finish`."""
        self._hush()
        self._answer.close()
        self._place.give()

    async def _read(self) -> list[Chunk]:
        while True:
            if self._failure is not None:
                raise self._failure
            self._waiting_since = self._loop.time()
            if self._alarm is None:
                self._alarm = self._loop.call_later(self._wait_s, self._look)
            try:
                data = await self._content.readany()
            except (aiohttp.ClientError, OSError) as error:
                raise faults.cut_short() from error
            finally:
                self._waiting_since = 0.0
            if not data:
                raise faults.cut_short()
            if self._line or data[-1] != NEWLINE:
                data = self._whole_lines(data)
            chunks = self._chunks(data)
            if chunks:
                return chunks

    def _look(self) -> None:
        """Whether the host has said nothing for too long. aiohttp hands the error to whoever waits for its words."""
        self._alarm = None
        if not self._waiting_since:
            return
        left_s = self._waiting_since + self._wait_s - self._loop.time()
        if left_s > 0:
            self._alarm = self._loop.call_later(left_s, self._look)
        else:
            self._content.set_exception(faults.silent(self._wait_s))

    def _hush(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    def _whole_lines(self, data: bytes) -> bytes:
        """The lines that end in `data`; the rest is kept. Raises UpstreamBroke for one that is too long."""
        lines, newline, rest = data.rpartition(b"\n")
        if not newline:
            self._line.append(data)
            self._line_bytes += len(data)
            if self._line_bytes > LINE_LIMIT_BYTES:
                raise faults.no_chunk()
            return b""
        found = b"".join(self._line) + lines + newline
        self._line, self._line_bytes = ([rest], len(rest)) if rest else ([], 0)
        return found

    def _chunks(self, data: bytes) -> list[Chunk]:
        """The good chunks up to the first bad line."""
        try:
            chunks = _decode_lines(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            pass
        else:
            if not [chunk for chunk in chunks if chunk.error is not None]:
                return chunks
        chunks = []
        try:
            for line in data.split(b"\n"):
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


def joined(chunks: list[Chunk]) -> list[Chunk]:
    """The same with neighbours of mere text as one, where many came at once: a filter's cost is by the piece."""
    found: list[Chunk] = []
    texts: list[str] = []
    for chunk in chunks:
        said = chunk.message
        if not (chunk.done or chunk.logprobs or said.thinking or said.tool_calls or chunk.thinking or chunk.tool_calls):
            texts.append(said.content or chunk.response)
            continue
        if texts:
            found.append(Chunk(response="".join(texts)))
            texts = []
        found.append(chunk)
    if texts:
        found.append(Chunk(response="".join(texts)))
    return found
