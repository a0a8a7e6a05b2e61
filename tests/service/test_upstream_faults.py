"""What a client of the gateway sees when hosts fail, are full or stall: in both dialects, over real sockets."""

import asyncio
import json
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import httpx
import ollama
import openai
import pytest

from tests.fakes import raw_host
from tests.fakes.gateway import RunningGateway
from tests.fakes.ollama import FakeOllama
from tests.fakes.raw_host import RawHost

CHATS = {"ollama": "/api/chat", "openai": "/v1/chat/completions"}
DIALECTS = pytest.mark.parametrize("dialect", ["ollama", "openai"])
QUICK = {"stall_timeout_s": 0.5, "first_token_timeout_s": 1.0, "upstream_check_s": 0.2, "connect_timeout_s": 1.0}


def body_of(**more):
    return {"model": "assistant", "messages": [{"role": "user", "content": "Where is Paris?"}], **more}


def over(folder, *hosts, **settings):
    urls = [host.url for host in hosts]
    return RunningGateway(folder, urls[0], upstream_urls=urls, **{**QUICK, **settings})


def stream(gateway, dialect):
    with httpx.stream("POST", gateway.url + CHATS[dialect], json=body_of(stream=True), timeout=20) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
        return [line if line == "[DONE]" else json.loads(line) for line in lines], answer


def text_of(dialect, lines):
    if dialect == "ollama":
        return "".join(line["message"]["content"] for line in lines if "message" in line)
    chunks = [line for line in lines if isinstance(line, dict) and line.get("choices")]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


@DIALECTS
@pytest.mark.parametrize("does", [raw_host.reset, raw_host.garbage_http, raw_host.html, raw_host.error_page])
def test_a_client_does_not_notice_a_host_that_fails_before_it_said_anything(tmp_path, dialect, does):
    with RawHost(does) as bad, FakeOllama() as good, over(tmp_path, bad, good) as gateway:
        for _ in range(3):
            lines, answer = stream(gateway, dialect)
            assert answer.status_code == 200 and text_of(dialect, lines) == "You said: Where is Paris?"
            assert gateway.store.turn(answer.headers["x-turn-id"]).status == "whole"
        assert bad.asked >= 1 and len(good.chats) == 3 and gateway.store.counts()["turns"] == 3


@DIALECTS
@pytest.mark.parametrize("trouble", ["cut", "stall", "error", "garbage"])
def test_a_reply_that_breaks_is_never_shown_twice_and_its_turn_is_cut(tmp_path, dialect, trouble):
    with FakeOllama() as one, FakeOllama() as other, over(tmp_path, one, other) as gateway:
        for fake in (one, other):
            {
                "cut": fake.will_break_after, "stall": fake.will_stall, "error": fake.will_err_after,
                "garbage": fake.will_garble_after,
            }[trouble]("Paris is", " the")  # fmt: skip
        lines, answer = stream(gateway, dialect)
        assert text_of(dialect, lines) == "Paris is the" and len(one.chats) + len(other.chats) == 1
        last = lines[-1]
        assert (last["code"] if dialect == "ollama" else last["error"]["code"]) == "upstream-broke"
        turn = gateway.store.turn(answer.headers["x-turn-id"])
        assert (turn.status, turn.reply) == ("cut", "Paris is the")


@DIALECTS
def test_a_full_queue_is_a_429_that_says_when_to_ask_again(tmp_path, dialect):
    with FakeOllama(chunk_delay_s=0.2) as fake, over(tmp_path, fake, concurrent_limit=1, queue_limit=1) as gateway:
        with ThreadPoolExecutor(3) as pool:
            asked = [
                pool.submit(httpx.post, gateway.url + CHATS[dialect], json=body_of(stream=False), timeout=20)
                for _ in range(3)
            ]
            answers = sorted((one.result() for one in asked), key=lambda answer: answer.status_code)
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        refused = answers[-1]
        assert int(refused.headers["retry-after"]) >= 1
        error = refused.json()
        assert (error["code"] if dialect == "ollama" else error["error"]["code"]) == "overloaded"
        assert gateway.store.counts()["turns"] == 2 and len(fake.chats) == 2


