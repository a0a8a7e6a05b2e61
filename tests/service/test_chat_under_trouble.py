"""What must hold when something breaks, stalls, leaves, swaps or is slow in the middle of a reply."""

import asyncio
import dataclasses
import json
import socket
import threading
import time
from concurrent.futures import Future

import httpx
import openai
import pytest

from feedback.errors import StoreBusy, StoreUnavailable
from service.commits import committed
from tests.fakes.gateway import RunningGateway, set_alias
from tests.fakes.held_store import HeldStore
from tests.fakes.ollama import FakeOllama

CHATS = {"ollama": "/api/chat", "openai": "/v1/chat/completions"}
ASK = [{"role": "user", "content": "Where is Paris?"}]
DIALECTS = pytest.mark.parametrize("dialect", ["ollama", "openai"])


def body_of(**more):
    return {"model": "assistant", "messages": ASK, **more}


def stream(gateway, dialect, **more):
    """The lines of a streamed answer, decoded, and its headers."""
    with httpx.stream("POST", gateway.url + CHATS[dialect], json=body_of(stream=True, **more), timeout=20) as answer:
        lines = [line.removeprefix("data: ") for line in answer.iter_lines() if line]
        return [line if line == "[DONE]" else json.loads(line) for line in lines], answer.headers


def text_of(dialect, lines):
    if dialect == "ollama":
        return "".join(line["message"]["content"] for line in lines if "message" in line)
    chunks = [line for line in lines if isinstance(line, dict) and line.get("choices")]
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks)


def error_code(dialect, line):
    return line["code"] if dialect == "ollama" else line["error"]["code"]


def looks_whole(dialect, lines):
    return lines[-1] == "[DONE]" if dialect == "openai" else lines[-1].get("done") is True


@DIALECTS
@pytest.mark.parametrize("trouble", ["break", "stall", "error", "garbage", "no last line"])
def test_a_stream_cut_short_ends_in_an_error_and_is_kept_as_cut(gateway, fake, dialect, trouble):
    match trouble:
        case "break":
            fake.will_break_after("Paris is", " the")
        case "stall":
            fake.will_stall("Paris is", " the")
        case "error":
            fake.will_err_after("Paris is", " the", error="llama runner process has terminated")
        case "garbage":
            fake.will_garble_after("Paris is", " the")
        case "no last line":
            lines = [{"message": {"role": "assistant", "content": text}} for text in ("Paris is", " the")]
            fake.will_say_lines(*lines)
    lines, headers = stream(gateway, dialect)
    assert text_of(dialect, lines) == "Paris is the"
    assert error_code(dialect, lines[-1]) == "upstream-broke" and not looks_whole(dialect, lines)
    turn = gateway.store.turn(headers["x-turn-id"])
    assert (turn.reply, turn.status, turn.done_reason) == ("Paris is the", "cut", "")
    if trouble == "stall":
        fake.wait(lambda: fake.chats[0].ended == "left")  # nobody goes on computing for nobody


@DIALECTS
@pytest.mark.parametrize("trouble", ["break", "stall", "silence"])
def test_a_whole_answer_cut_short_is_an_error_and_is_kept_as_cut(gateway, fake, dialect, trouble):
    before = gateway.store.counts()["turns"]
    match trouble:
        case "break":
            fake.will_break_after("Paris is")
        case "stall":
            fake.will_stall("Paris is")
        case "silence":
            fake.will_stall()
    answer = httpx.post(gateway.url + CHATS[dialect], json=body_of(stream=False), timeout=10)
    assert answer.status_code == 502 and error_code(dialect, answer.json()) == "upstream-broke"
    newest = gateway.store.turns(limit=500)[-1]
    assert gateway.store.counts()["turns"] == before + 1
    assert (newest.status, newest.reply) == ("cut", "" if trouble == "silence" else "Paris is")


def test_the_openai_client_raises_on_a_broken_stream(gateway, fake):
    fake.will_break_after("Paris is")
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
        chunks = client.chat.completions.create(model="assistant", messages=ASK, stream=True)
        with pytest.raises(openai.APIError, match="hung up"):
            list(chunks)


@DIALECTS
@pytest.mark.parametrize("streaming", [True, False])
def test_a_client_that_leaves_stops_the_upstream_and_its_turn_is_kept(gateway, fake, dialect, streaming):
    before = gateway.store.counts()["turns"]
    fake.will_stall("Paris is", " the")
    data = json.dumps(body_of(stream=streaming)).encode()
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        head = f"POST {CHATS[dialect]} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(data)}\r\n\r\n"
        client.sendall(head.encode() + data)
        if streaming:
            said = b""
            while b" the" not in said:
                said += client.recv(65536)
        else:
            fake.wait(lambda: bool(fake.chats))
            time.sleep(0.1)
        left_at = time.monotonic()
    fake.wait(lambda: fake.chats[0].ended == "left")
    # the gateway's own stall limit is half a second: well before that, it was the client's leaving that did it
    assert fake.chats[0].ended_at - left_at < 0.4
    fake.wait(lambda: gateway.store.counts()["turns"] == before + 1)
    turn = gateway.store.turns(limit=500)[-1]
    assert (turn.status, turn.reply) == ("cut", "Paris is the")


