"""Bad input in each dialect: the right status, and one body shape with a code, a sentence and a mend."""

import json

import httpx
import ollama
import openai
import pytest

from tests.fakes.gateway import RunningGateway

CHATS = {"ollama": "/api/chat", "openai": "/v1/chat/completions"}
ASK = [{"role": "user", "content": "Hi"}]
DIALECTS = pytest.mark.parametrize("dialect", ["ollama", "openai"])


def told(dialect: str, answer: httpx.Response) -> tuple[int, str]:
    """Status and code, once the body is seen to have the dialect's one shape."""
    body = answer.json()
    assert answer.headers["content-type"].startswith("application/json")
    match dialect:
        case "ollama":
            assert set(body) == {"error", "code", "mend"}
            sentence, code, mend = body["error"], body["code"], body["mend"]
        case "openai":
            assert set(body) == {"error"} and set(body["error"]) == {"message", "type", "param", "code", "mend"}
            sentence, code, mend = body["error"]["message"], body["error"]["code"], body["error"]["mend"]
        case _:
            assert set(body) == {"error"} and set(body["error"]) == {"code", "message", "mend"}
            code, mend = body["error"]["code"], body["error"]["mend"]
            sentence = f"{body['error']['message']} {mend}"
    assert mend and sentence.endswith(mend) and len(sentence) > len(mend) + 5
    return answer.status_code, code


def chat(gateway, dialect, **body):
    return httpx.post(
        gateway.url + CHATS[dialect], json={"model": "assistant", "messages": ASK, "stream": False, **body}
    )


@DIALECTS
def test_unknown_alias_lists_the_known_ones(gateway, fake, dialect):
    answer = chat(gateway, dialect, model="nosuch")
    assert told(dialect, answer) == (404, "unknown-alias")
    assert "'nosuch'" in answer.text and "Known names: assistant." in answer.text
    assert fake.chats == []


@DIALECTS
@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b'"x"', b"[" * 100_000, b'{"messages": []}',
        b'{"model": "assistant", "messages": "x"}',
        b'{"model": 5, "messages": [{"role": "user", "content": "x"}]}',
        b'{"model": "assistant", "messages": [{"role": "user", "content": 5}]}',
        b'{"model": "assistant", "messages": [{"content": "x"}]}', b'{"model": "assistant", "messages": ["x"]}',
        b'{"model": "assistant", "messages": [{"role": "user", "content": "x"}], "stream": "yes"}',
        b'{"model": "assistant", "messages": [{"role": "user", "content": "\xff"}]}',
        b'{"model": "assistant", "messages": [{"role": "user", "content": "\\ud800"}]}',
        b'{"model": NaN, "messages": []}',
    ],
)  # fmt: skip
def test_malformed_bodies(gateway, fake, dialect, body):
    assert told(dialect, httpx.post(gateway.url + CHATS[dialect], content=body)) == (400, "malformed-body")
    assert fake.chats == []


@DIALECTS
def test_a_body_over_the_limit(gateway, dialect):
    url, limit = gateway.url + CHATS[dialect], gateway.gateway.body_limit_bytes
    body = json.dumps({"model": "assistant", "messages": [{"role": "user", "content": "x" * limit}]}).encode()
    assert told(dialect, httpx.post(url, content=body)) == (413, "body-too-large")
    pieces = (
        body[start : start + 65536] for start in range(0, len(body), 65536)
    )  # chunked: no content-length to go by
    assert told(dialect, httpx.post(url, content=pieces)) == (413, "body-too-large")


@DIALECTS
def test_a_body_just_under_the_limit_is_answered(gateway, fake, dialect):
    fake.will_say("Long.")
    assert chat(gateway, dialect, messages=[{"role": "user", "content": "字" * 340_000}]).status_code == 200


def test_what_this_release_can_not_do_is_refused_clearly(gateway, fake):
    def part(**part: object) -> list[dict[str, object]]:
        return [{"role": "user", "content": [part]}]

    for body in (
        {"n": 2}, {"logit_bias": {"1": 1}}, {"functions": [{}]}, {"tool_choice": "required"},
        {"tool_choice": {"type": "function", "function": {"name": "f"}}}, {"tools": [{"type": "web_search"}]},
        {"response_format": {"type": "xml"}},
        {"messages": part(type="image_url", image_url={"url": "data:,"})},
        {"messages": part(type="image_url", image_url={"url": "https://pictures.example/cat.png"})},
        {"messages": part(type="image_url", image_url={"url": "file:///etc/passwd"})},
        {"messages": part(type="image_url", image_url={"url": "data:image/png;base64,aGk="})},
        {"messages": part(type="input_audio", input_audio={"data": "", "format": "wav"})},
    ):  # fmt: skip
        assert told("openai", chat(gateway, "openai", **body)) == (400, "unsupported"), body
    for body in (
        {"reasoning_effort": "lots"}, {"tools": [{"type": "function"}]}, {"logprobs": True, "top_logprobs": 21},
        {"response_format": {"type": "json_schema"}}, {"messages": part(type="image_url")},
        {"messages": part(type="image_url", image_url={"url": "data:image/png;base64,?"})},
        {"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{"}}]}]},
    ):  # fmt: skip
        assert told("openai", chat(gateway, "openai", **body)) == (400, "malformed-body"), body
    images = [{"role": "user", "content": "x", "images": ["aGk="]}]
    assert told("ollama", chat(gateway, "ollama", messages=images)) == (400, "unsupported")
    assert fake.chats == []


