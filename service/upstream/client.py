"""Asking the upstream: one aiohttp session to all its hosts, and another host where one fails before it said anything.

A request takes a place at a host, is sent, and its first chunk is waited for. Until then nothing was passed on to a
client, so a host that fails is passed over for the next, and the client only sees a reply that took longer. From the
first chunk on a failure is the reply's own: asking anew would show its beginning twice.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, Self, TypeVar

from feedback.errors import RatchetError, UpstreamBroke, UpstreamDown, UpstreamRefused
from service.settings import GatewaySettings
from service.upstream import faults
from service.upstream.host import Circuit, Host, full_name
from service.upstream.looks import Looks
from service.upstream.places import NoneHas, Place, Places
from service.upstream.reply import UpstreamReply
from service.upstream.session import Session

Result = TypeVar("Result")

LAST_LOOK_S = 1.0
"""How long a look that is under way at the end may take."""


class Upstream:
    """The session to the upstream. Open it inside the loop that serves."""

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self.hosts = [Host(url, Circuit(settings.circuit_failures, settings.circuit_pause_s)) for url in settings.hosts]
        self.places = Places(self.hosts, settings.concurrent_limit, settings.queue_limit, settings.queue_wait_s)
        self.looks = Looks(self.hosts, self._models, self.places.stir, settings.upstream_check_s)
        self.session = Session(settings)
        """For what is meant for one host: `session.ask` and `session.fetch`."""
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.session.__aenter__()
        self._watch = asyncio.create_task(self.looks.watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._watch is not None:
            self.looks.stop()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._watch, LAST_LOOK_S)
        await self.session.__aexit__()

    @property
    def tags(self) -> frozenset[str]:
        """The full names of all models that any host has, as the last looks found them; empty before the first."""
        return frozenset().union(*(host.tags for host in self.hosts))

    async def chat(self, tag: str, body: bytes, path: str = "/api/chat") -> UpstreamReply:
        """Ask for a chat with a model, or at `/api/generate`; the reply has begun.

        Raises UpstreamDown, UpstreamRefused with its reason, UpstreamBroke, Overloaded.
        """

        async def begin(place: Place) -> UpstreamReply:
            answer = await self.session.ask(place.host, "POST", path, body, self._settings.first_token_timeout_s)
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
            return await self._anywhere(wanted, lambda host: self.session.fetch(host, method, path, body))

        async def whole(place: Place) -> dict[str, Any]:
            found = await self.session.fetch(place.host, method, path, body, wait_s=wait_s)
            place.well()
            place.give()
            return found

        return await self._somewhere(wanted, whole)

    async def from_each(self, path: str) -> list[dict[str, Any]]:
        """What each host answers to a GET, without those that don't. Raises the first's error where none does."""
        asked = (self.session.fetch(host, "GET", path) for host in self.hosts)
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
        found = await self.session.fetch(host, "GET", "/api/tags")
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
            except BaseException:  # cancelled as well: a place that nobody gives back is lost
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
