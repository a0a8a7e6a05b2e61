"""Asking the upstream: one aiohttp session to all its hosts, and another host where one fails before it said anything.

A request takes a place at a host, is sent, and its first chunk is waited for. Until then nothing was passed on to a
client, so a host that fails is passed over for the next, and the client only sees a reply that took longer. From the
first chunk on a failure is the reply's own: asking anew would show its beginning twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any, Self, TypeVar

import aiohttp
import msgspec

from feedback.errors import RatchetError, UpstreamBroke, UpstreamDown, UpstreamRefused
from service.calls import current_call
from service.settings import GatewaySettings
from service.upstream import faults
from service.upstream.host import Circuit, Host, full_name
from service.upstream.looks import Looks
from service.upstream.places import NoneHas, Place, Places
from service.upstream.reply import UpstreamReply

HEADERS = {"Content-Type": "application/json", "Accept-Encoding": "identity", "User-Agent": "ratchet-gateway"}
ANSWER_LIMIT_BYTES = 64 * 1024 * 1024
"""Largest answer that is read whole: embeddings, or what is known of a large model."""

Result = TypeVar("Result")


class Upstream:
    """The session to the upstream. Open it inside the loop that serves."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self.hosts = [Host(url, Circuit(settings.circuit_failures, settings.circuit_pause_s)) for url in settings.hosts]
        self.places = Places(self.hosts, settings.concurrent_limit, settings.queue_limit, settings.queue_wait_s)
        self.looks = Looks(self.hosts, self._models, self.places.stir, settings.upstream_check_s)
        self._session: aiohttp.ClientSession | None = None
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._settings.connect_timeout_s)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=timeout, headers=HEADERS, auto_decompress=False
        )
        self._watch = asyncio.create_task(self.looks.watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watch is not None:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        if self._session is not None:
            await self._session.close()

    @property
    def tags(self) -> frozenset[str]:
        """The full names of all models that any host has, as the last looks found them; empty before the first."""
        return frozenset().union(*(host.tags for host in self.hosts))

    async def chat(self, tag: str, body: bytes, path: str = "/api/chat") -> UpstreamReply:
        """Ask for a chat with a model, or at `/api/generate`; the reply has begun.

        Raises UpstreamDown, UpstreamRefused with its reason, UpstreamBroke, Overloaded.
        """

        async def begin(place: Place) -> UpstreamReply:
            answer = await self._ask(place.host, "POST", path, body, self._settings.first_token_timeout_s)
            reply = UpstreamReply(answer, self._settings, place)
            try:
                await reply.begin()
            except BaseException:  # the place is given back by whoever took it; the connection is of no use to anybody
                answer.close()
                raise
            return reply

        return await self._somewhere(full_name(tag), begin)

    async def fetch(
        self, method: str, path: str, body: bytes | None = None, *, tag: str = "", wait_s: float | None = None
    ) -> dict[str, Any]:
        """A question answered whole. One about a model names its `tag`, and is asked of a host that has it.

        Given `wait_s` it costs a model's work (embeddings): it takes a place, and may take that long. Else it is small
        and is not held up by the queue. Raises as `chat` does.
        """
        wanted = full_name(tag) if tag else ""
        if wait_s is None:
            return await self._anywhere(wanted, lambda host: self.fetch_from(host, method, path, body))

        async def whole(place: Place) -> dict[str, Any]:
            found = await self.fetch_from(place.host, method, path, body, wait_s=wait_s)
            place.well()
            place.give()
            return found

        return await self._somewhere(wanted, whole)

    async def fetch_from(
        self, host: Host, method: str, path: str, body: bytes | None = None, *, wait_s: float | None = None
    ) -> dict[str, Any]:
        """A question answered whole by one host. Raises UpstreamDown, UpstreamRefused, UpstreamBroke."""
        wait_s = wait_s or self._settings.connect_timeout_s
        answer = await self._ask(host, method, path, body, wait_s)
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
        assert self._session is not None, "the upstream is used outside its `async with`"
        try:
            return await self._session.request(
                method, host.url + path, headers=headers, data=data, allow_redirects=False
            )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise faults.translated(error, host.name) from error

    async def from_each(self, path: str) -> list[dict[str, Any]]:
        """What each host answers to a GET, without those that don't. Raises the first's error where none does."""
        asked = (self.fetch_from(host, "GET", path) for host in self.hosts)
        found = await asyncio.gather(*asked, return_exceptions=True)
        answers: list[dict[str, Any]] = []
        for one in found:
            if isinstance(one, dict):
                answers.append(one)
            elif not isinstance(one, RatchetError):
                raise one
        if not answers:
            raise next(one for one in found if isinstance(one, RatchetError))
        return answers

    async def models(self, path: str) -> list[dict[str, Any]]:
        """The `models` of all hosts together, for `/api/tags` or `/api/ps`: each name once, the first host's."""
        merged: dict[Any, dict[str, Any]] = {}
        for answer in await self.from_each(path):
            for model in answer.get("models") or ():
                if isinstance(model, dict):
                    merged.setdefault(model.get("name"), model)
        return list(merged.values())

    async def _models(self, host: Host) -> list[str]:
        """The names of one host's models."""
        found = await self.fetch_from(host, "GET", "/api/tags")
        models = found.get("models")
        if not isinstance(models, list):
            raise UpstreamBroke("The upstream's list of models is none.", "Is that an Ollama?")
        return [str(model["name"]) for model in models if isinstance(model, dict) and "name" in model]

    async def _somewhere(self, tag: str, ask: Callable[[Place], Awaitable[Result]]) -> Result:
        """Ask at one host after another until one does it. What `ask` returns keeps the place, and gives it back."""
        tried: list[Host] = []
        doubtful: list[Place] = []
        first: RatchetError | None = None
        while True:
            try:
                place = await self._taken(tag, tried)
            except RatchetError as error:
                raise first or error from None
            try:
                result = await ask(place)
            except RatchetError as error:
                place.give()
                self._note(error, place, tag, doubtful)
                if not faults.again(error):
                    raise
                first = first or error
                tried.append(place.host)
            except BaseException:
                place.give()
                raise
            else:
                for other in doubtful:  # the same request went well here: the fault was theirs, not the request's
                    other.at_fault()
                return result

    async def _anywhere(self, tag: str, ask: Callable[[Host], Awaitable[Result]]) -> Result:
        """Ask the hosts one after another, without places: small questions."""
        first: RatchetError | None = None
        try:
            hosts = self.places.candidates(tag)
        except NoneHas:
            raise faults.lacking(tag) from None
        for host in hosts:
            try:
                return await ask(host)
            except RatchetError as error:
                if not faults.again(error):
                    raise
                first = first or error
        assert first is not None, "there is a candidate, or `candidates` raises"
        raise first

    async def _taken(self, tag: str, tried: list[Host]) -> Place:
        """A place. A model that no host is known to have may have come a moment ago: then they are looked at first."""
        try:
            return await self.places.take(tag, tried)
        except NoneHas:
            if not tried:
                await self.looks.look_again()
                with contextlib.suppress(NoneHas):
                    return await self.places.take(tag)
        raise faults.lacking(tag)

    def _note(self, error: RatchetError, place: Place, tag: str, doubtful: list[Place]) -> None:
        """Remember what a failure says of its host."""
        place.host.troubles[error.code] += 1
        place.failed(error)
        if isinstance(error, UpstreamDown):
            self.looks.went_down(place.host)
        elif isinstance(error, UpstreamRefused) and error.status == 404 and tag:
            place.host.lost(tag)
        elif isinstance(error, faults.StoppedItself) or (isinstance(error, UpstreamRefused) and error.status != 503):
            doubtful.append(place)  # 503 is Ollama's word for a full queue: no fault

    async def _ask(
        self, host: Host, method: str, path: str, body: bytes | None, wait_s: float
    ) -> aiohttp.ClientResponse:
        """Send, wait for the headers, take nothing but 200. A kept-alive connection that died unnoticed is retried."""
        assert self._session is not None, "the upstream is used outside its `async with`"
        url, headers = host.url + path, current_call().upstream_headers()
        for attempt in (1, 2):
            try:
                async with asyncio.timeout(wait_s):
                    answer = await self._session.request(method, url, data=body, headers=headers, allow_redirects=False)
                    if answer.status != 200:
                        raise await _refused(answer)
                    return answer
            except (aiohttp.ClientError, OSError, ValueError) as error:
                if isinstance(error, TimeoutError) and not isinstance(error, aiohttp.ClientError):
                    raise faults.slow(wait_s) from error
                if attempt == 2 or not _died_unnoticed(error):
                    raise faults.translated(error, host.name) from error
        raise AssertionError("unreachable: the second attempt returns or raises")


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
