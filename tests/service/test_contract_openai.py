"""The official `openai` client, unmodified, through every call of its that the gateway takes, whole and streamed."""

from __future__ import annotations

import base64
import hashlib
import json

import httpx
import openai
import pytest
from openai import BaseModel

from tests.fakes.gateway import RunningGateway
from tests.fakes.ollama import FakeOllama
from tests.service.conftest import PATIENCE
from tests.service.test_contract_ollama import CALL, LAST, LIST, PNG, TOOL, latest, said, token

ASK = [{"role": "user", "content": "What is the weather in Paris?"}]
PICTURE = "data:image/png;base64," + base64.b64encode(PNG).decode()
WITH_USAGE = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.fixture(scope="module")
def fake():
    with FakeOllama(models=["assistant:1.0.0", "embedder:1.0.0", "hub/people/small:q4"]) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(fake, tmp_path_factory):
    words = tmp_path_factory.mktemp("words")
    (words / "list.jsonl").write_text(LIST, "utf-8")
    more = {"words_dir": str(words), "allowed_models": ["embedder:*", "hub/*"]}
    with RunningGateway(tmp_path_factory.mktemp("data"), fake.url, **PATIENCE, **more) as running:
        yield running


@pytest.fixture
def client(gateway):
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
        yield client


def chat(client, messages=ASK, **more):
    return client.chat.completions.create(model="assistant", messages=messages, **more)


def test_tool_calls_whole(fake, client):
    fake.will_say_lines(said(tool_calls=[CALL, {"id": "mine", **CALL}]), said("") | LAST)
    answer = chat(client, tools=[TOOL], tool_choice="auto")
    choice = answer.choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.content is None
    first, second = choice.message.tool_calls
    assert (first.type, first.function.name, json.loads(first.function.arguments)) == (
        "function", "weather", {"place": "Paris"},
    )  # fmt: skip
    assert second.id == "mine" and first.id and first.id != second.id
    assert fake.chats[-1].body["tools"] == [TOOL]


def test_tool_calls_streamed_have_indexes(fake, client):
    fake.will_say_lines(said("Let me look."), said(tool_calls=[CALL]), said(tool_calls=[CALL]), said("") | LAST)
    chunks = list(chat(client, tools=[TOOL], **WITH_USAGE))
    deltas = [call for chunk in chunks if chunk.choices for call in chunk.choices[0].delta.tool_calls or ()]
    assert [(call.index, call.function.name, call.type) for call in deltas] == [
        (0, "weather", "function"), (1, "weather", "function"),
    ]  # fmt: skip
    assert all(json.loads(call.function.arguments) == {"place": "Paris"} for call in deltas)
    assert deltas[0].id != deltas[1].id
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "tool_calls"
    assert chunks[-1].usage.total_tokens == 5


def test_the_clients_own_assembly_of_a_stream(fake, client):
    fake.will_say_lines(said("Hm."), said(tool_calls=[CALL]), said("") | LAST)
    with client.chat.completions.stream(model="assistant", messages=ASK, tools=[TOOL]) as stream:
        for _ in stream:
            pass
        message = stream.get_final_completion().choices[0].message
    assert message.content == "Hm." and message.tool_calls[0].function.name == "weather"


def test_tool_results_find_their_call(gateway, fake, client):
    call = {"id": "call_7", "type": "function", "function": {"name": "weather", "arguments": '{"place": "a secret"}'}}
    history = [
        *ASK, {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_7", "content": "22 °C, secret"},
    ]  # fmt: skip
    fake.will_say("22 °C.")
    assert chat(client, history).choices[0].message.content == "22 °C."
    _, asked, answered = fake.chats[-1].body["messages"]
    assert asked["tool_calls"][0]["function"]["arguments"] == {"place": "a ******"}
    assert answered == {
        "role": "tool", "content": "22 °C, ******", "tool_name": "weather", "tool_call_id": "call_7",
    }  # fmt: skip
    assert latest(gateway).status == "whole"


def test_tool_choice_none_leaves_the_tools_out(fake, client):
    chat(client, tools=[TOOL], tool_choice="none")
    assert "tools" not in fake.chats[-1].body


@pytest.mark.parametrize(
    ("effort", "think"), [("none", False), ("minimal", "low"), ("low", "low"), ("medium", "medium"), ("high", "high")]
)
def test_reasoning(fake, client, effort, think):
    fake.will_say_lines(said(thinking="Hm."), said("Sunny."), said("") | LAST)
    answer = chat(client, reasoning_effort=effort)
    assert answer.choices[0].message.content == "Sunny." and answer.choices[0].message.reasoning == "Hm."
    assert fake.chats[-1].body["think"] == think


class Weather(BaseModel):
    degrees: int


def test_response_formats(fake, client):
    fake.will_say('{"degrees": 22}')
    parsed = client.chat.completions.parse(model="assistant", messages=ASK, response_format=Weather)
    assert parsed.choices[0].message.parsed == Weather(degrees=22)
    assert fake.chats[-1].body["format"]["properties"]["degrees"]["type"] == "integer"
    chat(client, response_format={"type": "json_object"})
    assert fake.chats[-1].body["format"] == "json"
    chat(client, response_format={"type": "text"})
    assert "format" not in fake.chats[-1].body


def test_images_in_parts(gateway, fake, client):
    parts = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PICTURE}}]
    chat(client, [{"role": "user", "content": parts}])
    image = PICTURE.partition(",")[2]
    assert fake.chats[-1].body["messages"] == [{"role": "user", "content": "What is this?", "images": [image]}]
    assert latest(gateway).attachments == [hashlib.sha256(PNG).hexdigest()]


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs(fake, client, stream):
    fake.will_say_lines(
        said("Sun") | {"logprobs": [token("Sun", Rain=-1.0)]}, said("ny") | {"logprobs": [token("ny")]},
        said(" secret") | {"logprobs": [token(" secret")]}, said("") | LAST,
    )  # fmt: skip
    answers = chat(client, logprobs=True, top_logprobs=1, stream=stream)
    choices = [answer.choices[0] for answer in (answers if stream else [answers])]
    found = [one for choice in choices if choice.logprobs for one in choice.logprobs.content]
    assert [one.token for one in found] == ["Sun", "ny"] and found[0].top_logprobs[0].token == "Rain"


