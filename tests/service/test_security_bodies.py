"""Bodies that are too large or too deep, values that would break out of a header, and keys that must be in no log."""

from __future__ import annotations

import logging
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from litestar.routes import HTTPRoute

from feedback.operator_key import FILE_NAME
from service.observing.logs import JsonLines
from tests.fakes.gateway import RunningGateway
from tests.fakes.keys import bearer, make_key, operator_of
from tests.fakes.ollama import FakeOllama

DEEP = 200_000
CHAT = {"model": "assistant", "messages": [{"role": "user", "content": "hi"}], "stream": False}
LARGE_MAY_BE = ("/tokenizers/", "/snapshots", "/blobs/")
"""What takes files, with limits of their own."""


@pytest.fixture(scope="module")
def guarded(fake: FakeOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder: Path = tmp_path_factory.mktemp("guarded")
    with RunningGateway(
        folder, fake.url, keys="required", body_limit_bytes=300_000, words_dir=str(folder), log_level="debug"
    ) as running:
        yield running


def changing(running: RunningGateway) -> list[tuple[str, str]]:
    """Every route that takes a body."""
    assert running._server is not None
    found = []
    for route in running._server.litestar.routes:
        assert isinstance(route, HTTPRoute)
        path = re.sub(r"\{\w+:\w+\}", "0" * 64, route.path)
        found += [(method, path) for method in sorted({"POST", "PUT", "PATCH"} & set(route.methods))]
    assert len(found) > 10
    return found


def nested(kind: str) -> bytes:
    """JSON that a parser which recurses has no stack for."""
    deep = {"arrays": b"[" * DEEP + b"]" * DEEP, "objects": b'{"a":' * (DEEP // 6) + b"1" + b"}" * (DEEP // 6)}
    inside = b"[" * (DEEP // 2) + b"]" * (DEEP // 2)
    deep["a field"] = b'{"model":"assistant","messages":[{"role":"user","content":"x"}],"tools":' + inside + b"}"
    deep["half"] = b"[" * DEEP
    return deep[kind]


@pytest.mark.parametrize("kind", ["arrays", "objects", "a field", "half"])
def test_deep_nesting_is_the_senders_mistake_and_never_ours(guarded, kind):
    wrong = []
    with httpx.Client(base_url=guarded.url, headers=operator_of(guarded.data_dir), timeout=30) as client:
        for method, path in changing(guarded):
            body = nested(kind)[:290_000] if kind == "half" else nested(kind)
            headers = {"content-type": "application/json"}
            status = client.request(method, path, content=body[:299_999], headers=headers).status_code
            if status >= 500:
                wrong.append((method, path, status))
        assert client.get("/health").status_code == 200
    assert not wrong


def test_a_deep_body_in_a_chat_is_said_to_be_one(guarded):
    for path in ("/api/chat", "/v1/chat/completions"):
        answer = httpx.post(guarded.url + path, content=nested("objects"), headers=operator_of(guarded.data_dir))
        assert answer.status_code == 400 and "malformed-body" in answer.text


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_over_the_limit_is_refused_wherever_it_goes(guarded, chunked):
    large = b'{"a": "' + b"x" * 400_000 + b'"}'
    with httpx.Client(base_url=guarded.url, headers=operator_of(guarded.data_dir), timeout=30) as client:
        for method, path in changing(guarded):
            if any(part in path for part in LARGE_MAY_BE):
                continue
            content = iter([large[:200_000], large[200_000:]]) if chunked else large
            answer = client.request(method, path, content=content, headers={"content-type": "application/json"})
            takes_none = answer.status_code < 300  # a route that reads no body has nothing to refuse
            assert answer.status_code in (400, 404, 409, 413) or takes_none, (method, path, answer.status_code)
        assert [client.post(path, content=large).status_code for path in ("/keys", "/words/check")] == [413, 413]
        long_chat = {"model": "assistant", "messages": [{"role": "user", "content": "x" * 400_000}]}
        for path in ("/api/chat", "/v1/chat/completions"):
            assert client.post(path, json=long_chat).status_code == 413


def test_nobody_without_a_key_makes_the_gateway_read_a_body(guarded):
    large = b"x" * 400_000
    assert httpx.post(guarded.url + "/api/chat", content=large).status_code == 401


def answered(url: str, head: str, body: bytes = b"") -> str:
    """The head of the answer to these very bytes."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(head.encode("latin-1") + b"\r\n\r\n" + body)
        answer = b""
        while b"\r\n\r\n" not in answer and (more := connection.recv(65536)):
            answer += more
    return answer.split(b"\r\n\r\n")[0].decode("latin-1").lower()


@pytest.mark.parametrize(
    "value",
    ["a%0d%0aset-cookie: evil=1", "a\\r\\nset-cookie: evil=1", "a\r\n set-cookie: evil=1", "a\rset-cookie: evil=1",
     "a\nset-cookie: evil=1", "a\u0085set-cookie: evil=1", "a\x00b", "a\x0bset-cookie: evil=1",
     "\xe5\x98\x8d\xe5\x98\x8aset-cookie: evil=1"],
)  # fmt: skip
@pytest.mark.parametrize(
    "name", ["X-Conversation-Id", "X-Request-Id", "traceparent", "Idempotency-Key", "Origin", "Cookie"]
)
def test_no_value_that_comes_back_in_a_header_makes_another_header(guarded, name, value):
    body = msgspec.json.encode(CHAT)
    key = (guarded.data_dir / FILE_NAME).read_text().strip()
    head = answered(
        guarded.url,
        f"POST /api/chat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {key}\r\n"
        f"{name}: {value}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}",
        body,
    )
    assert head.startswith("http/1.1 ") and not re.search(r"^set-cookie:", head, re.M)
    assert "\r" not in head.replace("\r\n", "") and "\x00" not in head


def test_a_models_name_and_a_path_make_no_header_either(guarded):
    operator = operator_of(guarded.data_dir)
    evil = "assistant\r\nset-cookie: evil=1"
    answers = [
        httpx.post(guarded.url + "/api/chat", json={**CHAT, "model": evil}, headers=operator),
        httpx.get(guarded.url + "/v1/models/a%0d%0aset-cookie:%20evil=1", headers=operator),
        httpx.get(guarded.url + "/turns/a%0d%0aset-cookie:%20evil=1", headers=operator),
        httpx.put(guarded.url + "/a%0d%0aset-cookie:%20evil=1", headers=operator),
    ]
    for answer in answers:
        assert 400 <= answer.status_code < 500 and "set-cookie" not in answer.headers


def test_no_key_and_no_session_is_in_any_log(fake, tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    with RunningGateway(tmp_path, fake.url, keys="required", log_level="debug") as running:
        operator = operator_of(tmp_path)
        user = make_key(running.url, operator, role="user")["token"]
        wrong = user[:-8] + "0badbad0"
        expiring = make_key(running.url, operator, role="user")
        httpx.delete(f"{running.url}/keys/{expiring['key']['key_id']}", headers=operator)
        shown = [operator["authorization"].split()[1], user, wrong, expiring["token"]]
        answers = []
        with httpx.Client(base_url=running.url) as client:
            for token in shown:
                for headers in (bearer(token), {"x-api-key": token}, {"authorization": token}):
                    answers += [
                        client.post("/api/chat", json=CHAT, headers=headers),
                        client.get("/keys", headers=headers),
                    ]
                answers += [
                    client.get(f"/v1/models?api_key={token}"),
                    client.get(f"/keys/{token}"),
                    client.delete(f"/keys/{token}", headers=operator),
                    client.get(f"/turns/{token}", headers=operator),
                    client.post("/login", content=f'{{"key": "{token}"', headers={"content-type": "application/json"}),
                    client.post("/login", json={"key": token, token: 1}),
                    client.post("/login", json={"key": token}),
                    client.post("/keys", json={"role": token}, headers=operator),
                    client.post("/keys", content=b"[" * 100_000, headers=operator),
                ]
            sessions = [client.cookies.get("ratchet_session"), client.cookies.get("ratchet_csrf")]
        fake.will_break_after("Paris is")
        answers.append(httpx.post(running.url + "/api/chat", json=CHAT, headers=operator))
    assert {200, 400, 401, 403, 404, 405} <= {answer.status_code for answer in answers}
    assert all(sessions)
    ours = [one for one in caplog.records if one.name.partition(".")[0] not in ("httpx", "httpcore")]  # the test's own
    lines = [JsonLines().format(record) for record in ours] + [logging.Formatter().format(record) for record in ours]
    assert len(lines) > 50
    secrets = [token.rsplit("_", 1)[1] for token in shown] + [text for text in sessions if text]
    assert not [secret for secret in secrets for line in lines if secret in line]
    told = [answer.text for answer in answers if answer.status_code in (401, 403, 405)]
    assert told and not [secret for secret in secrets for text in told if secret in text]


def test_a_record_is_one_line_whatever_stands_in_it() -> None:
    text = "a\u0085b\u2028c\u2029d\x7f\x9be\nf"
    record = logging.makeLogRecord({"name": "x", "levelname": "ERROR", "msg": "seen", "fields": {"message": text}})
    line = JsonLines().format(record)
    assert len(line.splitlines()) == 1
    assert msgspec.json.decode(line)["message"] == text
