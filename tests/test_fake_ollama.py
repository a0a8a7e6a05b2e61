"""The fake Ollama behaves as the recorded one does, asked by the official client."""

import hashlib
import time

import httpx
import ollama
import pytest

from tests.fakes.ollama import FakeOllama

ASK = [{"role": "user", "content": "Where is Paris?"}]


@pytest.fixture
def fake():
    with FakeOllama(models=["assistant:1.0.0"]) as server:
        yield server


@pytest.fixture
def client(fake):
    with ollama.Client(fake.url) as client:
        yield client


def test_says_what_is_scripted_then_echoes(fake, client):
    fake.will_say("Paris is in France.")
    chunks = list(client.chat("assistant:1.0.0", ASK, stream=True))
    assert [chunk.message.content for chunk in chunks] == ["Paris", " is", " in", " France.", ""]
    assert chunks[-1].done_reason == "stop" and chunks[-1].eval_count == 4
    assert client.chat("assistant:1.0.0", ASK).message.content == "You said: Where is Paris?"
    assert client.generate("assistant:1.0.0", "Hi").response == "You said: Hi"
    assert [seen.body["model"] for seen in fake.chats] == ["assistant:1.0.0"] * 3


def test_a_broken_stream_is_not_a_whole_one(fake, client):
    fake.will_break_after("Paris is", " the")
    said = []
    with pytest.raises(httpx.RemoteProtocolError):
        said.extend(chunk.message.content for chunk in client.chat("assistant:1.0.0", ASK, stream=True))
    assert fake.history[-1].ended == "broken"


def test_an_error_line_comes_under_http_200(fake, client):
    fake.will_err_after("Paris")
    with pytest.raises(ollama.ResponseError, match="terminated"):
        list(client.chat("assistant:1.0.0", ASK, stream=True))


def test_refusals_carry_their_status(fake, client):
    fake.will_fail(500, "EOF")
    with pytest.raises(ollama.ResponseError) as refused:
        client.chat("assistant:1.0.0", ASK)
    assert (refused.value.status_code, refused.value.error) == (500, "EOF")
    with pytest.raises(ollama.ResponseError, match="model 'nosuch' not found"):
        client.chat("nosuch", ASK)


def test_a_client_that_leaves_is_seen_at_once(fake):
    fake.will_stall("Paris")
    asked = {"model": "assistant:1.0.0", "messages": ASK}
    with httpx.stream("POST", f"{fake.url}/api/chat", json=asked) as answer:
        lines = answer.iter_lines()
        next(lines)
        left_at = time.monotonic()
    fake.wait(lambda: fake.history[-1].ended == "left")
    assert fake.history[-1].ended_at - left_at < 1


def test_a_model_is_pushed_loaded_copied_and_deleted(fake, client):
    blob = b"GGUF weights"
    digest = "sha256:" + hashlib.sha256(blob).hexdigest()
    assert httpx.head(f"{fake.url}/api/blobs/{digest}").status_code == 404
    wrong = httpx.post(f"{fake.url}/api/blobs/{digest}", content=b"other")
    assert wrong.status_code == 400 and "digest mismatch" in wrong.json()["error"]
    assert httpx.post(f"{fake.url}/api/blobs/{digest}", content=blob).status_code == 201
    assert httpx.head(f"{fake.url}/api/blobs/{digest}").status_code == 200
    statuses = [
        line.status
        for line in client.create(
            "assistant:1.1.0", files={"a.gguf": digest}, system="Be brief.", parameters={"num_predict": 2}, stream=True
        )
    ]
    assert statuses[0] == "parsing GGUF" and statuses[-1] == "success"
    assert client.show("assistant:1.1.0").template.startswith("{{- range")
    fake.will_say("one two three four")
    answer = client.chat("assistant:1.1.0", ASK)
    assert (answer.message.content, answer.done_reason) == ("one two", "length")
    assert [model.model for model in client.ps().models] == ["assistant:1.1.0"]
    assert client.generate("assistant:1.1.0", keep_alive=0).done_reason == "unload"
    assert client.ps().models == []
    client.copy("assistant:1.1.0", "assistant:1.2.0")
    client.delete("assistant:1.1.0")
    assert sorted(model.model for model in client.list().models) == ["assistant:1.0.0", "assistant:1.2.0"]


def test_what_fails_in_the_making_ends_a_200(fake, client):
    with pytest.raises(ollama.ResponseError, match="no such file"):
        list(client.create("x:1", files={"a.gguf": "sha256:" + "1" * 64}, stream=True))
    with pytest.raises(ollama.ResponseError) as refused:
        client.create("x:1", files={"a.gguf": "sha256:" + "1" * 64})
    assert refused.value.status_code == 500


def test_a_cold_model_takes_its_time(fake, client):
    fake.slow_load_s = 0.2
    started = time.monotonic()
    client.chat("assistant:1.0.0", ASK)
    assert time.monotonic() - started >= 0.2
    started = time.monotonic()
    client.chat("assistant:1.0.0", ASK)
    assert time.monotonic() - started < 0.2
