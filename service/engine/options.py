"""What a request may ask of sampling and of memory: Ollama's `options`, `format` and `keep_alive`, checked and turned.

The order of precedence is the request, the model's `parameters`, Ollama's defaults (which are not llama.cpp's: here
repetition is punished and `min_p` is off). Options that the engine has no use for pass unread, as Ollama lets them.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from service.engine.refusal import Refusal

DEFAULTS: dict[str, Any] = {
    "temperature": 0.8, "top_k": 40, "top_p": 0.9, "min_p": 0.0, "typical_p": 1.0, "repeat_last_n": 64,
    "repeat_penalty": 1.1, "presence_penalty": 0.0, "frequency_penalty": 0.0, "seed": -1, "num_keep": 4,
    "num_predict": -1, "num_ctx": 0, "stop": [],
}  # fmt: skip
"""Every option that is read, with its default; the default's type is the option's type."""
LLAMA_NAMES = (
    "temperature", "top_k", "top_p", "min_p", "typical_p", "repeat_last_n", "repeat_penalty", "presence_penalty",
    "frequency_penalty", "seed", "stop",
)  # fmt: skip
"""Options that llama.cpp knows by the same name."""

UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
DURATION = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|µs|ms|s|m|h)")


def read_options(parameters: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """All options that are read, with their values. Raises Refusal (500) for one of the wrong type, as Ollama does."""
    found = dict(DEFAULTS)
    for source in (parameters, given):
        for name, value in source.items():
            if name in DEFAULTS and value is not None:
                found[name] = _typed(name, value)
    return found


def sampling(options: dict[str, Any], room: int) -> dict[str, Any]:
    """The same for llama.cpp. `room` is how many tokens of the context are left for the reply."""
    wanted = options["num_predict"]
    limits = {"n_predict": room if wanted < 0 else min(wanted, room), "n_keep": options["num_keep"]}
    return {name: options[name] for name in LLAMA_NAMES} | limits


def read_format(given: Any) -> dict[str, Any]:
    """`format`, as llama.cpp's constraint; empty for none. Raises Refusal (500)."""
    if given in (None, ""):
        return {}
    if given == "json":
        return {"json_schema": {"type": "object"}}
    if isinstance(given, dict):
        return {"json_schema": given}
    shown = json.dumps(json.dumps(given))
    raise Refusal(500, f'invalid format: {shown}; expected "json" or a valid JSON Schema object')


def read_keep_alive(given: Any) -> float | None:
    """Seconds that a model stays after its last request: None where it isn't said, infinite where it is negative.

    A number counts seconds; a string is a Go duration, `1h30m`. Raises Refusal (400).
    """
    if given is None:
        return None
    if isinstance(given, str):
        seconds = _duration(given)
    elif isinstance(given, int | float) and not isinstance(given, bool):
        seconds = float(given)
    else:
        raise Refusal(400, f"time: invalid duration {json.dumps(given)}")
    return seconds if seconds >= 0 else math.inf


def _duration(text: str) -> float:
    sign, body = (-1.0, text[1:]) if text.startswith("-") else (1.0, text.removeprefix("+"))
    parts = DURATION.findall(body)
    if body == "0":
        return 0.0
    if not parts or "".join(number + unit for number, unit in parts) != body:
        problem = "missing unit in duration" if re.fullmatch(r"[0-9.]+", body) else "invalid duration"
        raise Refusal(400, f"time: {problem} {json.dumps(text)}")
    return sign * sum(float(number) * UNITS_S[unit] for number, unit in parts)


def _typed(name: str, value: Any) -> Any:
    default = DEFAULTS[name]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if isinstance(default, list):
        if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
            raise Refusal(500, f'option "{name}" must be of type array')
        return [one for one in value if one]
    if isinstance(default, float):
        if not number:
            raise Refusal(500, f'option "{name}" must be of type float32')
        return float(value)
    if not number:
        raise Refusal(500, f'option "{name}" must be of type integer')
    return int(value)
