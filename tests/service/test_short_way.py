"""The short way to the chat routes: it leads to the same answers as the long one, and a hang-up is heard on both."""

import json
import socket
import time

import httpx
import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from service.front import server
from service.front.short_way import ShortWay
from tests.fakes.gateway import RunningGateway
from tests.fakes.keys import bearer, make_key, operator_of
from tests.fakes.ollama import FakeOllama

ROUTES = {"/api/chat", "/api/generate", "/v1/chat/completions", "/v1/completions"}
ASK = {"model": "assistant", "messages": [{"role": "user", "content": "hi"}], "prompt": "hi", "stream": False}
BODIES = {
    "good": json.dumps(ASK).encode(),
    "no JSON": b"{",
    "no model": b"{}",
    "unknown model": json.dumps({**ASK, "model": "nobody"}).encode(),
    "too large": json.dumps({**ASK, "more": "x" * 4000}).encode(),
    "nothing": b"",
}


@pytest.fixture(scope="module")
def guarded(fake: FakeOllama, tmp_path_factory):
    with RunningGateway(
        tmp_path_factory.mktemp("guarded"), fake.url, keys="required", body_limit_bytes=3000, images_limit_bytes=0
    ) as running:
        yield running


@pytest.fixture
def without_hangups(monkeypatch, tmp_path, fake):
    """A gateway in a server whose connections don't tell of hang-ups."""
    monkeypatch.setattr(server, "Protocol", HttpToolsProtocol)
    with RunningGateway(tmp_path, fake.url) as running:
        yield running


def app_of(running: RunningGateway):
    assert running._server is not None
    return running._server.litestar


@pytest.fixture(scope="module")
def users(guarded):
    """Headers by what their key may do."""
    operator = operator_of(guarded.data_dir)
    made = {
        "user": make_key(guarded.url, operator, role="user")["token"],
        "rater": make_key(guarded.url, operator, role="user", scopes=["rate"])["token"],
    }
    return {"none": {}, "wrong": bearer(f"rk_{'0' * 32}_{'0' * 48}"), **{who: bearer(key) for who, key in made.items()}}


def test_the_chat_routes_are_reached_by_it_and_no_others(guarded):
    assert set(ShortWay(app_of(guarded))._routes) == ROUTES


@pytest.mark.parametrize("path", sorted(ROUTES))
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("key", ["none", "wrong", "user", "rater"])
def test_both_ways_give_the_same_answer(guarded, users, path, body, key):
    headers = {"content-type": "application/json", **users[key]}
    answers = {}
    for way, spelling in {"short": path, "long": path + "/"}.items():
        answer = httpx.post(guarded.url + spelling, content=BODIES[body], headers=headers)
        told = answer.json()
        shape = told if answer.status_code != 200 else sorted(told)
        answers[way] = (answer.status_code, shape, sorted(set(answer.headers) - {"date"}))
    assert answers["short"] == answers["long"]
    expected = {"none": 401, "wrong": 401, "rater": 403}.get(key)
    assert answers["short"][0] == (expected or {"good": 200, "unknown model": 404, "too large": 413}.get(body, 400))


@pytest.mark.parametrize("spelling", ["/api/chat", "/api/chat/", "/api/../api/chat", "//api//chat", "/%61pi/chat"])
def test_another_method_is_refused_on_both(guarded, users, spelling):
    assert httpx.get(guarded.url + "/api/chat", headers=users["user"]).status_code == 405
    host, port = guarded.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:  # httpx would mend the path
        client.sendall(f"POST {spelling} HTTP/1.1\r\nHost: {host}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        status = int(client.recv(65536).split()[1])
    assert status in (401, 404), "a spelling led past the guard"


@pytest.mark.parametrize("length", [10, 300_000])
@pytest.mark.parametrize("way", ["/api/chat", "/api/chat/"])
@pytest.mark.parametrize("which", ["gateway", "without_hangups"])
def test_a_hang_up_is_heard_on_every_way(request, fake, which, way, length):
    running = request.getfixturevalue(which)
    fake.will_stall("Paris is", " the")
    asked = {**ASK, "messages": [{"role": "user", "content": "x" * length}], "stream": True}
    data = json.dumps(asked).encode()
    host, port = running.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        head = f"POST {way} HTTP/1.1\r\nHost: {host}\r\nContent-Length: {len(data)}\r\n\r\n"
        client.sendall(head.encode() + data)
        said = b""
        while b" the" not in said:
            said += client.recv(65536)
        left_at = time.monotonic()
    fake.wait(lambda: bool(fake.chats) and fake.chats[0].ended == "left")
    assert fake.chats[0].ended_at - left_at < 0.4