@pytest.fixture
def held(tmp_path):
    """A gateway whose store's commits are held back."""
    with FakeOllama() as fake, RunningGateway(tmp_path, fake.url) as gateway:
        state = gateway.state
        real = state.parts.store
        store = HeldStore(real)
        state.parts = dataclasses.replace(state.parts, store=store)
        yield gateway, fake, store
        store.release()
        state.parts = dataclasses.replace(state.parts, store=real)


@DIALECTS
def test_the_last_chunk_waits_for_the_commit(held, dialect):
    gateway, fake, store = held
    fake.will_say("Paris is in France.")
    heard, done = [], threading.Event()

    def listen():
        with httpx.stream("POST", gateway.url + CHATS[dialect], json=body_of(stream=True), timeout=20) as answer:
            heard.extend(line for line in answer.iter_lines() if line)
        done.set()

    thread = threading.Thread(target=listen)
    thread.start()
    fake.wait(lambda: bool(store.held) and "France." in "".join(heard))
    time.sleep(0.2)
    assert not done.is_set()
    said = "".join(heard)
    assert '"done":true' not in said and '"finish_reason":"stop"' not in said and "[DONE]" not in said
    assert store.counts()["turns"] == 0
    store.release()
    thread.join(10)
    assert done.is_set() and "turn_id" in "".join(heard[-2:])
    assert store.counts()["turns"] == 1


@DIALECTS
@pytest.mark.parametrize(
    ("attribute", "error", "status"),
    [
        ("failing", StoreUnavailable("The disk is full.", "Free some."), 503),
        ("refusing", StoreBusy("Full.", "Wait."), 503),
    ],
)
def test_a_turn_that_could_not_be_stored_is_never_a_silent_success(held, dialect, attribute, error, status):
    gateway, _, store = held
    setattr(store, attribute, error)
    store.release()
    lines, _ = stream(gateway, dialect)
    assert text_of(dialect, lines) == "You said: Where is Paris?"
    assert error_code(dialect, lines[-1]) == error.code and not looks_whole(dialect, lines)
    answer = httpx.post(gateway.url + CHATS[dialect], json=body_of(stream=False))
    assert answer.status_code == status and error_code(dialect, answer.json()) == error.code
    assert ("retry-after" in answer.headers) == (error.code == "store-busy")
    assert store.counts()["turns"] == 0


def test_a_client_that_leaves_while_its_turn_commits_takes_nothing_with_it(held):
    gateway, fake, store = held
    with httpx.stream("POST", gateway.url + "/api/chat", json=body_of(), timeout=20) as answer:
        lines = answer.iter_lines()  # kept: an iterator that is dropped hangs up at once
        next(lines)
        fake.wait(lambda: bool(store.held))
    time.sleep(0.1)
    store.release()
    fake.wait(lambda: store.counts()["turns"] == 1)
    turn = gateway.state.parts.store.turns()[0]
    assert (turn.status, turn.reply) == ("whole", "You said: Where is Paris?")
    assert httpx.post(gateway.url + "/api/chat", json=body_of(stream=False)).status_code == 200


async def test_a_cancelled_request_leaves_its_write_in_the_queue():
    queued: Future[None] = Future()
    waiting = asyncio.create_task(committed(queued))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert queued.set_running_or_notify_cancel()  # the writer may still do it
    queued.set_result(None)


def test_an_alias_swap_while_a_reply_streams(gateway, fake):
    fake.chunk_delay_s = 0.05
    try:
        with httpx.stream("POST", gateway.url + "/api/chat", json=body_of(), timeout=20) as answer:
            lines = answer.iter_lines()
            next(lines)
            set_alias(gateway.data_dir, "1.1.0")
            new = httpx.post(gateway.url + "/api/chat", json=body_of(stream=False), timeout=20)
            rest = [json.loads(line) for line in lines]
        assert answer.headers["x-model-version"] == "1.0.0" and rest[-1]["done"] is True
        assert new.headers["x-model-version"] == "1.1.0" and new.status_code == 200
        assert [seen.body["model"] for seen in fake.chats] == ["assistant:1.0.0", "assistant:1.1.0"]
        assert [seen.ended for seen in fake.chats] == ["answered", "answered"]
        assert gateway.store.turn(rest[-1]["turn_id"]).version == "1.0.0"
        assert gateway.store.turn(new.json()["turn_id"]).model_tag == "assistant:1.1.0"
    finally:
        fake.chunk_delay_s = 0
        set_alias(gateway.data_dir, "1.0.0")


def test_many_streams_at_once_each_get_their_own(gateway, fake):
    fake.chunk_delay_s = 0.002

    async def one(client, number):
        text = f"问题 {number} and more words here"
        answer = await client.post(
            gateway.url + "/api/chat", json={"model": "assistant", "messages": [{"role": "user", "content": text}]}
        )
        lines = [json.loads(line) for line in answer.text.splitlines()]
        return "".join(line["message"]["content"] for line in lines) == f"You said: {text}", lines[-1]["turn_id"]

    async def all_at_once():
        async with httpx.AsyncClient(timeout=30) as client:
            return await asyncio.gather(*(one(client, number) for number in range(50)))

    try:
        found = asyncio.run(all_at_once())
    finally:
        fake.chunk_delay_s = 0
    assert all(right for right, _ in found) and len({turn for _, turn in found}) == 50
