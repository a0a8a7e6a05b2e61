"""The gateway as a process: what it imports, how it ends, what a kill loses (nothing that was acknowledged)."""

import asyncio
import json
import random
import subprocess
import sys
import threading
import time

import aiohttp
import httpx
import pytest

from feedback.errors import Conflict, Forbidden, StoreLocked
from feedback.settings import PoolSettings, StoreSettings
from feedback.store.database import Store
from service.front.server import make_server
from service.keys.hosts import keys_required
from service.settings import GatewaySettings
from tests.fakes.gateway import RunningGateway, set_alias
from tests.fakes.gateway_process import ROOT, GatewayProcess
from tests.fakes.ollama import FakeOllama

ASK = {"model": "assistant", "messages": [{"role": "user", "content": "How tall is the tower?"}]}
HEAVY = {"ray", "torch", "transformers", "peft"}
ROUNDS = 20


@pytest.mark.parametrize(
    "module", ["service.front.server", "service.app", "learner.alias", "learner.records", "learner.settings"]
)
def test_light_modules_import_no_training_stack(module):
    """In a fresh interpreter: a static graph can't see an `__init__` that imports."""
    code = f"import sys, {module}; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert module in loaded and not HEAVY & set(loaded)


def test_every_feedback_module_imports_no_training_stack():
    code = (
        "import importlib, pkgutil, sys, feedback\n"
        "names = [m.name for m in pkgutil.walk_packages(feedback.__path__, 'feedback.')]\n"
        "[importlib.import_module(name) for name in names]\n"
        "print(*sys.modules)"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "feedback.store.database" in loaded and not HEAVY & set(loaded)
    assert not {name for name in loaded if name.split(".")[0] in ("service", "learner")}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", ""])
def test_it_refuses_to_listen_beyond_loopback_without_keys(tmp_path, host):
    with pytest.raises(Forbidden, match="without keys"):
        make_server(GatewaySettings(host=host, keys="off"), StoreSettings(data_dir=tmp_path), PoolSettings())


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "127.0.0.2", "localhost"])
def test_loopback_it_may(host):
    assert not keys_required(GatewaySettings(host=host))


def test_a_locked_store_and_a_taken_port_are_said_as_such(tmp_path, fake):
    with RunningGateway(tmp_path / "a", fake.url) as first:
        with pytest.raises(StoreLocked), RunningGateway(tmp_path / "a", fake.url):
            pass
        port = int(first.url.rsplit(":", 1)[1])
        with pytest.raises(Conflict, match=str(port)), RunningGateway(tmp_path / "b", fake.url, port=port):
            pass


def test_a_second_gateway_on_the_store_is_told_whose_it_is_and_the_first_goes_on(tmp_path, fake):
    set_alias(tmp_path)
    with GatewayProcess(tmp_path, fake.url, log_level="error") as first:
        command = [sys.executable, "-m", "tests.fakes.gateway_process", str(tmp_path), fake.url]
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
        assert second.returncode != 0 and second.stdout == ""
        assert f"is open in process {first.process.pid}." in second.stderr
        answer = httpx.post(f"{first.url}/api/chat", json={**ASK, "stream": False}, timeout=20)
        assert answer.status_code == 200 and answer.json()["turn_id"]
        assert first.terminate()[0] == 0


def test_sigterm_lets_a_reply_end_and_leaves_with_0(tmp_path, fake):
    set_alias(tmp_path)
    fake.chunk_delay_s = 0.1
    lines = []
    try:
        with GatewayProcess(tmp_path, fake.url) as gateway:

            def listen():
                with httpx.stream("POST", f"{gateway.url}/api/chat", json=ASK, timeout=20) as answer:
                    lines.extend(json.loads(line) for line in answer.iter_lines())

            thread = threading.Thread(target=listen)
            thread.start()
            fake.wait(lambda: bool(lines))
            code, log = gateway.terminate()
            thread.join(10)
    finally:
        fake.chunk_delay_s = 0
    assert code == 0
    assert "".join(line["message"]["content"] for line in lines) == "You said: How tall is the tower?"
    store = Store.open(StoreSettings(data_dir=tmp_path))
    try:
        assert store.turn(lines[-1]["turn_id"]).status == "whole"
    finally:
        store.close()
    events = [json.loads(line) for line in log]
    chat = next(event for event in events if event["event"] == "request")
    assert chat["route"] == "/api/chat" and chat["status"] == 200 and chat["turn"] == lines[-1]["turn_id"]
    assert chat["ms"] > 100 and chat["call"].startswith("call-")
    assert "tower" not in "".join(log)


