"""Traces and metrics in OpenTelemetry's GenAI conventions, where somebody wants them.

Only where an OTLP endpoint is set is anything of OpenTelemetry imported; else this costs nothing. A request's span is
made when the upstream is first asked, which is sent its `traceparent`, or at the request's end. Spans carry numbers,
names and ids of ours. Must never carry what people or the model wrote: no messages, no stop words, no client's ids.
"""

from __future__ import annotations

import logging
import os
import time
from typing import TYPE_CHECKING, Any

from feedback.errors import InvalidSettings
from feedback.turns import Turn
from service.observing.calls import CLIENT_LEFT, Call

if TYPE_CHECKING:
    from opentelemetry.metrics import Histogram
    from opentelemetry.trace import Span

log = logging.getLogger(__name__)

ENDPOINT_VARIABLES = (
    "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT",
)  # fmt: skip
CLOSE_S = 5.0
"""Longest wait for what is still to be sent when the gateway stops."""
OPTIONS = {
    "temperature": "gen_ai.request.temperature",
    "top_p": "gen_ai.request.top_p",
    "top_k": "gen_ai.request.top_k",
    "seed": "gen_ai.request.seed",
    "num_predict": "gen_ai.request.max_tokens",
    "frequency_penalty": "gen_ai.request.frequency_penalty",
    "presence_penalty": "gen_ai.request.presence_penalty",
}
"""Ollama's options → attributes; numbers only."""
DURATION_BOUNDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKEN_BOUNDS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576)
"""The bounds that the conventions advise, in seconds and in tokens."""


def open_tracing(endpoint: str) -> Tracing | None:
    """The tracing, if an endpoint is set: here, or by OpenTelemetry's own variables.

    Raises InvalidSettings where the setting asks for it and OpenTelemetry is not installed; for a variable, which may
    stand in the environment for others, the log says so and nothing is traced.
    """
    if os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if not endpoint and not any(os.environ.get(name) for name in ENDPOINT_VARIABLES):
        return None
    try:
        return Tracing(endpoint)
    except ImportError as error:
        message, mend = "OpenTelemetry is not installed.", "pip install 'ratchet-feedback[otel]'."
        if endpoint:
            raise InvalidSettings(f"gateway.otlp_endpoint is set, but {message}", mend) from error
        log.warning("not-traced", extra={"fields": {"message": message, "mend": mend}})
        return None


