"""Running the gateway: uvicorn on loopback, told when it is ready, and ended without losing anything.

At SIGTERM or SIGINT it takes no new requests, lets replies under way end within `shutdown_timeout_s`, cuts and keeps
those that don't, flushes the writer and leaves with 0. Must never listen beyond loopback without keys.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
from litestar import Litestar
from uvicorn.config import Config

from feedback.errors import Conflict, RatchetError
from feedback.settings import LabellingSettings, PoolSettings, QualitySettings, StoreSettings
from service.app import create_app
from service.front.hangups import Protocol
from service.front.short_way import ShortWay
from service.keys.hosts import keys_required
from service.observing import logs
from service.observing.calls import Calls
from service.settings import GatewaySettings

log = logging.getLogger(__name__)

SEND_BUFFER_BYTES = 64 * 1024
"""What the kernel may hold for a client that doesn't read, instead of megabytes: a thousand of them stop their models
soon, and cost what their text so far costs."""
GARBAGE_THRESHOLDS = (10_000, 20, 20)
"""As `gc.set_threshold` takes them."""


class GatewayServer(uvicorn.Server):
    """A uvicorn that says where it answers, once it does. `should_exit = True` ends it, from any thread."""

    def __init__(self, config: Config, app: Litestar, ready: Callable[[str], None] | None) -> None:
        super().__init__(config)
        self.litestar = app
        self._ready = ready
        self.url = ""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            for listening in self.servers[0].sockets:
                _limit_kernel_buffer(listening.fileno())
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
            log.info("ready", extra={"fields": {"url": self.url}})
            if self._ready is not None:
                self._ready(self.url)


def run_gateway(
    gateway: GatewaySettings,
    store: StoreSettings,
    pool: PoolSettings,
    ready: Callable[[str], None] | None = None,
    labelling: LabellingSettings | None = None,
    quality: QualitySettings | None = None,
) -> None:
    """Serve until told to stop. `ready` is called with the URL once requests are taken.

    Raises Forbidden for a host beyond loopback without keys, Conflict where the port is taken, and what startup raises:
    StoreLocked, StoreUnavailable, InvalidWords.
    """
    logs.set_up(gateway.log_level)

    def settled(url: str) -> None:
        _look_for_garbage_seldom()
        if ready is not None:
            ready(url)

    server = make_server(gateway, store, pool, settled, labelling, quality)
    thresholds = gc.get_threshold()
    try:
        with _stopped_quietly():
            serve(server, gateway)
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()  # or libraries that count their objects at the end miss some


def make_server(
    gateway: GatewaySettings,
    store: StoreSettings,
    pool: PoolSettings,
    ready: Callable[[str], None] | None = None,
    labelling: LabellingSettings | None = None,
    quality: QualitySettings | None = None,
) -> GatewayServer:
    """The server, not yet running. Raises Forbidden, InvalidWords."""
    keys_required(gateway)  # or it may not listen there at all
    app = create_app(gateway, store, pool, labelling, quality)
    config = uvicorn.Config(
        Calls(ShortWay(app), *app.state.watchers),
        host=gateway.host,
        port=gateway.port,
        loop="uvloop",
        http=Protocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nobody in front may say whom it speaks for: keys do
        timeout_graceful_shutdown=max(1, round(gateway.shutdown_timeout_s)),
    )
    return GatewayServer(config, app, ready)


def serve(server: GatewayServer, gateway: GatewaySettings) -> None:
    """Run it to its end. Raises what its startup raised."""
    with contextlib.suppress(SystemExit):  # uvicorn's way of saying that the port is taken
        server.run()
    if server.started:
        return
    failure = getattr(server.litestar.state, "startup_error", None)
    if isinstance(failure, RatchetError):
        raise failure
    raise Conflict(
        f"The gateway can't listen on {gateway.host}:{gateway.port}.",
        "Is the port taken? Name another, or 0 for a free one.",
    )


def _limit_kernel_buffer(listening: int) -> None:
    """Every connection that is accepted there inherits it."""
    with socket.socket(fileno=os.dup(listening)) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)


def _look_for_garbage_seldom() -> None:
    """A sixth of a chat's CPU went into looking through what was there since the start, or is gone by itself: whatever
    is there now is no garbage, and of what requests make next to nothing needs the collector."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GARBAGE_THRESHOLDS)


@contextlib.contextmanager
def _stopped_quietly() -> Iterator[None]:
    """uvicorn raises the signal that ended it once more, for whoever set a handler before: that must not be a death."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    former = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
