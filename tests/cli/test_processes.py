"""Child processes: ready by their own word, their failure told, and none left behind by a killed parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from feedback.operator_key import operator_headers
from service.cli.processes import Child, ChildFailed
from tests.fakes.ollama import FakeOllama


@pytest.fixture
def upstream() -> Iterator[FakeOllama]:
    with FakeOllama(models=["assistant:1.0.0"]) as fake:
        yield fake


def settings(tmp_path: Path, upstream: str, extra: str = "") -> Path:
    file = tmp_path / "ratchet.toml"
    data = tmp_path / "data"
    text = f'[store]\ndata_dir = "{data}"\n[gateway]\nport = 0\nupstream_url = "{upstream}"\n{extra}'
    file.write_text(text, "utf-8")
    return file


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"


def wait_until_gone(pid: int, timeout_s: float = 15.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if gone(pid):
            return True
        time.sleep(0.05)
    return False


def test_a_gateway_is_ready_serves_and_stops(tmp_path: Path, upstream: FakeOllama) -> None:
    child = Child("gateway", ["gateway"], settings(tmp_path, upstream.url), tmp_path / "gateway.log")
    child.start()
    url = child.wait_ready(30)
    assert httpx.get(f"{url}/health").status_code == 200
    child.stop(20)
    assert child.exit_status() == 0


def test_beyond_loopback_it_makes_the_operators_key_and_the_log_says_where_but_not_what(
    tmp_path: Path, upstream: FakeOllama
) -> None:
    child = Child(
        "gateway", ["gateway"], settings(tmp_path, upstream.url, 'host = "0.0.0.0"\n'), tmp_path / "gateway.log"
    )
    child.start()
    try:
        url = child.wait_ready(30).replace("0.0.0.0", "127.0.0.1")
        (file,) = tmp_path.rglob("operator-key")
        headers = operator_headers(file.parent, {})
        statuses = [httpx.get(f"{url}/v1/models", headers=shown).status_code for shown in ({}, headers)]
    finally:
        child.stop(20)
    assert statuses == [401, 200]
    log = (tmp_path / "gateway.log").read_text()
    assert "operator-key-made" in log and str(file) in log and file.read_text().strip().split("_")[2] not in log


def test_a_child_that_can_not_start_says_why(tmp_path: Path, upstream: FakeOllama) -> None:
    file = settings(tmp_path, upstream.url, 'host = "0.0.0.0"\nkeys = "off"\n')
    child = Child("gateway", ["gateway"], file, tmp_path / "gateway.log")
    child.start()
    with pytest.raises(ChildFailed, match="forbidden"):
        child.wait_ready(30)


def test_a_killed_parent_leaves_no_child(tmp_path: Path, upstream: FakeOllama) -> None:
    file = settings(tmp_path, upstream.url)
    code = (
        "import sys, time; from pathlib import Path; from service.cli.processes import Child\n"
        f"child = Child('gateway', ['gateway'], Path({str(file)!r}), Path({str(tmp_path / 'log')!r}))\n"
        "child.start(); child.wait_ready(30); print(child.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        pid = int(parent.stdout.readline())
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert wait_until_gone(pid)
