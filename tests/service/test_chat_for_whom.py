"""What depends on whose key a request came with: whose turn it is, how long a model stays, who manages models."""

from __future__ import annotations

import hashlib
import socket
import time

import httpx
import pytest

from tests.fakes.gateway import RunningGateway
from tests.fakes.keys import bearer, make_key, operator_of
from tests.fakes.ollama import FakeOllama

ASK = [{"role": "user", "content": "Hi"}]
MANAGED = [
    ("POST", "/api/create", {"model": "mine", "from": "assistant:1.0.0"}), ("POST", "/api/pull", {"model": "mine"}),
    ("POST", "/api/push", {"model": "mine"}),
    ("POST", "/api/copy", {"source": "assistant:1.0.0", "destination": "mine"}),
    ("DELETE", "/api/delete", {"model": "assistant:1.0.0"}), ("HEAD", f"/api/blobs/sha256:{'0' * 64}", None),
    ("POST", f"/api/blobs/sha256:{'0' * 64}", None),
]  # fmt: skip


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    folder = tmp_path_factory.mktemp("guarded")
    with (
        FakeOllama() as fake,
        FakeOllama(models=["other:1"]) as second,
        RunningGateway(folder, fake.url, keys="required", upstream_urls=[fake.url, second.url]) as gateway,
    ):
        operator = operator_of(folder)
        user = bearer(make_key(gateway.url, operator, subject="mei")["token"])
        yield gateway, fake, second, operator, user


@pytest.mark.parametrize(
    ("path", "body"),
    [("/api/chat", {"messages": ASK}), ("/api/generate", {"prompt": "Hi"}), ("/v1/completions", {"prompt": "Hi"}),
     ("/v1/chat/completions", {"messages": ASK})],
)  # fmt: skip
def test_a_turn_is_its_keys_owners_whomever_the_client_names(guarded, path, body):
    gateway, _, _, operator, user = guarded
    asked = {"model": "assistant", "user": "li", "stream": False, **body}
    for key, subject in ((user, "mei"), (operator, "li" if path.startswith("/v1") else "")):
        answer = httpx.post(gateway.url + path, json=asked, headers=key)
        assert gateway.store.turn(answer.headers["x-turn-id"]).subject == subject


def test_only_an_operator_says_how_long_a_model_stays(guarded):
    gateway, fake, _, operator, user = guarded
    for key, sent in ((user, None), (operator, "30m")):
        asked = {"model": "assistant", "messages": ASK, "keep_alive": "30m"}
        assert httpx.post(f"{gateway.url}/api/chat", json=asked, headers=key).status_code == 200
        assert fake.chats[-1].body.get("keep_alive") == sent
        assert httpx.post(f"{gateway.url}/api/chat", json={**asked, "messages": []}, headers=key).status_code == 200
        assert fake.chats[-1].body.get("keep_alive") == sent


@pytest.mark.parametrize(("method", "path", "body"), MANAGED)
def test_management_is_for_operators_only(guarded, method, path, body):
    gateway, fake, second, _, user = guarded
    before = len(fake.history) + len(second.history)
    for key, status in ((user, 403), ({}, 401)):
        answer = httpx.request(method, gateway.url + path, json=body, headers=key)
        assert answer.status_code == status
        assert method == "HEAD" or isinstance(answer.json()["error"], str)
    seen = [one.path for one in (*fake.history, *second.history)][before:]
    assert path not in seen


def test_an_operator_chooses_the_host(guarded):
    gateway, fake, second, operator, _ = guarded
    for number, host in (("", fake), ("1", second)):
        headers = {**operator, **({"x-upstream-host": number} if number else {})}
        assert httpx.post(f"{gateway.url}/api/pull", json={"model": f"new{number}"}, headers=headers).status_code == 200
        assert f"new{number}:latest" in host.library.models
    for number in ("2", "-1", "x", "٣", "9" * 9):
        headers = {**operator, "x-upstream-host": number.encode()}
        answer = httpx.post(f"{gateway.url}/api/pull", json={"model": "mine"}, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid-input")


@pytest.mark.parametrize(
    "digest", ["sha256:1", "md5:" + "0" * 64, "..%2f..%2fapi%2fdelete", "sha256:" + "0" * 63 + "%0a"]
)
def test_what_is_no_digest_goes_nowhere(guarded, digest):
    gateway, fake, second, operator, _ = guarded
    before = len(fake.history) + len(second.history)
    answer = httpx.post(f"{gateway.url}/api/blobs/{digest}", content=b"x", headers=operator)
    assert answer.status_code in (400, 404)
    assert [seen for seen in [*fake.history, *second.history][before:] if "blobs" in seen.path] == []


def test_a_blob_is_passed_on_piece_by_piece_and_a_cut_one_is_not_kept(guarded):
    """The upstream has the beginning before the client has sent the end; what is cut never arrives as a whole."""
    gateway, fake, _, operator, _ = guarded
    data = b"GGUF" + bytes(range(256)) * 4096
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    seen_at = []

    def pieces():
        yield data[:1000]
        fake.wait(lambda: any(seen.method == "POST" and digest in seen.path for seen in fake.history))
        seen_at.append(time.monotonic())
        yield data[1000:]

    answer = httpx.post(f"{gateway.url}/api/blobs/{digest}", content=pieces(), headers=operator)
    assert answer.status_code == 201 and seen_at and fake.library.blobs[digest] == data
    assert httpx.head(f"{gateway.url}/api/blobs/{digest}", headers=operator).status_code == 200

    other = data + b"more"
    cut = f"sha256:{hashlib.sha256(other).hexdigest()}"
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        lines = [f"POST /api/blobs/{cut} HTTP/1.1", f"Host: {host}:{port}", f"Content-Length: {len(other)}"]
        lines += [f"Authorization: {operator['authorization']}", "", ""]
        client.sendall("\r\n".join(lines).encode() + other[:5000])
        fake.wait(lambda: any(seen.method == "POST" and cut in seen.path for seen in fake.history))
    fake.wait(lambda: [seen for seen in fake.history if cut in seen.path and seen.method == "POST"][-1].ended_at > 0)
    assert cut not in fake.library.blobs
    assert httpx.get(f"{gateway.url}/health").status_code == 200
