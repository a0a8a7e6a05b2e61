"""What a real Ollama was recorded to answer, played by the upstream: the gateway's answers have the same shape.

Every field that Ollama sent arrives, in its order; the only one that is added is `turn_id`, at the end.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.gateway import RunningGateway

FOLDER = Path(__file__).parent.parent / "engine" / "transcripts"


def recorded(*files: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for file in files for line in (FOLDER / f"{file}.jsonl").read_text("utf-8").splitlines()]
    return [one for one in found if one["status"] == 200 and one["method"] == "POST"]


ANSWERED = [
    one for one in recorded("06-chat", "06-chat-errors", "08-generate") if "total_duration" in str(one["answer"])
]
PRELOADED = [one for one in recorded("06-chat", "08-generate") if "'done_reason': 'load'" in str(one["answer"])]


def label(exchange: dict[str, Any]) -> str:
    return f"{exchange['path']} {exchange['note']}"


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return [(key, shape(one)) for key, one in value.items() if key != "turn_id"]
    if isinstance(value, list):
        return [shape(value[0])] if value else []
    return type(value).__name__


def distinct(lines: list[Any]) -> list[Any]:
    """The shapes in their order, runs of one counted once: the gateway passes on together what came together."""
    shapes = [shape(line) for line in lines]
    return [one for number, one in enumerate(shapes) if number == 0 or one != shapes[number - 1]]


@pytest.mark.parametrize("exchange", ANSWERED, ids=label)
def test_an_answer_has_the_recorded_shape(gateway: RunningGateway, fake, exchange):
    fake.will_say_lines(*exchange["answer"])
    asked = json.loads(exchange["body"].replace("{{words}}", "word"))
    answer = httpx.post(gateway.url + exchange["path"], json={**asked, "model": "assistant"})
    assert answer.status_code == 200
    lines = [json.loads(line) for line in answer.text.splitlines()]
    wanted = exchange["answer"]
    assert distinct(lines) == distinct(wanted)
    assert list(lines[-1])[-1] == "turn_id" and answer.headers["x-turn-id"] == lines[-1]["turn_id"]
    assert answer.headers["content-type"].split(";")[0] == exchange["content_type"].split(";")[0]

    def said(lines: list[Any]) -> str:
        return "".join(line["message"]["content"] if "message" in line else line["response"] for line in lines)

    assert said(lines) == said(wanted)
    for field in ("done_reason", "eval_count", "context", "logprobs"):
        assert lines[-1].get(field) == wanted[-1].get(field), field


@pytest.mark.parametrize("exchange", PRELOADED, ids=label)
def test_loading_has_the_recorded_shape(gateway: RunningGateway, exchange):
    asked = json.loads(exchange["body"])
    answer = httpx.post(gateway.url + exchange["path"], json={**asked, "model": "assistant"})
    assert shape(answer.json()) == shape(exchange["answer"][0])
    assert answer.headers["content-type"].split(";")[0] == "application/json"


@pytest.mark.parametrize("exchange", [one for one in recorded("11-openai") if "messages" in one["body"]], ids=label)
def test_openais_dialect_has_the_shape_that_ollama_gives_it(gateway: RunningGateway, fake, exchange, monkeypatch):
    fake.will_say("The capital of", " France")
    monkeypatch.setattr(fake, "chunk_delay_s", 0.02)  # or two chunks may be passed on as one
    answer = httpx.post(gateway.url + exchange["path"], json={**json.loads(exchange["body"]), "model": "assistant"})

    def events(lines: list[Any]) -> list[Any]:
        return [json.loads(line.removeprefix("data: ")) for line in lines if line not in ("", "data: [DONE]")]

    ours = events(answer.text.splitlines())
    theirs = [line if isinstance(line, dict) else json.loads(line.removeprefix("data: ")) for line in exchange["answer"]
              if line and line != "data: [DONE]"]  # fmt: skip
    # of a stream only the first pieces were kept
    assert {json.dumps(sorted_shape(one)) for one in theirs} <= {json.dumps(sorted_shape(one)) for one in ours}


def sorted_shape(value: Any) -> Any:
    """As `shape`, without the order: OpenAI's clients go by names."""
    if isinstance(value, dict):
        return sorted((key, sorted_shape(one)) for key, one in value.items() if key != "turn_id")
    return [sorted_shape(value[0])] if isinstance(value, list) and value else type(value).__name__
