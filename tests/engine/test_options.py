"""What a request may ask: options with their precedence and types, `format`, and how long a model stays."""

from __future__ import annotations

import math
from typing import Any

import pytest

from service.engine.options import read_format, read_keep_alive, read_options, sampling
from service.engine.refusal import Refusal


def test_the_request_beats_the_model_which_beats_ollamas_defaults() -> None:
    options = read_options({"temperature": 0.5, "top_k": 7, "stop": ["a"]}, {"temperature": 0, "nosuch": 1})
    asked = sampling(options, room=100)
    assert (asked["temperature"], asked["top_k"], asked["stop"]) == (0.0, 7, ["a"])
    assert (asked["repeat_penalty"], asked["min_p"], asked["top_p"], asked["seed"]) == (1.1, 0.0, 0.9, -1)
    assert "nosuch" not in asked and "num_ctx" not in asked


@pytest.mark.parametrize(("wanted", "got"), [(-1, 100), (-2, 100), (5, 5), (500, 100), (0, 0)])
def test_a_reply_never_outgrows_the_context(wanted: int, got: int) -> None:
    assert sampling(read_options({}, {"num_predict": wanted}), room=100)["n_predict"] == got


@pytest.mark.parametrize(
    ("option", "value", "kind"),
    [
        ("temperature", "hot", "float32"), ("temperature", True, "float32"), ("top_k", "1", "integer"),
        ("stop", "x", "array"), ("stop", [1], "array"),
    ],
)  # fmt: skip
def test_an_ill_typed_option_is_refused_as_ollama_does(option: str, value: Any, kind: str) -> None:
    with pytest.raises(Refusal, match=f'option "{option}" must be of type {kind}') as refused:
        read_options({}, {option: value})
    assert refused.value.status == 500


@pytest.mark.parametrize(
    ("given", "seconds"),
    [
        (None, None), (0, 0.0), (90, 90.0), (1.5, 1.5), (-1, math.inf), ("5m", 300.0), ("1h30m", 5400.0),
        ("300ms", 0.3), ("-1s", math.inf), ("0", 0.0), ("1.5s", 1.5),
    ],
)  # fmt: skip
def test_keep_alive_is_seconds_or_a_duration(given: Any, seconds: float | None) -> None:
    assert read_keep_alive(given) == (seconds if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize(
    ("given", "text"), [("abc", "invalid duration"), ("5", "missing unit"), ("", "invalid"), ([], "")]
)
def test_what_is_no_duration_is_refused(given: Any, text: str) -> None:
    with pytest.raises(Refusal, match=f"time: .*{text}") as refused:
        read_keep_alive(given)
    assert refused.value.status == 400


def test_formats() -> None:
    schema = {"type": "object", "properties": {"capital": {"type": "string"}}}
    assert read_format("") == read_format(None) == {}
    assert read_format(schema) == {"json_schema": schema}
    assert read_format("json") == {"json_schema": {"type": "object"}}
    with pytest.raises(Refusal, match="expected"):
        read_format("xml")
