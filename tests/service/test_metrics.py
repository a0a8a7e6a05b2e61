"""What Prometheus reads: the numbers are those of what happened, and no label is a client's."""

import time

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.observing.calls import Call
from service.observing.meters import Meters
from tests.fakes.gateway import RunningGateway

ASK = {"model": "assistant", "messages": [{"role": "user", "content": "Hi"}], "stream": False}


@pytest.fixture
def gateway(fake, tmp_path):
    words = tmp_path / "bad.csv"
    words.write_text("word,category,action\ndarn,insult,mask\n")
    with RunningGateway(tmp_path / "data", fake.url, words_file=str(words)) as running:
        yield running


def read(gateway):
    """Sample name and labels → value."""
    answer = httpx.get(f"{gateway.url}/metrics").raise_for_status()
    assert answer.headers["content-type"].startswith("text/plain")
    return {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_chats_are_counted_with_their_tokens_and_times(gateway, fake):
    for stream in (False, True):
        httpx.post(f"{gateway.url}/api/chat", json={**ASK, "stream": stream}).raise_for_status()
    httpx.post(f"{gateway.url}/v1/chat/completions", json=ASK).raise_for_status()
    found = read(gateway)
    route = ("route", "/api/chat")
    assert found["ratchet_requests_total", ("dialect", "ollama"), ("method", "POST"), route, ("status", "200")] == 2
    alias, version = ("alias", "assistant"), ("version", "1.0.0")
    assert found["ratchet_turns_total", alias, ("status", "whole"), version] == 3
    assert found["ratchet_tokens_total", alias, ("side", "out"), version] > 0
    assert found["ratchet_first_token_seconds_count", alias, version] == 3
    assert found["ratchet_overhead_seconds_count", ("dialect", "ollama")] == 2
    assert found["ratchet_overhead_seconds_sum", ("dialect", "ollama")] > 0
    assert found["ratchet_rows_committed_total",] == 3 and 1 <= found["ratchet_commit_seconds_count",] <= 3
    assert found["ratchet_writes_queued",] == 0 and found["ratchet_active_streams",] == 0
    assert found["process_resident_memory_bytes",] > 10_000_000


def test_the_upstreams_slowness_is_not_our_overhead(gateway, fake, monkeypatch):
    monkeypatch.setattr(fake, "chunk_delay_s", 0.15)
    fake.will_say("slow ", "words")
    httpx.post(f"{gateway.url}/api/chat", json=ASK).raise_for_status()
    found = read(gateway)
    spent = found["ratchet_request_seconds_sum", ("dialect", "ollama"), ("route", "/api/chat")]
    assert spent > 0.3 and found["ratchet_overhead_seconds_sum", ("dialect", "ollama")] < spent - 0.25


def test_satisfaction_is_the_share_of_the_latest_ratings(gateway, fake):
    turns = [httpx.post(f"{gateway.url}/api/chat", json=ASK).json()["turn_id"] for _ in range(2)]
    said = [("anna", {"verdict": "down"}), ("anna", {"verdict": "up"}), ("ben", {"stars": 2}), ("cho", {"stars": 5})]
    for rater, verdict in said:
        httpx.post(f"{gateway.url}/turns/{turns[0]}/ratings", json={"rater": rater, **verdict}).raise_for_status()
    httpx.post(f"{gateway.url}/turns/{turns[1]}/ratings", json={"verdict": "up"}).raise_for_status()
    found = read(gateway)
    labels = (("alias", "assistant"), ("version", "1.0.0"))
    assert found["ratchet_ratings", *labels] == 4 and found["ratchet_satisfaction_ratio", *labels] == 0.75


def test_hits_are_told_by_list_and_blocked_turns_counted(gateway, fake):
    httpx.post(f"{gateway.url}/api/chat", json={**ASK, "messages": [{"role": "user", "content": "darn darn"}]})
    found = read(gateway)
    assert found["ratchet_filter_hits_total", ("action", "mask"), ("direction", "in"), ("list", "bad.csv")] == 2


def test_what_clients_write_becomes_no_label(gateway, fake):
    for number in range(5):
        httpx.get(f"{gateway.url}/secret-{number}")
        httpx.request(f"VERB{number}", f"{gateway.url}/api/chat")
        httpx.post(f"{gateway.url}/api/chat", json={**ASK, "model": f"secret-{number}"})
        httpx.get(f"{gateway.url}/turns/secret-{number}")
    text = httpx.get(f"{gateway.url}/metrics").text
    assert "secret" not in text and "VERB" not in text and 'route="/turns/{turn_id}"' in text


def test_a_request_costs_microseconds(gateway):
    meters, call = Meters(), Call("call-1", "POST", "/api/chat")
    call.route, call.status = "/api/chat", 200
    began = time.process_time()
    for _ in range(10_000):
        meters.over(call)
    assert (time.process_time() - began) / 10_000 < 20e-6  # about 1.5 on a calm machine


@pytest.mark.parametrize(("public", "status"), [(False, 401), (True, 200)])
def test_without_a_key_only_where_the_operator_says_so(fake, tmp_path, public, status):
    with RunningGateway(tmp_path, fake.url, keys="required", metrics_public=public) as guarded:
        assert httpx.get(f"{guarded.url}/metrics").status_code == status
        key = (tmp_path / "operator-key").read_text().strip()
        answer = httpx.get(f"{guarded.url}/metrics", headers={"authorization": f"Bearer {key}"})
        assert answer.status_code == 200 and "ratchet_active_streams" in answer.text


def test_hosts_and_their_failures_are_told(gateway, fake):
    fake.will_break_after("half")
    assert httpx.post(f"{gateway.url}/api/chat", json=ASK).status_code == 502
    found = read(gateway)
    host = ("host", fake.url)
    assert found["ratchet_upstream_up", host] == 1 and found["ratchet_upstream_outstanding", host] == 0
    assert found["ratchet_upstream_failures_total", host, ("kind", "upstream-broke")] == 1
    assert found["ratchet_turns_total", ("alias", "assistant"), ("status", "cut"), ("version", "1.0.0")] == 1
