"""OpenTelemetry: spans and metrics that a collector decodes, the trace passed on, no texts; nothing where unset."""

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.fakes.gateway import RunningGateway
from tests.fakes.otlp import Collector, attributes

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACED = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=1"}


def ask(**changed):
    messages = [{"role": "system", "content": "秘密-system"}, {"role": "user", "content": "机密-question"}]
    options = {"temperature": 0.5, "stop": ["机密-stop"], "num_predict": 7}
    return {"model": "assistant", "messages": messages, "options": options, **changed}


@pytest.fixture(scope="module")
def seen(fake, tmp_path_factory):
    """A gateway's whole life, as a collector saw it."""
    fake.history.clear()
    with Collector() as collector:
        with RunningGateway(tmp_path_factory.mktemp("data"), fake.url, otlp_endpoint=collector.url) as gateway:
            headers = {**TRACED, "x-conversation-id": "机密-no".encode().hex(), "x-request-id": "r-1"}
            fake.will_say("机密-answer ", "goes ", "on")
            httpx.post(f"{gateway.url}/api/chat", json=ask(), headers=headers).raise_for_status()
            collector.passed_on = {seen.path: seen.headers for seen in fake.history}["/api/chat"]
            fake.will_break_after("half")
            httpx.post(f"{gateway.url}/v1/chat/completions", json={**ask(stream=True), "options": None})
            httpx.get(f"{gateway.url}/health")
            fake.will_fail(500, "机密-boom")
            assert httpx.post(f"{gateway.url}/api/chat", json=ask()).status_code == 502
        yield collector


def test_a_chat_is_a_span_with_the_conventions_attributes(seen):
    span = next(span for span in seen.spans if attributes(span)["ratchet.request_id"] == "r-1")
    found = attributes(span)
    assert span.name == "chat assistant" and span.kind == 3  # client
    assert found.items() >= {
        "gen_ai.operation.name": "chat", "gen_ai.provider.name": "ollama", "gen_ai.request.model": "assistant",
        "gen_ai.response.model": "assistant:1.0.0", "gen_ai.request.stream": True, "ratchet.version": "1.0.0",
        "gen_ai.request.temperature": 0.5, "gen_ai.request.max_tokens": 7, "http.response.status_code": 200,
        "gen_ai.response.finish_reasons": ["stop"],
    }.items()  # fmt: skip
    assert found["gen_ai.response.id"].startswith("turn-") and found["gen_ai.usage.output_tokens"] > 0
    duration = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9
    assert 0 < found["gen_ai.response.time_to_first_chunk"] <= duration < 30


def test_the_clients_trace_goes_on_through_our_span_to_the_upstream(seen):
    span = next(span for span in seen.spans if attributes(span)["ratchet.request_id"] == "r-1")
    assert (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, PARENT)
    assert seen.passed_on["traceparent"] == f"00-{TRACE}-{span.span_id.hex()}-01"
    assert seen.passed_on["tracestate"] == "vendor=1"


def test_failures_say_what_kind_they_were(seen):
    wrong = {attributes(span)["error.type"] for span in seen.spans if span.status.code == 2}
    assert wrong == {"cut", "502"}
    assert len(seen.spans) == 3  # a health check is none


def test_metrics_come_too(seen):
    tokens = seen.metrics["gen_ai.client.token.usage"]
    kinds = {attributes(point)["gen_ai.token.type"] for point in tokens.histogram.data_points}
    assert tokens.unit == "{token}" and kinds == {"input", "output"}
    durations = seen.metrics["gen_ai.client.operation.duration"].histogram.data_points
    assert sum(point.count for point in durations) == 2
    assert "gen_ai.client.operation.time_to_first_chunk" in seen.metrics


def test_nobodys_text_is_sent(seen):
    for text in ("机密", "秘密", "question", "answer", "机密-no".encode().hex()):
        assert text.encode() not in seen.raw


def test_a_trace_is_passed_on_where_nothing_is_traced(gateway, fake):
    httpx.post(f"{gateway.url}/api/chat", json=ask(), headers=TRACED).raise_for_status()
    assert fake.chats[-1].headers.items() >= TRACED.items()
    httpx.post(f"{gateway.url}/api/chat", json=ask(), headers={"traceparent": "机密".encode().hex()})
    assert "traceparent" not in fake.chats[-1].headers


def test_nothing_is_imported_where_no_endpoint_is_set():
    code = "import sys, service.front.server, service.observing.tracing as t; assert t.open_tracing('') is None; " \
        "print([m for m in sys.modules if m.startswith('opentelemetry')])"  # fmt: skip
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"
