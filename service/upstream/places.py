"""Who is asked next: places at hosts, the host with the fewest taken first, and one fair queue for when all are full.

A request goes to a host that has its model, is up (or none is), and whose circuit allows it. Where every such host is
full it waits, first come, first served, among those that the same host could serve. A place is given back exactly once,
however its request ends; a client that leaves while it waits leaves the queue at once. Must never: hand out more places
than the limit, or leave a place free while somebody waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Collection, Sequence

from feedback.errors import Overloaded, RatchetError, UpstreamDown
from service.upstream import faults
from service.upstream.host import Host

log = logging.getLogger(__name__)


class NoneHas(Exception):
    """No host has the model, as far as known."""


class Place:
    """One request's place at a host; what became of the request is told here."""

    __slots__ = ("_places", "_taken", "_tries", "host")

    def __init__(self, host: Host, places: Places, *, tries: bool) -> None:
        """`tries`: this request tries a host whose circuit is open."""
        self.host = host
        self._places = places
        self._tries = tries
        self._taken = True

    def began(self) -> None:
        """The first chunk of a reply came."""
        self.host.circuit.began()

    def well(self) -> None:
        """The reply came to its end."""
        self.host.circuit.well()

    def failed(self, error: RatchetError) -> None:
        """The request failed at this host."""
        if faults.blamed(error, alone=self._places.alone):
            self.at_fault()

    def at_fault(self) -> None:
        """The request failed, and the host is to blame."""
        if self.host.circuit.failed():
            log.warning("upstream-circuit-open", extra={"fields": {"host": self.host.name}})

    def give(self) -> None:
        """Give it back; harmless when it was given."""
        if self._taken:
            self._taken = False
            if self._tries:
                self.host.circuit.not_tried()
            self._places.freed(self.host)


class Waiter:
    """A request that waits for a place."""

    __slots__ = ("granted", "tag", "tried")

    def __init__(self, tag: str, tried: Collection[Host]) -> None:
        self.tag = tag
        self.tried = tried
        self.granted: asyncio.Future[Place] = asyncio.get_running_loop().create_future()


class Places:
    """The places at all hosts. Used from one event loop only."""

    def __init__(self, hosts: Sequence[Host], limit: int, queue_limit: int, queue_wait_s: float) -> None:
        self._hosts = hosts
        self.alone = len(hosts) == 1
        """Whether there is only one host."""
        self._limit = limit
        self._queue_limit = queue_limit
        self._queue_wait_s = queue_wait_s
        self._queue: deque[Waiter] = deque()
        self._count = 0

    @property
    def waiting(self) -> int:
        """Requests in the queue."""
        return len(self._queue)

    async def take(self, tag: str, tried: Collection[Host] = ()) -> Place:
        """A place at the best host that was not tried; waits for one if all are full.

        `tag` is a full name; empty: any host will do. Raises NoneHas; UpstreamDown where no host may be asked;
        Overloaded where the queue is full, or a place did not come free in time.
        """
        host = self._best(tag, tried)
        if host is None:
            return await self._wait(tag, tried)
        return self._booked(host)

    def freed(self, host: Host) -> None:
        """A place was given back: the first who can use one takes it."""
        host.outstanding -= 1
        if self._queue:
            self.stir()

    def stir(self) -> None:
        """Hand free places to those who wait: after one came free, or a host came back or got a model."""
        for waiter in list(self._queue):
            if waiter.granted.done():
                continue  # its client left, and it is about to leave the queue itself
            try:
                host = self._best(waiter.tag, waiter.tried)
            except (NoneHas, UpstreamDown) as error:
                self._queue.remove(waiter)
                waiter.granted.set_exception(error)
                continue
            if host is not None:
                self._queue.remove(waiter)
                waiter.granted.set_result(self._booked(host))
            elif all(one.outstanding >= self._limit for one in self._hosts):
                return

    def candidates(self, tag: str, tried: Collection[Host] = ()) -> list[Host]:
        """The hosts that may be asked, the idlest first; full ones among them. Raises as `take` does."""
        having = [host for host in self._hosts if host not in tried and (self.alone or not tag or host.has(tag))]
        if not having:
            raise NoneHas
        allowed = [host for host in having if host.circuit.allows()]
        if not allowed:
            raise UpstreamDown(
                "Every model server that could answer has failed too often.", "It is tried again soon; see its log."
            )
        # One that looks down is still asked where no other is: it may have come back a moment ago.
        up = [host for host in allowed if host.up] or allowed
        return sorted(up, key=lambda host: (host.outstanding, host.last_taken))

    def _best(self, tag: str, tried: Collection[Host]) -> Host | None:
        """The host to ask now; none where all that could serve are full."""
        if self.alone and not tried:
            host = self._hosts[0]  # the common case, and the hot path
            if host.circuit.closed:
                return host if host.outstanding < self._limit else None
        best = self.candidates(tag, tried)[0]
        return best if best.outstanding < self._limit else None

    def _booked(self, host: Host) -> Place:
        self._count += 1
        host.outstanding += 1
        host.last_taken = self._count
        return Place(host, self, tries=host.circuit.taken())

    async def _wait(self, tag: str, tried: Collection[Host]) -> Place:
        if len(self._queue) >= self._queue_limit:
            raise Overloaded("The model servers are busy, and enough requests wait already.", "Ask again in a moment.")
        waiter = Waiter(tag, tried)
        self._queue.append(waiter)
        granted = waiter.granted
        try:
            async with asyncio.timeout(self._queue_wait_s):
                return await granted
        except BaseException as error:  # whatever ended the wait, a place that was granted meanwhile is the next one's
            if waiter in self._queue:
                self._queue.remove(waiter)
            elif granted.done() and not granted.cancelled() and granted.exception() is None:
                granted.result().give()
            if isinstance(error, TimeoutError):
                raise Overloaded(
                    f"No model server was free for {self._queue_wait_s:g} s.", "Ask again in a moment."
                ) from error
            raise
