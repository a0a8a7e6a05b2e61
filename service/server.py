"""Running the gateway: uvicorn on loopback, told when it is ready, and ended without losing anything.

At SIGTERM or SIGINT it takes no new requests, lets replies under way end within `shutdown_timeout_s`, cuts and keeps
those that don't, flushes the writer and leaves with 0. Must never listen beyond loopback: there are no keys yet.
"""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import logging
import signal
import socket
import threading
from collections.abc import Callable, Iterator

import uvicorn
from litestar import Litestar
from uvicorn.config import Config

from feedback.errors import Conflict, Forbidden, RatchetError
from feedback.settings import PoolSettings, StoreSettings
from service import logs
from service.app import create_app
from service.settings import GatewaySettings

log = logging.getLogger(__name__)


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
) -> None:
    """Serve until told to stop. `ready` is called with the URL once requests are taken.

    Raises Forbidden for a host beyond loopback, Conflict where the port is taken, and what startup raises: StoreLocked,
    StoreUnavailable, InvalidWords.
    """
    logs.set_up(gateway.log_level)
    server = make_server(gateway, store, pool, ready)
    gc.collect()
    gc.freeze()  # what is there from the start stays: to look through it for garbage would cost replies 60 ms each time
    try:
        with _stopped_quietly():
            serve(server, gateway)
    finally:
        gc.unfreeze()  # or libraries that count their objects at the end miss some


def make_server(
    gateway: GatewaySettings, store: StoreSettings, pool: PoolSettings, ready: Callable[[str], None] | None = None
) -> GatewayServer:
    """The server, not yet running. Raises Forbidden, InvalidWords."""
    refuse_open_host(gateway.host)
    app = create_app(gateway, store, pool)
    config = uvicorn.Config(
        logs.AccessLog(app),
        host=gateway.host,
        port=gateway.port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # nobody in front of a loopback address may say whom it speaks for
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


def refuse_open_host(host: str) -> None:
    """Raise Forbidden unless `host` is loopback."""
    try:
        loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise Forbidden(
            f"The gateway may not listen on {host}: it has no keys yet.", 'Set gateway.host to "127.0.0.1" or "::1".'
        )


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