def test_sigterm_cuts_and_keeps_a_reply_that_does_not_end(tmp_path, fake):
    set_alias(tmp_path)
    fake.will_stall("Paris is", " the")
    with GatewayProcess(tmp_path, fake.url, shutdown_timeout_s=1) as gateway:
        lines = []

        def listen():
            try:
                with httpx.stream("POST", f"{gateway.url}/api/chat", json=ASK, timeout=20) as answer:
                    lines.extend(answer.iter_lines())
            except httpx.RemoteProtocolError:
                lines.append("cut")

        thread = threading.Thread(target=listen)
        thread.start()
        fake.wait(lambda: bool(lines))
        code, _ = gateway.terminate()
        thread.join(10)
    assert code == 0 and lines[-1] == "cut"
    store = Store.open(StoreSettings(data_dir=tmp_path))
    try:
        assert [(turn.status, turn.reply) for turn in store.turns()] == [("cut", "Paris is the")]
    finally:
        store.close()


class Load:
    """People who chat and rate as fast as they are answered, and remember what was acknowledged."""

    def __init__(self) -> None:
        self.turns: set[str] = set()
        self.ratings: set[str] = set()

    async def run(self, url: str, people: int = 8) -> None:
        async with aiohttp.ClientSession(url) as session:
            await asyncio.gather(*(self._person(session) for _ in range(people)))

    async def _person(self, session: aiohttp.ClientSession) -> None:
        while True:
            try:
                async with session.post("/api/chat", json=ASK) as answer:
                    last = json.loads((await answer.text()).splitlines()[-1])
                if last.get("done") is not True:
                    return
                self.turns.add(last["turn_id"])
                async with session.post(f"/turns/{last['turn_id']}/ratings", json={"verdict": "up"}) as answer:
                    if answer.status == 201:
                        self.ratings.add((await answer.json())["rating_id"])
            except (aiohttp.ClientError, json.JSONDecodeError):
                return  # killed


def test_kill_9_under_load_loses_nothing_acknowledged(tmp_path, record_property):
    set_alias(tmp_path)
    load, starts = Load(), []
    with FakeOllama() as fake:
        for number in range(ROUNDS):
            began = time.monotonic()
            with GatewayProcess(tmp_path, fake.url, log_level="error") as gateway:
                starts.append(time.monotonic() - began)
                killer = threading.Timer(random.Random(number).uniform(0.15, 0.6), gateway.kill)
                killer.start()
                asyncio.run(load.run(gateway.url))
                killer.join()
            turns, ratings = kept(tmp_path)
            assert load.turns <= turns and load.ratings <= ratings, f"round {number}"
    assert len(load.turns) > ROUNDS and len(load.ratings) > ROUNDS
    record_property("acknowledged_turns", len(load.turns))
    record_property("acknowledged_ratings", len(load.ratings))
    record_property("median_start_s", round(sorted(starts)[ROUNDS // 2], 2))
    print(
        f"{len(load.turns)} turns, {len(load.ratings)} ratings acknowledged; start {sorted(starts)[ROUNDS // 2]:.2f} s"
    )


def kept(data_dir):
    store = Store.open(StoreSettings(data_dir=data_dir))
    try:
        with store.reader() as cursor:
            turns = {row[0] for row in cursor.execute("SELECT turn_id FROM turns").fetchall()}
            return turns, {row[0] for row in cursor.execute("SELECT rating_id FROM ratings").fetchall()}
    finally:
        store.close()
