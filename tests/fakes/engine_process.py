"""The embedded engine as users run it: a process of its own, on a free port, stopped by a signal."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

ROOT = Path(__file__).resolve().parents[2]
PIECE_BYTES = 1 << 20
PROGRAM = """
import json, sys
from pathlib import Path
from service.engine.server import run_engine
from service.settings import EngineSettings
given = json.loads(sys.argv[1])
run_engine(EngineSettings(**given), Path(sys.argv[2]), lambda url: print(url, flush=True))
"""


class EngineProcess:
    """A running engine and a client of it."""

    def __init__(self, process: subprocess.Popen[str], url: str, client: httpx.Client) -> None:
        self.process = process
        self.url = url
        self.client = client

    def post(self, path: str, **body: Any) -> httpx.Response:
        return self.client.post(path, json=body)

    def upload(self, content: bytes) -> str:
        """Upload a blob unless it is there; its digest."""
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        # In pieces: httpx copies what is left of one large body again after each of its thousands of sends.
        pieces = (content[at : at + PIECE_BYTES] for at in range(0, len(content), PIECE_BYTES))
        headers = {"Content-Length": str(len(content))}
        self.client.post(f"/api/blobs/{digest}", content=pieces, headers=headers).raise_for_status()
        return digest

    def create(self, name: str, gguf: Path, **more: Any) -> None:
        digest = self.upload(gguf.read_bytes())
        made = self.post("/api/create", model=name, files={"model.gguf": digest}, stream=False, **more)
        assert made.json() == {"status": "success"}

    def loaded(self) -> list[str]:
        return [model["name"] for model in self.client.get("/api/ps").json()["models"]]

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Signal it and wait; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(timeout=30)


@contextlib.contextmanager
def engine_process(data_dir: Path, **settings: Any) -> Iterator[EngineProcess]:
    """Start an engine; it is stopped when the context ends."""
    given = json.dumps({"port": 0, "threads": 1} | settings)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (
        subprocess.Popen(
            [sys.executable, "-P", "-c", PROGRAM, given, str(data_dir)],
            env=environment, stdout=subprocess.PIPE, text=True,
        ) as process,
    ):  # fmt: skip
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert url, f"the engine did not start: exit status {process.wait()}"
            with httpx.Client(base_url=url, timeout=60.0) as client:
                engine = EngineProcess(process, url, client)
                yield engine
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=60)
