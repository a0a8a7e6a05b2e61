"""Where a demo plays: its throw-away folder, free ports, settings file, processes and clock."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
from rich.console import Console

from service.cli.demo.report import Kind
from service.cli.processes import Fleet
from service.cli.settings import Settings, load


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The flags of `ratchet demo`."""

    kind: Kind = "honest"
    keep: bool = False
    facts: int = 0
    report: Path | None = None
    data: Path | None = None


class Stage:
    """One demo under way: its settings, its processes, its clock."""

    def __init__(self, options: DemoOptions, folder: Path, console: Console) -> None:
        self.options = options
        self.console = console
        self.file = folder / "ratchet.toml"
        self.file.write_text(_settings_text(folder, options), "utf-8")
        self.settings: Settings = load(self.file, {})
        self.fleet = Fleet()
        self.started = time.monotonic()
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note how long a part takes."""
        begun = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - begun, 1)


def _settings_text(folder: Path, options: DemoOptions) -> str:
    """The demo's settings: free ports, short answers allowed, all else as shipped."""
    gateway, engine = _free_port(), _free_port()
    upstream = f"http://127.0.0.1:{engine}"
    return f"""# Written by `ratchet demo`.
[store]
data_dir = {str(folder / "data")!r}

[pool]
min_tokens = 8        # people ask short questions here

[quality]
check_minutes = 0     # played people rate as fast as machines, which would be quarantined; the gate is to refuse alone

[gateway]
port = {gateway}
upstream_url = "{upstream}"

[engine]
port = {engine}

[learner]
gateway_url = "http://127.0.0.1:{gateway}"
upstream_url = "{upstream}"

[recipe]
epochs = 4            # small and quick
max_steps = {0 if options.kind == "untrained" else -1}
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