@pytest.mark.parametrize("given", ["x" * 129, "a\tb"])
def test_a_conversation_id_that_is_none(gateway, given):
    answer = httpx.post(
        gateway.url + "/api/chat", json={"model": "assistant", "messages": ASK}, headers={"X-Conversation-Id": given}
    )
    assert told("ollama", answer) == (400, "malformed-body")


@pytest.mark.parametrize(
    ("path", "speech"), [("/api/x", "ollama"), ("/v1/x", "openai"), ("/x", "ours"), ("/page/x", "ours")]
)
def test_unknown_routes_and_wrong_methods(gateway, path, speech):
    assert told(speech, httpx.get(gateway.url + path)) == (404, "unknown-route")


@pytest.mark.parametrize(
    ("path", "speech"), [("/api/chat", "ollama"), ("/v1/chat/completions", "openai"), ("/pool", "ours")]
)
def test_wrong_methods(gateway, path, speech):
    answer = httpx.delete(gateway.url + path)
    assert told(speech, answer) == (405, "method-not-allowed") and answer.headers["allow"]


@DIALECTS
def test_no_upstream(tmp_path, dialect):
    with RunningGateway(tmp_path, "http://127.0.0.1:9", connect_timeout_s=1) as alone:
        answer = chat(alone, dialect)
        assert told(dialect, answer) == (503, "upstream-down") and answer.headers["retry-after"] == "5"
        assert chat(alone, dialect, stream=True).status_code == 503  # before the first byte, so with its own status
        assert alone.store.counts()["turns"] == 0
        unready = httpx.get(alone.url + "/ready")
        assert unready.status_code == 503
        parts = unready.json()["parts"]
        assert parts["store"]["ready"] and parts["upstream"]["code"] == "upstream-down"
        assert httpx.get(alone.url + "/health").status_code == 200


@DIALECTS
def test_no_alias_yet(tmp_path, fake, dialect):
    (tmp_path / "alias.json").write_text('{"aliases": {}}')
    with RunningGateway(tmp_path, fake.url) as young:
        answer = chat(young, dialect)
        assert told(dialect, answer) == (404, "unknown-alias") and "none yet" in answer.text
        assert httpx.get(young.url + "/ready").json()["parts"]["alias"]["code"] == "unknown-alias"
        (tmp_path / "alias.json").write_text("{")
        answer = chat(young, dialect)
        assert told(dialect, answer) == (503, "alias-corrupt")


@DIALECTS
@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        (404, "model 'assistant:1.0.0' not found", 502),
        (500, "EOF", 502),
        (400, "invalid option", 400),
        (429, "busy", 429),
    ],
)
def test_an_upstream_that_refuses_is_told_with_its_reason(gateway, fake, dialect, status, error, expected):
    for stream in (False, True):
        fake.will_fail(status, error)
        answer = chat(gateway, dialect, stream=stream)
        assert told(dialect, answer) == (expected, "upstream-refused") and error in answer.text


def test_the_official_clients_read_our_errors(gateway, fake):
    with ollama.Client(gateway.url) as client, pytest.raises(ollama.ResponseError) as refused:
        client.chat("nosuch", ASK)
    assert refused.value.status_code == 404 and refused.value.error.startswith("model 'nosuch' not found.")
    with (
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as client,
        pytest.raises(openai.NotFoundError) as missing,
    ):
        client.chat.completions.create(model="nosuch", messages=ASK)
    assert missing.value.code == "unknown-alias" and missing.value.type == "not_found_error"


def test_an_unforeseen_failure_tells_nobody_what_people_wrote(gateway, fake, monkeypatch, caplog):
    def explode(*_):
        raise ValueError("secret words of a person")

    monkeypatch.setattr("service.chat.ollama.read", explode)
    monkeypatch.setattr("service.chat.openai.read", explode)
    for dialect in CHATS:
        answer = chat(gateway, dialect)
        assert told(dialect, answer) == (500, "internal") and "secret" not in answer.text
    assert "unforeseen" in caplog.text and "secret" not in caplog.text
    assert [record.fields["type"] for record in caplog.records if record.message == "unforeseen"] == ["ValueError"] * 2
