"""A gateway on a disk that fills up: what it refuses, what it serves, what it keeps, and that it recovers by itself."""

import contextlib
import subprocess
import threading
import time
from concurrent.futures import Future

import httpx
import pytest

from feedback.errors import StoreBusy
from feedback.settings import StoreSettings
from feedback.store.database import Store
from feedback.store.session import Session
from service.commits import committed
from tests.fakes.gateway import RunningGateway, set_alias
from tests.fakes.gateway_process import GatewayProcess

ASK = {"model": "assistant", "messages": [{"role": "user", "content": "How tall is the tower?"}], "stream": False}
LONG = {**ASK, "messages": [{"role": "user", "content": "How tall is the tower? " * 20_000}]}
DISK_MIB = 12


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a file system of its own, full after DISK_MIB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "ratchet-test", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if mounted.returncode:
        pytest.skip(f"only root may mount a small disk: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder):
    """Leave no byte free. Gives the file that takes the room."""
    ballast = folder / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    return ballast


def until(condition, seconds=15.0):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "it did not come to be"
        time.sleep(0.1)


def turns_in(folder):
    store = Store.open(StoreSettings(data_dir=folder))
    try:
        return {turn.turn_id: turn for turn in store.turns(limit=500)}
    finally:
        store.close()


def test_a_full_disk_refuses_chats_and_ratings_until_there_is_room_again(small_disk, fake):
    set_alias(small_disk)
    with GatewayProcess(small_disk, fake.url) as gateway, httpx.Client(base_url=gateway.url, timeout=20) as client:
        first = client.post("/api/chat", json=ASK).json()["turn_id"]
        ballast = fill(small_disk)
        refused = client.post("/api/chat", json=LONG)
        assert refused.status_code == 503 and refused.json()["code"] == "store-unavailable"
        asked = len(fake.chats)
        for path, body in (("/api/chat", ASK), ("/v1/chat/completions", ASK)):
            answer = client.post(path, json=body)
            assert answer.status_code == 503, answer.text
        assert len(fake.chats) == asked, "a store that is known to fail must refuse before the upstream is asked"
        assert client.post(f"/turns/{first}/ratings", json={"verdict": "up"}).status_code in (201, 503)
        ready = client.get("/ready")
        assert ready.status_code == 503 and ready.json()["parts"]["store"]["code"] == "store-unavailable"
        ballast.unlink()
        until(lambda: client.get("/ready").json()["parts"]["store"]["ready"])
        second = client.post("/api/chat", json=ASK).json()["turn_id"]
        assert client.post(f"/turns/{second}/ratings", json={"verdict": "up"}).status_code == 201
        code, _ = gateway.terminate()
    assert code == 0
    assert {first, second} <= turns_in(small_disk).keys()


def test_an_operator_may_let_chats_go_on_unrecorded(small_disk, fake):
    set_alias(small_disk)
    with (
        GatewayProcess(small_disk, fake.url, on_store_failure="serve") as gateway,
        httpx.Client(base_url=gateway.url, timeout=20) as client,
    ):
        first = client.post("/api/chat", json=ASK)
        assert "x-recorded" not in first.headers
        ballast = fill(small_disk)
        for body in (LONG, ASK, {**ASK, "stream": True}):
            answer = client.post("/api/chat", json=body)
            assert answer.status_code == 200 and '"done":true' in answer.text
            assert answer.headers["x-recorded"] == "false"
            assert "turn_id" not in answer.text and "x-turn-id" not in answer.headers
        ready = client.get("/ready").json()["parts"]["store"]
        assert ready["ready"] and "not recorded" in ready["message"]
        assert "ratchet_turns_lost_total 3.0" in client.get("/metrics").text
        ballast.unlink()
        until(lambda: "x-recorded" not in client.post("/api/chat", json=ASK).headers)
        code, _ = gateway.terminate()
    assert code == 0
    assert first.json()["turn_id"] in turns_in(small_disk)


def test_no_verdict_is_taken_that_is_not_durable(small_disk, fake):
    set_alias(small_disk)
    with (
        GatewayProcess(small_disk, fake.url, on_store_failure="serve") as gateway,
        httpx.Client(base_url=gateway.url, timeout=20) as client,
    ):
        turn = client.post("/api/chat", json=ASK).json()["turn_id"]
        fill(small_disk)
        long = {"verdict": "down", "comment": "No, it is taller. " * 200}
        answers = [client.post(f"/turns/{turn}/ratings", json=long) for _ in range(5)]
        refused = [answer for answer in answers if answer.status_code == 503]
        assert refused and all(answer.json()["error"]["code"] == "store-unavailable" for answer in refused)
        taken = {answer.json()["rating_id"] for answer in answers if answer.status_code == 201}
        gateway.kill()
    (small_disk / "ballast").unlink()
    store = Store.open(StoreSettings(data_dir=small_disk))
    try:
        assert {rating.rating_id for rating in store.ratings(turn)} == taken
    finally:
        store.close()


async def test_a_commit_is_not_waited_for_without_end(monkeypatch):
    monkeypatch.setattr("service.commits.LONGEST_S", 0.05)
    never: Future[None] = Future()
    with pytest.raises(StoreBusy, match=r"0\.05 s"):
        await committed(never)
    never.set_result(None)  # it may still come to be, and that disturbs nobody
    await committed(never)


def test_a_disk_that_takes_too_long_is_a_503(tmp_path, fake, monkeypatch):
    monkeypatch.setattr("service.commits.LONGEST_S", 0.1)
    leave = threading.Event()
    with RunningGateway(tmp_path, fake.url) as gateway:
        monkeypatch.setattr(Session, "commit", lambda self, batch: leave.wait(10))
        try:
            ask = {"model": "assistant", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
            answer = httpx.post(f"{gateway.url}/api/chat", json=ask, timeout=20)
        finally:
            leave.set()
        assert (answer.status_code, answer.json()["code"]) == (503, "store-busy")
