"""Asking the upstream, which speaks Ollama's API: one aiohttp session, and every way it can fail told apart.

Always asked for a stream, also for a client that wants the whole: only so can a silence be told from a long answer, and
a reply be stopped half-way. A reply without its last line is a broken one and must never pass for a whole one.
"""

from __future__ import annotations

import asyncio
from typing import Any, Self

import aiohttp
import msgspec

from feedback.errors import UpstreamBroke, UpstreamDown, UpstreamRefused
from service.settings import GatewaySettings

REASON_LIMIT = 500
"""Characters of an upstream's error that are passed on."""
END_OF_BODY_S = 0.25
"""How long the end of a body may be behind its last line; a connection that is slower is not kept."""
HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "ratchet-gateway"}


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
    """A reply on its way: read it to its end, or close it to stop the model."""

    def __init__(self, answer: aiohttp.ClientResponse, settings: GatewaySettings) -> None:
        self._answer = answer
        self._wait_s = settings.first_token_timeout_s
        self._stall_s = settings.stall_timeout_s
        self._rest = b""
        self._failure: UpstreamBroke | None = None
        """A bad line that came together with good ones: raised once those were taken."""

    async def read(self) -> list[Chunk]:
        """The next chunks, all that came off the wire at once. Raises UpstreamBroke at an end, a silence, an error."""
        while True:
            if self._failure is not None:
                raise self._failure
            try:
                async with asyncio.timeout(self._wait_s):
                    data = await self._answer.content.readany()
            except TimeoutError as error:
                raise UpstreamBroke(
                    f"The upstream fell silent for {self._wait_s:g} s.", "Ask again, or raise gateway.stall_timeout_s."
                ) from error
            except aiohttp.ClientError as error:
                raise _cut_short() from error
            self._wait_s = self._stall_s
            if not data:
                raise _cut_short()
            *lines, self._rest = (self._rest + data).split(b"\n")
            chunks = self._chunks(lines)
            if chunks:
                return chunks

    def _chunks(self, lines: list[bytes]) -> list[Chunk]:
        """The good chunks up to the first bad line."""
        chunks: list[Chunk] = []
        try:
            for line in lines:
                if line:
                    chunks.append(self._chunk(line))
        except UpstreamBroke as failure:
            self._failure = failure
        return chunks

    def _chunk(self, line: bytes) -> Chunk:
        try:
            chunk = _decode_chunk(line)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise UpstreamBroke("The upstream answered with something that is no chunk.", "See its log.") from error
        if chunk.error is not None:
            raise UpstreamBroke(f"The upstream stopped: {_reason(chunk.error)}.", "Ask again; its log says more.")
        return chunk

    async def finish(self) -> None:
        """The last chunk was read: take the end of the body too, so that the connection may serve again."""
        try:
            async with asyncio.timeout(END_OF_BODY_S):
                while await self._answer.content.readany():
                    pass
        except (TimeoutError, aiohttp.ClientError):
            self._answer.close()

    def close(self) -> None:
        """Hang up, which stops the model; harmless after `finish`."""
        self._answer.close()


class Upstream:
    """The session to the upstream. Open it inside the loop that serves."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self._url = settings.upstream_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_timeout_s)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=timeout, headers=HEADERS, auto_decompress=False
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def chat(self, body: bytes, path: str = "/api/chat") -> UpstreamReply:
        """Ask for a chat, or at `/api/generate`. Raises UpstreamDown, UpstreamRefused with its reason, UpstreamBroke."""
        answer = await self._ask("POST", path, body, self._settings.first_token_timeout_s)
        return UpstreamReply(answer, self._settings)

    async def fetch(
        self, method: str, path: str, body: bytes | None = None, *, wait_s: float | None = None
    ) -> dict[str, Any]:
        """A small question, answered whole: tags, version, show, or what needs a loaded model, which takes `wait_s`.

        Raises as `chat` does.
        """
        wait_s = wait_s or self._settings.connect_timeout_s
        answer = await self._ask(method, path, body, wait_s)
        try:
            async with asyncio.timeout(wait_s):
                found = msgspec.json.decode(await answer.read(), type=dict[str, Any])
        except (TimeoutError, aiohttp.ClientError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _cut_short() from error
        finally:
            answer.close()
        return found

    async def _ask(self, method: str, path: str, body: bytes | None, wait_s: float) -> aiohttp.ClientResponse:
        """Send, wait for the headers, take nothing but 200. A kept-alive connection that died unnoticed is retried."""
        assert self._session is not None, "the upstream is used outside its `async with`"
        for attempt in (1, 2):
            try:
                async with asyncio.timeout(wait_s):
                    answer = await self._session.request(method, self._url + path, data=body)
                    break
            except aiohttp.ServerDisconnectedError as error:
                if attempt == 2:
                    raise _cut_short() from error
            except TimeoutError as error:  # before ClientError: aiohttp's connect timeouts are both
                if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
                    raise self._down() from error
                raise UpstreamBroke(
                    f"The upstream did not begin to answer within {wait_s:g} s.", "Is its model too large for its host?"
                ) from error
            except aiohttp.ClientConnectionError as error:
                raise self._down() from error
            except (aiohttp.ClientError, ValueError) as error:
                raise self._down() from error
        if answer.status != 200:
            raise await self._refused(answer)
        return answer

    def _down(self) -> UpstreamDown:
        return UpstreamDown(
            f"No model server answers at {self._url}.",
            "Start Ollama or the embedded engine, or set gateway.upstream_url.",
        )

    async def _refused(self, answer: aiohttp.ClientResponse) -> UpstreamRefused:
        try:
            async with asyncio.timeout(self._settings.connect_timeout_s):
                text = (await answer.content.read(64 * 1024)).decode("utf-8", "replace")
        except (TimeoutError, aiohttp.ClientError):
            text = ""
        finally:
            answer.close()
        try:
            reason = msgspec.json.decode(text, type=dict[str, Any]).get("error", text)
        except msgspec.DecodeError:
            reason = text
        return UpstreamRefused(
            f"The upstream refused with status {answer.status}: {_reason(reason)}.",
            "If it has lost the version, `ratchet promote` it again.",
            status=answer.status,
        )


def _cut_short() -> UpstreamBroke:
    return UpstreamBroke("The upstream hung up before its reply ended.", "Ask again; its log says more.")


def _reason(error: Any) -> str:
    return str(error).strip().rstrip(".")[:REASON_LIMIT] or "no reason given"
