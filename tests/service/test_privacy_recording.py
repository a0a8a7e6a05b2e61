"""What is not recorded leaves nothing but counts: no turn, no id, no text in a log."""

from __future__ import annotations

import logging

import httpx
import pytest

from service.callers import Caller
from service.chat.asked import Asked
from service.recording import recorded, refuses
from service.settings import GatewaySettings
from tests.fakes.gateway import RunningGateway, set_alias
from tests.fakes.ollama import FakeOllama

SECRET = "geheim-秘密 badword"
ASK = [{"role": "user", "content": SECRET}]


def chat(gateway, path="/api/chat", *, model="assistant", headers=None, **body):
    body = {"model": model, "messages": ASK, "stream": False} | body
    return httpx.post(f"{gateway.url}{path}", json=body, headers=headers)


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    file = tmp_path_factory.mktemp("words") / "words.txt"
    file.write_text("badword\n", "utf-8")
    return file


@pytest.fixture(scope="module")
def gateway(words, tmp_path_factory):
    with FakeOllama(models=["assistant:1.0.0", "private:1.0.0"]) as fake:
        data = tmp_path_factory.mktemp("data")
        set_alias(data)
        with RunningGateway(
            data, fake.url, log_level="info", words_file=str(words), words_log_text=True,
            unrecorded_aliases=["private"],
        ) as running:  # fmt: skip
            yield running


@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("how", ["body", "header"])
def test_an_exchange_that_is_not_recorded_leaves_nothing_but_counts(gateway, caplog, path, stream, how):
    before, hits = gateway.store.counts()["turns"], gateway.state.parts.words.statistics.report(5).hits
    said = {"store": False} if how == "body" else {}
    headers = {"x-store": "False"} if how == "header" else {}
    with caplog.at_level(logging.INFO):
        answer = chat(gateway, path, stream=stream, headers=headers, **said)
    assert answer.status_code == 200 and "said" in answer.text
    assert "x-turn-id" not in answer.headers and "turn_id" not in answer.text
    assert gateway.store.counts()["turns"] == before
    assert gateway.state.parts.words.statistics.report(5).hits > hits
    logged = " ".join(str(record.__dict__) for record in caplog.records)
    assert "badword" not in logged and "秘密" not in logged and "word-hit" not in logged and "turn-" not in logged


def test_a_recorded_one_beside_it_is_stored_and_logged(gateway, caplog):
    with caplog.at_level(logging.INFO):
        answer = chat(gateway)
    turn = gateway.store.turn(answer.headers["x-turn-id"])
    assert answer.json()["turn_id"] == turn.turn_id
    assert "word-hit" in " ".join(record.getMessage() for record in caplog.records)


def test_an_unrecorded_alias(gateway):
    served = gateway.data_dir / "alias.json"
    both = served.read_text().replace('"assistant": {', '"private": {', 1).replace("assistant:1.0.0", "private:1.0.0")
    served.write_text(both)
    before = gateway.store.counts()["turns"]
    try:
        assert "x-turn-id" not in chat(gateway, model="private:latest").headers
    finally:
        set_alias(gateway.data_dir)
    assert gateway.store.counts()["turns"] == before
    assert "x-turn-id" in chat(gateway).headers


def test_a_client_that_leaves_an_unrecorded_stream_leaves_no_cut_turn(gateway):
    before = gateway.store.counts()["turns"]
    with httpx.stream(
        "POST", f"{gateway.url}/api/chat", json={"model": "assistant", "messages": ASK, "store": False}
    ) as answer:
        next(answer.iter_raw(1))
    assert "x-turn-id" in chat(gateway).headers  # whatever the first one left has been written before this one
    assert gateway.store.counts()["turns"] == before + 1


def test_each_may_say_no_and_none_overrules_another():
    asked = Asked(dialect="ollama", model="a", messages=[], stream=True, upstream={})
    no = Asked(dialect="ollama", model="a", messages=[], stream=True, upstream={}, store=False)
    settings = GatewaySettings(unrecorded_aliases=["b"])
    assert recorded(asked, Caller(), "a", settings)
    assert not recorded(no, Caller(), "a", settings)
    assert not recorded(asked, Caller(store=False), "a", settings)
    assert not recorded(asked, Caller(), "b", settings)
    assert [refuses(one) for one in (None, "", "true", "false", " FALSE ", "0", "no")] == [False] * 3 + [True] * 4
