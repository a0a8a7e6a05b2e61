"""One key, one answer: for verdicts and chats, at once and after a restart, and for nobody else."""

import concurrent.futures
import time

import httpx
import pytest

from tests.fakes.gateway import RunningGateway

HELLO = [{"role": "user", "content": "Hi 你好"}]
OPENAI, OLLAMA = "/v1/chat/completions", "/api/chat"


def ask(gateway, key, path=OLLAMA, **changed):
    body = {"model": "assistant", "messages": HELLO, "stream": False, **changed}
    return httpx.post(f"{gateway.url}{path}", json=body, headers={"idempotency-key": key})


def code(answer):
    error = answer.json()
    return answer.status_code, error.get("code") or error["error"]["code"]


@pytest.mark.parametrize("path", [OLLAMA, OPENAI])
@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_is_asked_once_and_told_twice(gateway, fake, path, stream):
    key = f"chat {path} {stream}"
    first, second = (ask(gateway, key, path, stream=stream) for _ in range(2))
    assert len(fake.chats) == 1 and gateway.store.turn(first.headers["x-turn-id"])
    assert "idempotency-replayed" not in first.headers and second.headers["idempotency-replayed"] == "true"
    for name in ("x-turn-id", "x-model-version", "x-conversation-id", "content-type"):
        assert first.headers[name] == second.headers[name]
    if stream:
        assert "You said" in second.text and first.headers["x-turn-id"] in second.text
        assert second.text.endswith("data: [DONE]\n\n" if path == OPENAI else '"}\n')
    elif path == OLLAMA:
        assert second.json()["message"] == first.json()["message"]
        assert second.json()["eval_count"] == first.json()["eval_count"] and second.json()["done"]
    else:
        assert second.json()["choices"] == first.json()["choices"] and second.json()["usage"] == first.json()["usage"]


def test_thinking_and_calls_of_tools_are_told_again(gateway, fake):
    call = {"function": {"name": "look", "arguments": {"at": "港口"}}}
    said = {"role": "assistant", "content": "", "thinking": "Hm.", "tool_calls": [call]}
    fake.will_say_lines({"message": said, "done": False}, {"message": {"content": ""}, "done": True})
    first, second = (ask(gateway, "tools", tools=[]) for _ in range(2))
    assert len(fake.chats) == 1 and first.json()["message"]["tool_calls"][0]["function"]["name"] == "look"
    assert second.json()["message"] == first.json()["message"]


def test_another_request_with_the_key_is_refused(gateway, fake):
    turn_id = ask(gateway, "mine").json()["turn_id"]
    assert code(ask(gateway, "mine", messages=[{"role": "user", "content": "Else"}])) == (422, "idempotency-mismatch")
    assert code(ask(gateway, "mine", OPENAI)) == (422, "idempotency-mismatch")
    rated = httpx.post(f"{gateway.url}/turns/{turn_id}/ratings", json={}, headers={"idempotency-key": "mine"})
    assert code(rated) == (422, "idempotency-mismatch") and len(fake.chats) == 1


def test_while_the_first_is_under_way(gateway, fake, monkeypatch):
    monkeypatch.setattr(fake, "chunk_delay_s", 0.15)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(ask, gateway, "slow")
        fake.wait(lambda: bool(fake.chats))
        assert code(ask(gateway, "slow")) == (409, "idempotency-busy")
        assert code(ask(gateway, "slow", stream=True)) == (422, "idempotency-mismatch")
        assert first.result().status_code == 200
    assert ask(gateway, "slow").headers["idempotency-replayed"] == "true" and len(fake.chats) == 1


def test_what_failed_is_no_answer(gateway, fake):
    fake.will_fail(500, "boom")
    fake.will_break_after("half")
    assert [ask(gateway, "again").status_code for _ in range(3)] == [502, 502, 200] and len(fake.chats) == 3
    fake.will_stall("never")
    with pytest.raises(httpx.ReadTimeout):
        body = {"model": "assistant", "messages": HELLO, "stream": False}
        httpx.post(f"{gateway.url}{OLLAMA}", json=body, headers={"idempotency-key": "left"}, timeout=0.2)
    deadline = time.monotonic() + 5
    while (answer := ask(gateway, "left")).status_code == 409 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert answer.status_code == 200 and "idempotency-replayed" not in answer.headers


def test_verdicts_are_stored_once(gateway, fake):
    turn_id = ask(gateway, "rated").json()["turn_id"]
    for kind, body in (
        ("ratings", {"verdict": "up"}),
        ("annotations", {"annotator": "a", "accuracy": 4, "fluency": 3}),
    ):
        url, headers = f"{gateway.url}/turns/{turn_id}/{kind}", {"idempotency-key": f"a {kind}"}
        first, second = (httpx.post(url, json=body, headers=headers) for _ in range(2))
        assert (first.status_code, second.status_code) == (201, 201) and first.json() == second.json()
        assert second.headers["idempotency-replayed"] == "true" and "idempotency-replayed" not in first.headers
        assert len(httpx.get(f"{gateway.url}/turns/{turn_id}").json()[kind]) == 1
        httpx.post(url, json=body).raise_for_status()
        assert len(httpx.get(f"{gateway.url}/turns/{turn_id}").json()[kind]) == 2


def test_two_at_once_store_one(gateway, fake):
    turn_id = ask(gateway, "race").json()["turn_id"]
    url = f"{gateway.url}/turns/{turn_id}/ratings"

    def rate(_):
        return httpx.post(url, json={"verdict": "up"}, headers={"idempotency-key": "raced"}).status_code

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        statuses = set(pool.map(rate, range(16)))
    assert statuses <= {201, 409} and 201 in statuses and len(gateway.store.ratings(turn_id)) == 1


def test_keys_hold_over_a_restart(fake, tmp_path):
    with RunningGateway(tmp_path, fake.url) as gateway:
        first = ask(gateway, "kept").json()
        rate = {"url": f"/turns/{first['turn_id']}/ratings", "json": {"stars": 5}, "headers": {"idempotency-key": "r"}}
        with httpx.Client(base_url=gateway.url) as client:
            rating = client.post(**rate).json()
    with RunningGateway(tmp_path, fake.url) as gateway:
        assert ask(gateway, "kept").json()["message"] == first["message"] and len(fake.chats) == 1
        with httpx.Client(base_url=gateway.url) as client:
            assert client.post(**rate).json() == rating
        assert len(gateway.store.ratings(first["turn_id"])) == 1


@pytest.mark.parametrize("key", ["", "a" * 256, b"\xc3\xa9", "a\tb"])
def test_a_key_that_is_none(gateway, fake, key):
    body = {"model": "assistant", "messages": HELLO}
    answer = httpx.post(f"{gateway.url}{OLLAMA}", json=body, headers={b"idempotency-key": key})
    assert code(answer) == (400, "invalid-input") and not fake.chats


def test_what_is_not_recorded_is_asked_again(gateway, fake):
    assert [ask(gateway, "private", store=False).status_code for _ in range(2)] == [200, 200]
    assert len(fake.chats) == 2
