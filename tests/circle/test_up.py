"""`ratchet up` where no Ollama answers: the engine serves, what dies comes back, nothing is left behind."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Service:
    """A running `ratchet up`."""

    def __init__(self, folder: Path) -> None:
        gateway, engine = free_port(), free_port()
        self.url = f"http://127.0.0.1:{gateway}"
        file = folder / "ratchet.toml"
        upstream = f'upstream_url = "http://127.0.0.1:{engine}"'
        file.write_text(
            f'[store]\ndata_dir = "{folder / "data"}"\n[gateway]\nport = {gateway}\n{upstream}\n'
            f'[learner]\ngateway_url = "{self.url}"\n{upstream}\n',
            "utf-8",
        )
        command = [sys.executable, "-m", "service.cli.main", "--settings", str(file), "up"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        self.said: list[str] = []
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if line.startswith("Ratchet is up"):
                break

    def child(self, verb: str) -> psutil.Process:
        """The process of one part."""
        children = psutil.Process(self.process.pid).children()
        return next(child for child in children if child.cmdline()[-1:] == [verb])

    def chat(self) -> httpx.Response:
        body = {
            "model": "assistant",
            "messages": [{"role": "user", "content": "你好！ Say hello."}],
            "stream": False,
            "options": {"temperature": 0, "num_predict": 8},
        }
        return httpx.post(f"{self.url}/api/chat", json=body, timeout=60)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    running = Service(tmp_path)
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        assert running.process.stdout is not None
        running.process.stdout.close()


def test_up_serves_a_real_model_restarts_what_dies_and_leaves_nothing_behind(service: Service) -> None:
    assert any("starting the embedded engine" in line for line in service.said)
    answer = service.chat()
    assert answer.status_code == 200
    assert answer.json()["message"]["content"].strip()
    assert answer.headers["X-Model-Version"] == "1.0.0"

    first = service.child("gateway")
    os.kill(first.pid, signal.SIGKILL)
    deadline = time.monotonic() + 40
    again: httpx.Response | None = None
    while time.monotonic() < deadline and again is None:
        try:
            again = service.chat()
        except httpx.TransportError:
            time.sleep(0.2)
    assert again is not None and again.status_code == 200
    assert service.child("gateway").pid != first.pid
    turn = answer.headers["X-Turn-Id"]
    assert httpx.get(f"{service.url}/turns/{turn}").json()["turn"]["turn_id"] == turn

    family = psutil.Process(service.process.pid).children(recursive=True)
    service.process.send_signal(signal.SIGTERM)
    assert service.process.wait(60) == 0
    _, left = psutil.wait_procs(family, timeout=10)
    assert left == []
