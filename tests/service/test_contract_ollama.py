"""The official `ollama` client, unmodified, through every call of its that the gateway takes, whole and streamed."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json

import httpx
import ollama
import pytest
from pydantic import BaseModel

from feedback.mint import now
from feedback.pool import Candidate, admit
from feedback.settings import PoolSettings
from tests.fakes.gateway import RunningGateway
from tests.fakes.ollama import FakeOllama
from tests.service.conftest import PATIENCE

ASK = [{"role": "user", "content": "What is the weather in Paris?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
    },
}
CALL = {"function": {"name": "weather", "arguments": {"place": "Paris"}}}
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 50
LAST = {"done": True, "done_reason": "stop", "prompt_eval_count": 3, "eval_count": 2}
LIST = '{"word": "secret", "category": "leak"}\n{"word": "bomb", "category": "danger", "action": "block"}\n'


@pytest.fixture(scope="module")
def fake():
    with FakeOllama(models=["assistant:1.0.0", "embedder:1.0.0"]) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(fake, tmp_path_factory):
    words = tmp_path_factory.mktemp("words")
    (words / "list.jsonl").write_text(LIST, "utf-8")
    folder = tmp_path_factory.mktemp("data")
    more = {"words_dir": str(words), "allowed_models": ["embedder:*"]}
    with RunningGateway(folder, fake.url, pool=PoolSettings(min_tokens=1), **PATIENCE, **more) as running:
        yield running


@pytest.fixture
def client(gateway):
    with ollama.Client(gateway.url) as client:
        yield client


def said(text="", **more):
    return {"message": {"role": "assistant", "content": text, **more}, "done": False}


def latest(gateway):
    return gateway.store.turns(limit=500)[-1]


@pytest.mark.parametrize("stream", [False, True])
def test_tools_and_their_results(gateway, fake, client, stream):
    fake.will_say_lines(said(tool_calls=[CALL]), said("") | LAST)
    answers = client.chat("assistant", ASK, tools=[TOOL], stream=stream)
    calls = [call for answer in (answers if stream else [answers]) for call in answer.message.tool_calls or ()]
    assert [call.function.arguments for call in calls] == [{"place": "Paris"}]
    assert fake.chats[-1].body["tools"] == [TOOL]

    history = [
        *ASK,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_name": "weather", "content": "22 °C"},
    ]
    fake.will_say("It is 22 °C.")
    client.chat("assistant", history)
    sent = fake.chats[-1].body["messages"]
    assert sent[1]["tool_calls"] == [CALL] and sent[2] == {"role": "tool", "tool_name": "weather", "content": "22 °C"}
    assert [message.role for message in latest(gateway).messages] == ["user", "assistant", "tool"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("think", [True, "high"])
def test_thinking(fake, client, stream, think):
    fake.will_say_lines(said(thinking="Hm, "), said(thinking="Paris."), said("Sunny."), said("") | LAST)
    answers = client.chat("assistant", ASK, think=think, stream=stream)
    messages = [answer.message for answer in (answers if stream else [answers])]
    assert "".join(message.thinking or "" for message in messages) == "Hm, Paris."
    assert "".join(message.content for message in messages) == "Sunny."
    assert fake.chats[-1].body["think"] == think


class Weather(BaseModel):
    degrees: int


def test_a_format_and_options_reach_the_model(fake, client):
    fake.will_say('{"degrees": 22}')
    options = {"temperature": 0, "num_ctx": 512, "stop": ["\n"], "seed": 3}
    answer = client.chat("assistant", ASK, format=Weather.model_json_schema(), options=options)
    assert Weather.model_validate_json(answer.message.content).degrees == 22
    assert fake.chats[-1].body["format"] == Weather.model_json_schema() and fake.chats[-1].body["options"] == options
    client.chat("assistant", ASK, format="json")
    assert fake.chats[-1].body["format"] == "json"


def test_names_in_a_schema_are_text_too(gateway, fake):
    schema = {"type": "object", "properties": {"secret": {"type": "string"}}, "required": ["secret"]}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    body = {"model": "assistant", "stream": False, "messages": ASK, "format": schema, "tools": [tool]}
    assert httpx.post(f"{gateway.url}/api/chat", json=body).status_code == 200
    masked = {"type": "object", "properties": {"******": {"type": "string"}}, "required": ["******"]}
    sent = fake.chats[-1].body
    assert sent["format"] == masked and sent["tools"][0]["function"]["parameters"] == masked
    schema["properties"] = {"bomb": {"type": "string"}}
    asked = len(fake.chats)
    assert httpx.post(f"{gateway.url}/api/chat", json=body).json()["done_reason"] == "content_filter"
    assert len(fake.chats) == asked


def token(text, **others):
    top = [{"token": one, "logprob": number, "bytes": list(one.encode())} for one, number in others.items()]
    return {"token": text, "logprob": -0.5, "bytes": list(text.encode()), **({"top_logprobs": top} if top else {})}


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_of_what_is_shown(fake, client, stream):
    fake.will_say_lines(
        said("Sun") | {"logprobs": [token("Sun", Rain=-1.0, bomb=-2.0)]},
        said("ny 晴") | {"logprobs": [token("ny"), token(" 晴")]},
        said("") | LAST | {"logprobs": [token("<end>")]},
    )
    answers = client.chat("assistant", ASK, logprobs=True, top_logprobs=2, stream=stream)
    found = [one for answer in (answers if stream else [answers]) for one in answer.logprobs or ()]
    assert [one.token for one in found] == ["Sun", "ny", " 晴"]
    assert [one.token for one in found[0].top_logprobs] == ["Rain"]  # an alternative that blocks is not told
    assert fake.chats[-1].body["logprobs"] is True and fake.chats[-1].body["top_logprobs"] == 2


@pytest.mark.parametrize("stream", [False, True])
def test_logprobs_never_spell_out_what_the_filter_hid(fake, client, stream):
    pieces = ["The ", "sec", "ret", " is", " out"]
    fake.will_say_lines(*[said(piece) | {"logprobs": [token(piece)]} for piece in pieces], said("") | LAST)
    answers = client.chat("assistant", ASK, logprobs=True, stream=stream)
    answers = list(answers) if stream else [answers]
    assert "".join(answer.message.content for answer in answers) == "The ****** is out"
    assert [one.token for answer in answers for one in answer.logprobs or ()] == ["The "]


def test_logprobs_are_not_asked_for_where_the_client_does_not(fake, client):
    client.chat("assistant", ASK)
    assert "logprobs" not in fake.chats[-1].body


def test_images_go_on_as_they_came_and_are_kept_once(gateway, fake, client):
    coded = base64.b64encode(PNG).decode()
    for _ in range(2):
        client.chat("assistant", [{"role": "user", "content": "What is this?", "images": [PNG]}])
    assert fake.chats[-1].body["messages"][0]["images"] == [coded]
    digest = hashlib.sha256(PNG).hexdigest()
    turn = latest(gateway)
    assert turn.attachments == [digest]
    assert [file.name for file in (gateway.data_dir / "attachments").iterdir()] == [digest]
    assert (gateway.data_dir / "attachments" / digest).read_bytes() == PNG
    admission = admit(Candidate(turn, [], []), PoolSettings(min_tokens=1), now())
    assert "out:attachments" in admission.reasons


async def test_one_image_in_many_requests_at_once_is_one_file(gateway):
    picture = PNG + b"at once" * 100_000
    body = {"model": "assistant", "stream": False}
    body["messages"] = [{"role": "user", "content": "x", "images": [base64.b64encode(picture).decode()]}]
    async with httpx.AsyncClient(timeout=30) as client:
        answers = await asyncio.gather(*(client.post(f"{gateway.url}/api/chat", json=body) for _ in range(12)))
    assert {answer.status_code for answer in answers} == {200}
    kept = gateway.data_dir / "attachments" / hashlib.sha256(picture).hexdigest()
    assert kept.read_bytes() == picture and not list(kept.parent.glob(".*"))


@pytest.mark.parametrize(
    ("images", "status", "code"),
    [
        (["aGVsbG8="], 400, "unsupported"), (["no base64!"], 400, "malformed-body"), ("x", 400, "malformed-body"),
        ([base64.b64encode(b"<svg/>").decode()], 400, "unsupported"), ([7], 400, "malformed-body"),
    ],
)  # fmt: skip
def test_what_is_no_image_is_refused(gateway, fake, images, status, code):
    asked = len(fake.chats)
    body = {"model": "assistant", "messages": [{"role": "user", "content": "x", "images": images}]}
    answer = httpx.post(f"{gateway.url}/api/chat", json=body)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert len(fake.chats) == asked


def test_images_may_be_larger_than_a_body_and_texts_may_not(gateway, fake):
    large = base64.b64encode(PNG + b"\0" * 3_000_000).decode()
    body = {"model": "assistant", "stream": False, "messages": [{"role": "user", "content": "x", "images": [large]}]}
    assert httpx.post(f"{gateway.url}/api/chat", json=body).status_code == 200
    body["messages"][0]["images"] = [large, large, large]
    answer = httpx.post(f"{gateway.url}/api/chat", json=body)
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")
    body["messages"] = [{"role": "user", "content": "x" * 2_000_000, "images": [large]}]
    assert httpx.post(f"{gateway.url}/api/chat", json=body).status_code == 413


def test_an_image_of_an_unrecorded_chat_is_not_kept(gateway, fake):
    other = PNG + b"unrecorded"
    body = {"model": "assistant", "stream": False, "store": False}
    body["messages"] = [{"role": "user", "content": "x", "images": [base64.b64encode(other).decode()]}]
    assert httpx.post(f"{gateway.url}/api/chat", json=body).status_code == 200
    assert not (gateway.data_dir / "attachments" / hashlib.sha256(other).hexdigest()).exists()


@pytest.mark.parametrize("stream", [False, True])
def test_generate_is_a_turn_to_rate_and_to_learn_from(gateway, fake, client, stream):
    fake.will_say("Paris.")
    answers = client.generate("assistant", "Capital of France?", system="Be brief.", stream=stream)
    answers = list(answers) if stream else [answers]
    assert "".join(answer.response for answer in answers) == "Paris." and answers[-1].context
    assert answers[-1].done_reason == "stop" and answers[-1].model == "assistant" and answers[-1].eval_count
    sent = fake.chats[-1]
    assert sent.path == "/api/generate" and "messages" not in sent.body
    assert (sent.body["prompt"], sent.body["system"]) == ("Capital of France?", "Be brief.")
    turn = latest(gateway)
    assert (turn.status, turn.reply) == ("whole", "Paris.")
    assert [(one.role, one.content) for one in turn.messages] == [
        ("system", "Be brief."), ("user", "Capital of France?"),
    ]  # fmt: skip
    rated = httpx.post(f"{gateway.url}/turns/{turn.turn_id}/ratings", json={"verdict": "up"})
    assert rated.status_code in (200, 201)


@pytest.mark.parametrize("more", [{"raw": True}, {"suffix": "end"}, {"template": "{{ .Prompt }}"}])
def test_a_bare_completion_is_kept_and_never_learnt_from(gateway, fake, client, more):
    fake.will_say(" upon a time")
    assert client.generate("assistant", "Once", **more).response == " upon a time"
    turn = latest(gateway)
    assert turn.status == "raw" and turn.reply == " upon a time"
    assert "out:raw" in admit(Candidate(turn, [], []), PoolSettings(min_tokens=1), now()).reasons
    assert {key: fake.chats[-1].body[key] for key in more} == more


def test_generate_with_an_image_thinking_and_format(gateway, fake, client):
    fake.will_say_lines(
        {"response": "", "thinking": "A cat?", "done": False},
        {"response": "{}", "done": False},
        {"response": ""} | LAST,
    )
    answer = client.generate("assistant", "What?", images=[PNG], think=True, format="json", keep_alive="10m")
    assert (answer.thinking, answer.response) == ("A cat?", "{}")
    sent = fake.chats[-1].body
    assert (sent["images"], sent["think"], sent["format"]) == ([base64.b64encode(PNG).decode()], True, "json")
    assert latest(gateway).attachments == [hashlib.sha256(PNG).hexdigest()]


def test_a_context_goes_round_and_a_strange_one_is_refused(gateway, fake, client):
    context = client.generate("assistant", "Hi").context
    client.generate("assistant", "And?", context=context)
    assert fake.chats[-1].body["context"] == list(context) and latest(gateway).status == "raw"
    with pytest.raises(ollama.ResponseError) as refused:
        client.generate("assistant", "And?", context=[1, 2, 3])
    assert refused.value.status_code == 400 and "context" in refused.value.error


def test_a_context_never_spells_out_what_the_filter_hid(fake, client):
    fake.will_say("The ", "secret")
    answer = client.generate("assistant", "Hi")
    assert answer.response == "The ******" and answer.context is None


@pytest.mark.parametrize(
    "more",
    [{"prompt": "a bomb"}, {"prompt": "x", "system": "a bomb"}, {"prompt": "x", "suffix": "a bomb"},
     {"prompt": "x", "template": "a bomb {{ .Prompt }}"}, {"prompt": "x", "whatever": ["a bomb"]}],
)  # fmt: skip
def test_a_word_that_blocks_anywhere_in_a_generation_is_not_sent(gateway, fake, more):
    asked = len(fake.chats)
    answer = httpx.post(f"{gateway.url}/api/generate", json={"model": "assistant", "stream": False, **more}).json()
    assert answer["done_reason"] == "content_filter" and "Sorry" in answer["response"]
    assert len(fake.chats) == asked and latest(gateway).status == "blocked"


@pytest.mark.parametrize("path", ["chat", "generate"])
def test_without_a_prompt_the_model_is_loaded_and_never_let_go(gateway, fake, path):
    turns = gateway.store.counts()["turns"]
    loaded = httpx.post(f"{gateway.url}/api/{path}", json={"model": "assistant"}).json()
    assert (loaded["model"], loaded["done"], loaded["done_reason"]) == ("assistant", True, "load")
    assert loaded["message" if path == "chat" else "response"] in ("", {"role": "assistant", "content": ""})
    asked = len(fake.chats)
    gone = httpx.post(f"{gateway.url}/api/{path}", json={"model": "assistant", "keep_alive": 0}).json()
    assert (gone["model"], gone["done"], gone["done_reason"]) == ("assistant", True, "unload")
    assert set(gone) == set(loaded) and len(fake.chats) == asked
    assert fake.library.is_loaded("assistant:1.0.0")
    assert gateway.store.counts()["turns"] == turns


@pytest.mark.parametrize(("keep_alive", "sent"), [(0, None), ("1s", None), ("30m", "30m"), (-1, -1)])
def test_a_keep_alive_that_would_unload_does_not_go_on(fake, client, keep_alive, sent):
    client.chat("assistant", ASK, keep_alive=keep_alive)
    assert fake.chats[-1].body.get("keep_alive") == sent
    with pytest.raises(ollama.ResponseError) as refused:
        client.chat("assistant", ASK, keep_alive="soon")
    assert refused.value.status_code == 400


def test_a_field_in_another_spelling_is_the_same_field(gateway, fake):
    """The upstream is written in Go, to which `Model` is `model`: no way round the alias, nor round the filter."""
    messages = [{"role": "user", "content": "Hi", "Content": "a secret"}]
    body = {"model": "nosuch", "Model": "assistant", "MESSAGES": messages, "Stream": False, "KEEP_alive": 0}
    assert httpx.post(f"{gateway.url}/api/chat", json=body).status_code == 200
    sent = fake.chats[-1].body
    assert sent == {"model": "assistant:1.0.0", "messages": [{"role": "user", "content": "a ******"}], "stream": True}
    call = {"Function": {"name": "f", "Arguments": {"secret": 1}}}
    body["MESSAGES"] = [{"role": "assistant", "tool_calls": [call]}, *messages]
    assert httpx.post(f"{gateway.url}/api/chat", json=body).status_code == 200
    assert "secret" not in json.dumps(fake.chats[-1].body)


def test_embeddings(gateway, fake, client):
    turns = gateway.store.counts()["turns"]
    answer = client.embed("embedder:1.0.0", ["hello", "a secret"], dimensions=3, truncate=True)
    assert answer.model == "embedder:1.0.0" and [len(one) for one in answer.embeddings] == [3, 3]
    assert fake.history[-1].body == {
        "model": "embedder:1.0.0", "input": ["hello", "a ******"], "dimensions": 3, "truncate": True,
    }  # fmt: skip
    assert len(client.embeddings("embedder:1.0.0", "hello").embedding) == 4
    with pytest.raises(ollama.ResponseError) as refused:
        client.embed("embedder:1.0.0", "a bomb")
    assert refused.value.status_code == 400
    with pytest.raises(ollama.ResponseError) as refused:
        client.embed("assistant", "hello")
    assert refused.value.status_code == 501 and "embeddings" in refused.value.error
    assert gateway.store.counts()["turns"] == turns


def test_a_client_that_leaves_stops_its_embeddings(gateway, fake, monkeypatch):
    monkeypatch.setattr(fake, "chunk_delay_s", 30)
    with pytest.raises(httpx.ReadTimeout):
        httpx.post(f"{gateway.url}/api/embed", json={"model": "embedder:1.0.0", "input": "x"}, timeout=0.3)
    seen = next(seen for seen in fake.history if seen.path == "/api/embed")
    fake.wait(lambda: seen.ended == "left", timeout_s=1)


def test_what_there_is(client):
    assert [model.model for model in client.list().models] == ["assistant:latest", "embedder:1.0.0"]
    shown = client.show("assistant")
    assert shown.template and "FROM assistant" in shown.modelfile and "1.0.0" not in shown.modelfile
    client.chat("assistant", ASK)
    assert "assistant:latest" in [model.model for model in client.ps().models]
    for call in (lambda: client.chat("nosuch", ASK), lambda: client.generate("nosuch", "x"), lambda: client.show("no")):
        with pytest.raises(ollama.ResponseError) as refused:
            call()
        assert refused.value.status_code == 404 and "not found" in refused.value.error


def test_management(fake, client, tmp_path):
    blob = tmp_path / "model.gguf"
    blob.write_bytes(b"GGUF" + b"\0" * 3_000_000)  # larger than any body that chats may have
    digest = client.create_blob(blob)
    assert digest in fake.library.blobs and client.create_blob(blob) == digest
    statuses = [one.status for one in client.create("mine", files={"model.gguf": digest}, stream=True)]
    assert statuses[-1] == "success" and "mine:latest" in fake.library.models
    assert client.copy("mine", "yours").status == "success" and "yours:latest" in fake.library.models
    assert client.delete("yours").status == "success" and "yours:latest" not in fake.library.models
    assert [one.status for one in client.pull("other", stream=True)] == ["pulling manifest", "success"]
    assert client.push("mine").status == "success"
    with pytest.raises(ollama.ResponseError) as refused:
        client.delete("yours")
    assert refused.value.status_code == 404


@pytest.mark.parametrize(
    "name",
    ["assistant:1.0.0", "ASSISTANT:1.0.0", "library/assistant:1.0.0", "registry.ollama.ai/library/assistant:1.0.0"],
)
def test_what_serves_may_not_be_changed(gateway, fake, client, name):
    for call in (
        lambda: client.delete(name), lambda: client.copy("embedder:1.0.0", name), lambda: client.pull(name),
        lambda: client.create(name, from_="embedder:1.0.0"),
    ):  # fmt: skip
        with pytest.raises(ollama.ResponseError) as refused:
            call()
        assert refused.value.status_code == 409
    spelt = httpx.request("DELETE", f"{gateway.url}/api/delete", json={"model": "mine", "Model": name})
    assert spelt.status_code == 409
    assert {seen.path for seen in fake.history} <= {"/api/tags"} and "assistant:1.0.0" in fake.library.models


async def test_the_async_client(fake, gateway):
    fake.will_say("Paris.")
    async with ollama.AsyncClient(gateway.url) as client:
        said = [part.response async for part in await client.generate("assistant", "Capital?", stream=True)]
        assert "".join(said) == "Paris."
        assert len((await client.embed("embedder:1.0.0", "x")).embeddings) == 1
        assert (await client.ps()).models