def test_the_official_clients_know_what_a_full_queue_is(tmp_path):
    with FakeOllama() as fake, over(tmp_path, fake, concurrent_limit=1, queue_limit=0) as gateway:
        fake.will_stall("Paris")
        with httpx.stream("POST", gateway.url + "/api/chat", json=body_of(), timeout=20) as held:
            lines = held.iter_lines()  # kept: one that is dropped hangs up
            next(lines)
            with closing(ollama.Client(gateway.url)) as client, pytest.raises(ollama.ResponseError) as refusal:
                client.chat("assistant", [{"role": "user", "content": "Hi"}])
            assert refusal.value.status_code == 429
            with (
                openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as other,
                pytest.raises(openai.RateLimitError, match="busy"),
            ):
                other.chat.completions.create(model="assistant", messages=[{"role": "user", "content": "Hi"}])


@DIALECTS
def test_where_no_host_answers_it_is_a_503_that_says_when_to_ask_again(tmp_path, dialect):
    with FakeOllama() as one, FakeOllama() as other, over(tmp_path, one, other, circuit_failures=2) as gateway:
        one.stop()
        other.stop()
        for _ in range(4):  # the circuits open meanwhile, and that is no other error
            answer = httpx.post(gateway.url + CHATS[dialect], json=body_of(stream=False), timeout=20)
            assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1
            error = answer.json()
            assert (error["code"] if dialect == "ollama" else error["error"]["code"]) == "upstream-down"
        ready = httpx.get(f"{gateway.url}/ready")
        assert ready.status_code == 503 and not ready.json()["parts"]["upstream"]["ready"]


def test_a_client_that_leaves_the_queue_or_a_stream_frees_its_place_within_a_second(tmp_path):
    with FakeOllama() as fake, over(tmp_path, fake, concurrent_limit=1, stall_timeout_s=30.0) as gateway:
        fake.will_stall("Paris")
        upstream = gateway.state.parts.upstream
        with httpx.stream("POST", gateway.url + "/api/chat", json=body_of(), timeout=20) as held:
            lines = held.iter_lines()
            next(lines)
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(gateway.url + "/api/chat", json=body_of(), timeout=0.3)
            fake.wait(lambda: upstream.places.waiting == 0, 1)
            left_at = time.monotonic()
        fake.wait(lambda: fake.chats[0].ended == "left", 1)
        assert fake.chats[0].ended_at - left_at < 1
        fake.wait(lambda: upstream.hosts[0].outstanding == 0, 1)
        assert httpx.post(gateway.url + "/api/chat", json=body_of(stream=False)).status_code == 200
        assert len(fake.chats) == 2  # who left the queue was never asked for


def test_readiness_counts_the_hosts(tmp_path):
    with FakeOllama() as one, FakeOllama([]) as other, over(tmp_path, one, other) as gateway:
        found = httpx.get(f"{gateway.url}/ready").json()
        assert found["ready"] and found["parts"]["upstream"]["message"] == "2 of 2 hosts answer."
        assert "assistant:1.0.0 on 1 of 2 hosts" in found["parts"]["alias"]["message"]
        other.stop()
        time.sleep(0.3)
        found = httpx.get(f"{gateway.url}/ready").json()
        assert found["ready"] and found["parts"]["upstream"]["message"] == "1 of 2 hosts answer."


def test_many_clients_share_the_hosts_and_one_that_dies_fails_none_of_those_to_come(tmp_path):
    async def all_at_once(url, count):
        async with httpx.AsyncClient(timeout=30) as client:
            asked = (client.post(url + "/api/chat", json=body_of(stream=False)) for _ in range(count))
            return [answer.status_code for answer in await asyncio.gather(*asked)]

    with (
        FakeOllama(chunk_delay_s=0.005) as one,
        FakeOllama(chunk_delay_s=0.005) as other,
        over(tmp_path, one, other, concurrent_limit=4) as gateway,
    ):
        assert asyncio.run(all_at_once(gateway.url, 40)) == [200] * 40
        assert min(len(one.chats), len(other.chats)) >= 12
        one.stop()
        assert asyncio.run(all_at_once(gateway.url, 20)) == [200] * 20
        assert gateway.store.counts()["turns"] == 60
