"""`ratchet up`: the three processes of the service, watched.

The engine is started only where no Ollama answers, and only for an upstream on loopback. Then the model gets its name
(the first version is registered where there is none), then gateway and learner. A process that ends by itself is
started again, ever more patiently; the others go on meanwhile. SIGTERM and Ctrl-C stop all of them in order.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import httpx

from feedback.errors import UpstreamDown
from feedback.operator_key import FILE_NAME
from service.cli.processes import Child, Fleet
from service.cli.settings import Settings
from service.keys.hosts import is_loopback, keys_required

READY_TIMEOUT_S = 60.0
LONGEST_PAUSE_S = 60.0
STEADY_S = 120.0
"""A process that ran this long before it ended starts again at once."""
Say = Callable[[str], None]


def run_up(path: Path | None, settings: Settings) -> int:
    """Start everything, say where it listens, and stay until told to stop."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    fleet = Fleet()
    try:
        url = start_all(path, settings, fleet, print)
        print(
            f"Ratchet is up: {url} — chat there, or point an Ollama or OpenAI client at it. Ctrl-C stops it.",
            flush=True,
        )
        _watch(fleet, stop)
    finally:
        fleet.stop(settings.gateway.shutdown_timeout_s + 10)
    return 0


def start_all(path: Path | None, settings: Settings, fleet: Fleet, say: Say) -> str:
    """Start engine (where needed), bootstrap, gateway, learner; returns the gateway's URL."""
    logs = settings.store.data_dir / "logs"
    # Several hosts are somebody's own: the engine stands in for one on this machine, never for a cluster that is down.
    if not settings.gateway.upstream_urls and not ollama_answers(settings.gateway.upstream_url):
        say(f"No Ollama answers at {settings.gateway.upstream_url}: starting the embedded engine there.")
        _start_engine(path, settings, fleet, logs)
    from service.cli.learning import bootstrap_alias

    bootstrap_alias(settings, say)
    gateway = Child("gateway", ["gateway"], path, logs / "gateway.log")
    learner = Child("learner", ["learner"], path, logs / "learner.log")
    for child in (gateway, learner):
        fleet.children.append(child)
        child.start()
    url = gateway.wait_ready(READY_TIMEOUT_S)
    learner.wait_ready(READY_TIMEOUT_S)
    if keys_required(settings.gateway):
        where = settings.store.data_dir / FILE_NAME
        say(f"Every request needs a key. The operator's is in {where}; `ratchet keys create` makes others.")
    return url


def ollama_answers(url: str) -> bool:
    """Whether something that speaks Ollama's API answers there."""
    try:
        return "version" in httpx.get(f"{url.rstrip('/')}/api/version", timeout=2.0).json()
    except (httpx.HTTPError, ValueError):
        return False


def _start_engine(path: Path | None, settings: Settings, fleet: Fleet, logs: Path) -> None:
    wanted = urlsplit(settings.gateway.upstream_url)
    if not is_loopback(wanted.hostname or ""):
        raise UpstreamDown(
            f"No Ollama answers at {settings.gateway.upstream_url}, and the embedded engine serves loopback only.",
            "Start Ollama there, or set gateway.upstream_url to http://127.0.0.1:11434.",
        )
    engine = Child("engine", ["engine"], path, logs / "engine.log")
    fleet.children.append(engine)
    engine.start({"RATCHET_ENGINE_HOST": wanted.hostname or "127.0.0.1", "RATCHET_ENGINE_PORT": str(wanted.port or 80)})
    engine.wait_ready(READY_TIMEOUT_S)


def _watch(fleet: Fleet, stop: threading.Event) -> None:
    """Start again what ended by itself, with a pause that doubles while it keeps ending early."""
    pause = dict.fromkeys((child.name for child in fleet.children), 1.0)
    started = {child.name: time.monotonic() for child in fleet.children}
    due: dict[str, float] = {}
    while not stop.wait(0.2):
        for child in fleet.children:
            if child.exit_status() is None:
                continue
            now = time.monotonic()
            if child.name not in due:
                pause[child.name] = (
                    1.0 if now - started[child.name] > STEADY_S else min(pause[child.name] * 2, LONGEST_PAUSE_S)
                )
                due[child.name] = now + pause[child.name]
                print(
                    f"The {child.name} ended with status {child.exit_status()}; it starts again in "
                    f"{pause[child.name]:.0f} s. Its log: {child.log}",
                    flush=True,
                )
            elif now >= due[child.name]:
                del due[child.name]
                started[child.name] = now
                child.start()