@pytest.mark.parametrize("stream", [False, True])
def test_completions(gateway, fake, client, stream):
    fake.will_say("Once", " upon")
    more = WITH_USAGE if stream else {}
    answers = client.completions.create(model="assistant", prompt="Begin", max_tokens=9, temperature=0, **more)
    answers = list(answers) if stream else [answers]
    assert "".join(answer.choices[0].text for answer in answers if answer.choices) == "Once upon"
    assert {answer.object for answer in answers} == {"text_completion"}
    assert [answer.choices[0].finish_reason for answer in answers if answer.choices][-1] == "stop"
    assert answers[-1].usage.completion_tokens == 2
    sent = fake.chats[-1]
    assert (sent.path, sent.body["prompt"]) == ("/api/generate", "Begin")
    assert sent.body["options"] == {"num_predict": 9, "temperature": 0}
    turn = latest(gateway)
    assert (turn.status, turn.reply, turn.messages[0].content) == ("whole", "Once upon", "Begin")


def test_completions_with_logprobs_and_a_suffix(gateway, fake, client):
    fake.will_say_lines(
        {"response": "Sun", "done": False, "logprobs": [token("Sun", Rain=-1.0)]},
        {"response": "ny", "done": False, "logprobs": [token("ny", ky=-1.0)]}, {"response": ""} | LAST,
    )  # fmt: skip
    found = client.completions.create(model="assistant", prompt="x", suffix="y", logprobs=1).choices[0].logprobs
    assert (found.tokens, found.token_logprobs, found.text_offset) == (["Sun", "ny"], [-0.5, -0.5], [0, 3])
    assert found.top_logprobs == [{"Rain": -1.0}, {"ky": -1.0}]
    assert fake.chats[-1].body["suffix"] == "y" and latest(gateway).status == "raw"


def test_embeddings_as_numbers_and_as_base64(gateway, fake, client):
    turns = gateway.store.counts()["turns"]
    plain = client.embeddings.create(model="embedder:1.0.0", input=["hello", "a secret"], encoding_format="float")
    coded = client.embeddings.create(model="embedder:1.0.0", input=["hello", "a secret"])  # base64, by its default
    assert [one.embedding for one in plain.data] == [one.embedding for one in coded.data]
    assert [one.index for one in plain.data] == [0, 1] and plain.usage.total_tokens == 4
    assert fake.history[-1].body["input"] == ["hello", "a ******"]
    raw = {"model": "embedder:1.0.0", "input": "hello", "encoding_format": "base64", "dimensions": 8}
    text = httpx.post(f"{gateway.url}/v1/embeddings", json=raw).json()["data"][0]["embedding"]
    assert len(base64.b64decode(text)) == 32 and fake.history[-1].body["dimensions"] == 8
    with pytest.raises(openai.BadRequestError, match="word that blocks"):
        client.embeddings.create(model="embedder:1.0.0", input="a bomb")
    with pytest.raises(openai.BadRequestError, match="tokens"):
        client.embeddings.create(model="embedder:1.0.0", input=[1, 2, 3])
    assert gateway.store.counts()["turns"] == turns


def test_models(client):
    assert [model.id for model in client.models.list()] == ["assistant", "embedder:1.0.0", "hub/people/small:q4"]
    assert client.models.retrieve("assistant").object == "model"
    assert client.models.retrieve("hub/people/small:q4").id == "hub/people/small:q4"
    for call in (lambda: client.models.retrieve("nosuch"), lambda: client.completions.create(model="no", prompt="x")):
        with pytest.raises(openai.NotFoundError) as refused:
            call()
        assert refused.value.code == "unknown-alias" and "not found" in refused.value.message


def test_what_can_not_be_done_is_refused(client):
    for more in ({"n": 2}, {"tools": [TOOL], "tool_choice": "required"}, {"logit_bias": {"5": 1}}):
        with pytest.raises(openai.BadRequestError) as refused:
            chat(client, **more)
        assert refused.value.code == "unsupported"
    for more in ({"n": 2}, {"echo": True}, {"best_of": 2}, {"prompt": ["a", "b"]}, {"prompt": [1, 2]}):
        with pytest.raises(openai.BadRequestError) as refused:
            client.completions.create(**{"model": "assistant", "prompt": "x", **more})
        assert refused.value.code == "unsupported"


def test_a_chat_that_is_not_to_be_stored(gateway, fake, client):
    turns = gateway.store.counts()["turns"]
    answer = chat(client, store=False)
    assert not hasattr(answer, "turn_id")
    assert gateway.store.counts()["turns"] == turns


async def test_the_async_client(gateway, fake):
    fake.will_say("Paris.")
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client:
        stream = await client.chat.completions.create(model="assistant", messages=ASK, stream=True)
        said = [chunk.choices[0].delta.content or "" async for chunk in stream]
        assert "".join(said) == "Paris."
        assert (await client.embeddings.create(model="embedder:1.0.0", input="x")).data
