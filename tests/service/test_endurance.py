"""What a gateway holds out: readers that don't read, a stop under load, mixed trouble (long: `tests.soak.gateway`)."""

import asyncio
import contextlib
import json
import socket
import threading
import time

import aiohttp
import httpx
import psutil

from tests.fakes.gateway import set_alias
from tests.fakes.gateway_process import GatewayProcess
from tests.fakes.ollama import FakeOllama
from tests.soak.checks import rise, stored
from tests.soak.gateway import run

READERS = 60
CHUNK = "x" * 16_384
CHUNKS = 512
"""8 MiB for each reader: more than the kernel holds at the end of whoever sends, 4 MiB."""
GROWTH_LIMIT_MIB = 60
"""An eighth of what they are to be sent."""


def ask(stream=True):
    return {"model": "assistant", "messages": [{"role": "user", "content": "How tall is the tower?"}], "stream": stream}


def slow_reader(url):
    """A client that asks and reads nothing."""
    host, port = url.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect((host, int(port)))
    body = json.dumps(ask()).encode()
    head = f"POST /api/chat HTTP/1.1\r\nhost: {host}:{port}\r\ncontent-length: {len(body)}\r\n\r\n"
    client.sendall(head.encode() + body)
    return client


def test_readers_that_dont_read_make_the_model_wait_and_not_the_memory_grow(tmp_path):
    set_alias(tmp_path)
    with FakeOllama() as fake, GatewayProcess(tmp_path, fake.url, log_level="error") as gateway:
        for _ in range(READERS):
            fake.will_say(*[CHUNK] * CHUNKS)
        memory = psutil.Process(gateway.process.pid).memory_info
        before = last = memory().rss
        clients = [slow_reader(gateway.url) for _ in range(READERS)]
        fake.wait(lambda: len(fake.chats) == READERS, 30)
        settled = time.monotonic()
        while time.monotonic() - settled < 1.5:
            time.sleep(0.1)
            if memory().rss - last > 2**20:
                settled, last = time.monotonic(), memory().rss
            assert (memory().rss - before) / 2**20 < GROWTH_LIMIT_MIB
        assert {seen.ended for seen in fake.chats} == {""}, "each model waits for its reader"
        assert httpx.get(f"{gateway.url}/health", timeout=5).status_code == 200, "and nobody else does"
        for client in clients:
            client.close()
        fake.wait(lambda: all(seen.ended == "left" for seen in fake.chats), 20)
        code, _ = gateway.terminate()
    assert code == 0
    assert sorted(stored(tmp_path)[0].values()) == ["cut"] * READERS


def test_sigterm_under_load_takes_nothing_new_and_loses_nothing(tmp_path):
    set_alias(tmp_path)
    acknowledged, refused = set(), []

    async def person(url, stopped):
        async with aiohttp.ClientSession(url) as session:
            while True:
                try:
                    async with session.post("/api/chat", json=ask()) as answer:
                        last = json.loads((await answer.text()).splitlines()[-1])
                except aiohttp.ClientError:
                    refused.append(stopped.is_set())
                    return
                assert last["done"], "what was taken is answered whole"
                acknowledged.add(last["turn_id"])

    async def people(url, stopped):
        await asyncio.gather(*(person(url, stopped) for _ in range(16)))

    with FakeOllama(chunk_delay_s=0.03) as fake, GatewayProcess(tmp_path, fake.url, log_level="error") as gateway:
        stopped = threading.Event()
        thread = threading.Thread(target=lambda: asyncio.run(people(gateway.url, stopped)))
        thread.start()
        fake.wait(lambda: len(fake.chats) >= 32, 20)
        stopped.set()
        code, log = gateway.terminate()
        thread.join(10)
        with contextlib.suppress(httpx.ConnectError):
            httpx.post(f"{gateway.url}/api/chat", json=ask())
            raise AssertionError("it listens still")
    assert code == 0 and not [line for line in log if "unforeseen" in line]
    assert refused == [True] * 16
    assert acknowledged and acknowledged <= stored(tmp_path)[0].keys()


def test_a_little_soak_loses_nothing(tmp_path):
    told, memory, wrong = run(tmp_path, minutes=0.1)
    assert wrong == []
    assert told.turns and told.ratings and told.left and told.cut
    assert memory


def test_a_rise_is_seen_and_a_sawtooth_is_none():
    assert rise([5.0, 9.0, 5.0, 9.0, 5.0, 9.0]) == 0.0 and rise([9.0]) == 0.0
    assert rise([5.0, 9.0, 6.0, 9.0, 8.0, 9.0]) == 2.0
