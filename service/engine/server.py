"""Running the engine: one aiohttp server on loopback, and the models behind it.

`run_engine` blocks until SIGTERM or SIGINT, takes no new requests then, lets replies under way end and leaves with 0;
`serving` is the same inside a running event loop. Must never listen beyond loopback: Ollama's API knows no keys, and it
takes uploads and deletes models. For the same reason requests that a web page of another site makes are refused.
"""

from __future__ import annotations

import asyncio
import fcntl
import importlib.util
import ipaddress
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web

from feedback.errors import Conflict, EngineMissing, Forbidden
from service.engine.answers import Handler, ok, translate_errors
from service.engine.library import Library
from service.engine.routes import LIBRARY, RUNNERS, routes
from service.engine.runners import Runners
from service.settings import EngineSettings

log = logging.getLogger(__name__)

BODY_BYTES = 32 << 20
"""Largest JSON body; blobs are streamed and may be of any size."""


def run_engine(settings: EngineSettings, data_dir: Path, ready: Callable[[str], None] | None = None) -> None:
    """Serve until SIGTERM or SIGINT. `ready` is called with the URL once requests are taken.

    Raises EngineMissing where llama.cpp is not installed, Forbidden for a host beyond loopback, Conflict where the port
    is taken.
    """
    asyncio.run(_run(settings, data_dir, ready))


@asynccontextmanager
async def serving(settings: EngineSettings, data_dir: Path) -> AsyncIterator[str]:
    """Serve while the context lasts; gives the URL. Raises as `run_engine`."""
    check_installed()
    check_loopback(settings.host)
    with _socket(settings) as taken, _owning(models_dir(settings, data_dir)) as folder:
        library = await asyncio.to_thread(Library, folder)
        async with _served(settings, library, taken) as url:
            yield url


@asynccontextmanager
async def _served(settings: EngineSettings, library: Library, taken: socket.socket) -> AsyncIterator[str]:
    async with Runners(settings) as runners:
        app = web.Application(middlewares=[translate_errors, refuse_strangers], client_max_size=BODY_BYTES)
        app[LIBRARY], app[RUNNERS] = library, runners
        app.add_routes(routes)
        # handler_cancellation: a client that leaves must not keep llama.cpp busy.
        runner = web.AppRunner(
            app, handler_cancellation=True, access_log=None, shutdown_timeout=settings.shutdown_timeout_s
        )
        await runner.setup()
        try:
            site = web.SockSite(runner, taken)
            await site.start()
            yield site.name.rstrip("/")
        finally:
            await runner.cleanup()


def models_dir(settings: EngineSettings, data_dir: Path) -> Path:
    """Where models are kept: the setting, else `engine/` in the data folder."""
    return settings.models_dir if settings.models_dir != Path("") else data_dir / "engine"


def check_installed() -> None:
    """Raises EngineMissing."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise EngineMissing(
            "The embedded engine is not installed: the package xllamacpp is missing.",
            "Run `pip install 'ratchet-feedback[engine]'`, or start an Ollama.",
        )


def check_loopback(host: str) -> None:
    """Raises Forbidden."""
    if not is_loopback(host):
        raise Forbidden(
            f"The embedded engine may not listen on {host}: it has no keys.", "Set engine.host to 127.0.0.1 or ::1."
        )


def is_loopback(host: str) -> bool:
    """Whether a host can only be reached from this machine."""
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


@web.middleware
async def refuse_strangers(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse what a web page of another site sends through a browser on this machine: by its Origin, or by a host name
    that was made to point here."""
    origin = request.headers.get("Origin")
    hosts = [urlsplit(f"//{request.host}").hostname or "", *([urlsplit(origin).hostname or ""] if origin else [])]
    if not all(is_loopback(host) for host in hosts):
        return ok({"error": "the embedded engine answers this machine's own programs only"}, status=403)
    return await handler(request)


async def _run(settings: EngineSettings, data_dir: Path, ready: Callable[[str], None] | None) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with serving(settings, data_dir) as url:
        log.info("engine ready at %s", url)
        if ready is not None:
            ready(url)
        await stopped.wait()
        log.info("engine stops: replies under way may end")


@contextmanager
def _owning(folder: Path) -> Iterator[Path]:
    """Hold the models' folder: a second engine in it would prune what the first is just receiving."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Conflict(
                f"Another engine already keeps its models in {folder}.", "Stop it, or set engine.models_dir."
            ) from error
        yield folder


def _socket(settings: EngineSettings) -> socket.socket:
    host = settings.host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found = socket.socket(family, socket.SOCK_STREAM)
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        found.bind((host, settings.port))
    except OSError as error:
        found.close()
        raise Conflict(
            f"The embedded engine can't listen on {host}:{settings.port}: {error.strerror}.",
            "Stop what listens there, or set engine.port; 0 takes a free one.",
        ) from error
    return found
