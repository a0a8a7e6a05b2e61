"""Request ids, access lines and what of a trace goes on to the upstream."""

import contextvars
import json
import re

import httpx
import pytest

from service.observing.calls import Calls, current_call
from tests.fakes.gateway import set_alias
from tests.fakes.gateway_process import GatewayProcess
from tests.fakes.rows import a_turn

ASK = {"model": "assistant", "messages": [{"role": "user", "content": "机密的话"}], "stream": False}


def test_an_id_is_minted_or_taken_over_and_sent_back_with_every_answer(gateway, fake):
    minted = httpx.get(f"{gateway.url}/health").headers["x-request-id"]
    assert re.fullmatch("call-[0-9a-f]{32}", minted)
    for path, status in (("/health", 200), ("/nosuch", 404), ("/turns/none", 404), ("/turns?limit=0", 400)):
        answer = httpx.get(gateway.url + path, headers={"x-request-id": "mine:7.a_b-c"})
        assert (answer.status_code, answer.headers["x-request-id"]) == (status, "mine:7.a_b-c")
    answer = httpx.request("DELETE", f"{gateway.url}/health", headers={"x-request-id": "mine"})
    assert (answer.status_code, answer.headers["x-request-id"]) == (405, "mine")
    answer = httpx.post(f"{gateway.url}/api/chat", json={**ASK, "stream": True}, headers={"x-request-id": "mine"})
    assert answer.headers["x-request-id"] == "mine"


@pytest.mark.parametrize("given", ["", "a" * 129, "a b", 'a"b', "-a", "a,b", b"\xc3\xa9"])
def test_an_id_that_could_forge_a_line_is_replaced(gateway, given):
    answer = httpx.get(f"{gateway.url}/health", headers={b"x-request-id": given})
    assert answer.headers["x-request-id"].startswith("call-")


def test_each_line_of_a_request_carries_its_id_and_none_its_text(tmp_path, fake):
    set_alias(tmp_path)
    words = tmp_path / "words.txt"
    words.write_text("机密\n")
    fake.will_fail(500, "机密 boom")
    with GatewayProcess(tmp_path, fake.url, words_file=words) as gateway:
        for name in ("first", "second"):
            httpx.post(f"{gateway.url}/api/chat", json=ASK, headers={"x-request-id": name})
        httpx.get(f"{gateway.url}/turns/秘密", headers={"x-request-id": "third"})
        _, lines = gateway.terminate()
    found = [json.loads(line) for line in lines]
    assert {line["call"] for line in found if line["event"] == "word-hit"} >= {"first", "second"}
    access = {line["call"]: line for line in found if line["event"] == "request"}
    assert (access["first"]["status"], access["second"]["status"], access["third"]["status"]) == (502, 200, 404)
    assert access["second"].items() >= {"route": "/api/chat", "version": "1.0.0", "turn_status": "whole"}.items()
    assert access["second"]["turn"].startswith("turn-") and access["second"]["ms"] >= access["second"]["upstream_ms"]
    assert access["third"]["route"] == "/turns/{turn_id}"
    assert not [line for line in lines if "机密" in line or "秘密" in line or "boom" in line]


async def test_whatever_outlives_a_call_in_its_context_does_not_keep_its_text():
    kept = []

    async def app(scope, receive, send):
        current_call().became(a_turn(reply="x" * 1000), recorded=True)
        kept.append(contextvars.copy_context())  # as an upstream connection's transport does

    class Watcher:
        turns = []

        def over(self, call):
            self.turns.append(call.turn)

    watcher = Watcher()
    await Calls(app, watcher)({"type": "http", "method": "GET", "path": "/", "headers": []}, None, None)
    assert watcher.turns[0].reply == "x" * 1000
    assert kept[0].run(current_call).turn is None