class Tracing:
    """Sends spans and metrics from threads of OpenTelemetry's own."""

    def __init__(self, endpoint: str) -> None:
        """`endpoint` is a collector's base URL; empty leaves it to the variables. Raises ImportError."""
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace import SpanKind, Status, StatusCode
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._client, self._failed = SpanKind.CLIENT, Status(StatusCode.ERROR)
        self._propagator = TraceContextTextMapPropagator()
        base = endpoint.rstrip("/")
        name = os.environ.get("OTEL_SERVICE_NAME") or "ratchet-gateway"
        resource = Resource.create({SERVICE_NAME: name})
        self._spans = TracerProvider(resource=resource, shutdown_on_exit=False)
        spans = OTLPSpanExporter(endpoint=f"{base}/v1/traces" if base else None)
        self._spans.add_span_processor(BatchSpanProcessor(spans))
        self._tracer = self._spans.get_tracer("ratchet.gateway")
        metrics = OTLPMetricExporter(endpoint=f"{base}/v1/metrics" if base else None)
        reader = PeriodicExportingMetricReader(metrics)
        self._metrics = MeterProvider(metric_readers=[reader], resource=resource, shutdown_on_exit=False)
        meter = self._metrics.get_meter("ratchet.gateway")

        def histogram(name: str, unit: str, bounds: tuple[float, ...]) -> Histogram:
            return meter.create_histogram(name, unit=unit, explicit_bucket_boundaries_advisory=bounds)

        self._tokens = histogram("gen_ai.client.token.usage", "{token}", TOKEN_BOUNDS)
        self._duration = histogram("gen_ai.client.operation.duration", "s", DURATION_BOUNDS)
        self._first = histogram("gen_ai.client.operation.time_to_first_chunk", "s", DURATION_BOUNDS)

    def streaming(self, call: Call) -> None:
        """A stream has begun; nothing to do."""

    def asking(self, call: Call) -> None:
        """The upstream is about to be asked: it gets this call's span as its parent."""
        if call.span is None:
            call.span = self._begin(call)
            headers: dict[str, str] = {}
            self._propagator.inject(headers, self._context(call.span))
            call.trace_headers = headers

    def over(self, call: Call) -> None:
        """End the call's span; a chat that never reached the upstream gets one now."""
        turn, span = call.turn, call.span
        if span is None:
            if turn is None:
                return
            span = self._begin(call)
        wrong = _wrong(call)
        span.set_attributes({"http.response.status_code": call.status, "ratchet.request_id": call.request_id})
        if wrong:
            span.set_attribute("error.type", wrong)
            span.set_status(self._failed)
        if turn is None:
            span.update_name(f"{call.method} {call.route}")
        else:
            span.update_name(f"chat {turn.alias}")
            span.set_attributes(_attributes(call, turn))
            self._measure(call, turn, wrong)
        span.end()

    def close(self) -> None:
        """Send what is left, for at most `CLOSE_S` each. Blocks."""
        self._spans.force_flush(round(CLOSE_S * 1000))
        self._spans.shutdown()
        self._metrics.shutdown(CLOSE_S * 1000)

    def _begin(self, call: Call) -> Span:
        parent = self._propagator.extract(call.trace_headers) if call.trace_headers else None
        began = time.time_ns() - round((time.perf_counter() - call.began) * 1e9)
        return self._tracer.start_span(call.method, parent, kind=self._client, start_time=began)

    def _context(self, span: Span) -> Any:
        from opentelemetry.trace import set_span_in_context

        return set_span_in_context(span)

    def _measure(self, call: Call, turn: Turn, wrong: str) -> None:
        labels = {
            "gen_ai.operation.name": "chat", "gen_ai.provider.name": "ollama", "gen_ai.request.model": turn.alias,
            "gen_ai.response.model": turn.model_tag,
        }  # fmt: skip
        self._duration.record(call.seconds, {**labels, "error.type": wrong} if wrong else labels)
        if turn.first_token_ms is not None and call.streaming:
            self._first.record(turn.first_token_ms / 1000, labels)
        for kind, tokens in (("input", turn.prompt_tokens), ("output", turn.reply_tokens)):
            if tokens is not None:
                self._tokens.record(tokens, {**labels, "gen_ai.token.type": kind})


def _wrong(call: Call) -> str:
    """What kind of failure it was, for `error.type`; empty where it was none."""
    if call.status == CLIENT_LEFT:
        return "client_left"
    if call.turn is not None and call.turn.status == "cut":
        return "cut"
    return str(call.status) if call.status >= 500 else ""


def _attributes(call: Call, turn: Turn) -> dict[str, Any]:
    found: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "ollama",
        "gen_ai.request.model": turn.alias,
        "gen_ai.request.stream": call.streaming,
        "gen_ai.response.model": turn.model_tag,
        "gen_ai.response.finish_reasons": [turn.done_reason or turn.status],
        "ratchet.version": turn.version,
        "ratchet.dialect": turn.dialect,
        "ratchet.turn_status": turn.status,
        "ratchet.upstream_s": call.upstream_s,
    }
    if call.recorded:
        found["gen_ai.response.id"] = turn.turn_id
    if turn.prompt_tokens is not None:
        found["gen_ai.usage.input_tokens"] = turn.prompt_tokens
    if turn.reply_tokens is not None:
        found["gen_ai.usage.output_tokens"] = turn.reply_tokens
    if turn.first_token_ms is not None:
        found["gen_ai.response.time_to_first_chunk"] = turn.first_token_ms / 1000
    for option, name in OPTIONS.items():
        value = turn.options.get(option)
        if isinstance(value, int | float) and not isinstance(value, bool):
            found[name] = value
    return found
