"""The contract: what a real Ollama answered, the engine answers in the same shape, errors in the same words.

Every recorded exchange is sent in the recorded order, with small models in the place of the recorded ones, and status,
content type and each line's shape are compared. What the engine does not do is named in OUT_OF_SCOPE, and where it
answers differently on purpose in DIFFERENCES; both lists are part of the contract.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.engine_process import EngineProcess, engine_process
from tests.fakes.tiny_gguf import write_tiny_gguf

Exchange = dict[str, Any]
FOLDER = Path(__file__).with_name("transcripts")
WALK = (
    "01-basics", "02-blobs", "03-create-errors", "04-create-gguf", "05-tags-show", "06-chat-errors", "06-chat",
    "08-generate", "07-ps", "09-embed", "10-copy-delete", "11-openai", "13-quantize", "14-safetensors", "15-adapters",
    "16-adapter-answers", "20-bad-models", "21-native-template",
)  # fmt: skip


def body_of(exchange: Exchange) -> dict[str, Any]:
    try:
        found = json.loads(exchange.get("body", "{}"))
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def quantises_to(exchange: Exchange) -> str:
    body = body_of(exchange)
    return str(body.get("quantize") or body.get("quantization") or "").lower() if exchange["status"] == 200 else ""


OUT_OF_SCOPE: dict[str, Callable[[Exchange], bool]] = {
    "OpenAI's dialect is the gateway's": lambda one: one["path"].startswith("/v1/"),
    "the state of Ollama's cloud": lambda one: one["path"] == "/api/status",
    "safetensors: the learner exports GGUF": lambda one: one["file"] == "14-safetensors",
    "adapters: the learner merges them into the weights": lambda one: (
        one["file"] in ("15-adapters", "16-adapter-answers")
        or bool(body_of(one).get("adapters"))
        or str(body_of(one).get("model")).startswith("ad-")
    ),
    "pulling from a registry": lambda one: body_of(one).get("from") == "nosuchmodel",
    "quantising to anything but Q8_0": lambda one: quantises_to(one) not in ("", "q8_0"),
    "models that were quantised so": lambda one: one["path"] == "/api/chat" and body_of(one).get("model") == "q4km",
    "a template in a request: the GGUF's own is what is rendered": lambda one: (
        one["path"] == "/api/generate" and "template" in body_of(one)
    ),
}

ABSENT = "sha256:" + "0" * 64
GUESSED_TEMPLATE = "using autodetected template chatml"
DIFFERENCES = {
    "no template is guessed: the GGUF has its own, so this line of a create, and its layer, are never said": (
        GUESSED_TEMPLATE
    ),
    "and a model without parameters of its own has none": "parameters",
}


def exchanges() -> list[Exchange]:
    found = []
    for file in WALK:
        for number, line in enumerate((FOLDER / f"{file}.jsonl").read_text("utf-8").splitlines(), 1):
            found.append({"file": file, "number": number} | json.loads(line))
    return found


def why_out(exchange: Exchange) -> str:
    return next((reason for reason, rule in OUT_OF_SCOPE.items() if rule(exchange)), "")


ALL = exchanges()
WALKED = [one for one in ALL if not why_out(one)]


def label(exchange: Exchange) -> str:
    words = re.sub(r"[^a-z0-9]+", "-", f"{exchange['note'] or exchange['path']}".lower()).strip("-")
    return f"{exchange['file']}-{exchange['number']}-{words[:40]}"


def digest_of(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def contents(tiny: Path, tiny_q8: Path, scratch: Path) -> dict[str, bytes]:
    """What stands for each recorded blob, by its recorded digest. Quantised for quantised, cut for cut."""
    found = {
        one["path"].rsplit("/", 1)[1]: f"{one['upload']['file']} {one['number']}".encode()
        for one in ALL
        if "upload" in one
    }
    template = next(one for one in ALL if one["file"] == "21-native-template" and one["path"] == "/api/show")
    f16 = tiny.read_bytes()
    private = write_tiny_gguf(scratch / "private.gguf", template=template["answer"][0]["template"])
    return found | {
        "sha256:b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53": tiny_q8.read_bytes(),
        "sha256:bf96b6ccd3424db8cd70940c4fed41eba58a605ac2cb3e9dea76b5d81143cdc6": f16,
        "sha256:cc6369d80934e93613d852c0c93eb7c4775bdef27aa0756fa26d579e444b3e12": f16[: len(f16) // 2],
        "sha256:1c17c704c6ccb70a9e70e0cadbe07224b7e1a1ac81d89c39bc6d51c00df62a7d": f16[:3000],
        "sha256:cce860649ce92bbb2b41ef43d8c833ea1d89b8ca7fb55ac8a9de2f1933f810d4": private.read_bytes(),
        "sha256:6d600c986af0146713c5c43c8452cfc7b6c4dd5c0f0aeb5a1b1c0cfc73957ec6": b"no GGUF",
    }


def send(engine: EngineProcess, exchange: Exchange, blobs: dict[str, bytes]) -> httpx.Response:
    path = exchange["path"]
    content: bytes = exchange.get("body", "").replace("{{words}}", "word " * exchange.get("words", 0)).encode()
    if "upload" in exchange:
        content = blobs[path.rsplit("/", 1)[1]]
    else:
        for recorded, ours in blobs.items():
            content = content.replace(recorded.encode(), digest_of(ours).encode())
    for recorded, ours in blobs.items():
        path = path.replace(recorded[7:], digest_of(ours)[7:])
    if exchange["note"] == "5 s later":
        time.sleep(3.3)  # the model was loaded for three seconds
    return engine.client.request(exchange["method"], path, content=content or None)


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory, tiny: Path, tiny_q8: Path) -> dict[str, httpx.Response]:
    """The walk: every answer by its exchange's label."""
    scratch = tmp_path_factory.mktemp("contract")
    blobs = contents(tiny, tiny_q8, scratch)
    with engine_process(scratch / "data") as engine:
        engine.upload(b"no GGUF")
        return {label(one): send(engine, one, blobs) for one in WALKED}


def lines_of(answer: httpx.Response) -> list[Any]:
    found = []
    for line in answer.text.splitlines():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            found.append(line)
    return [line for line in found if line != ""]


NOTHING_SAID = [("08-generate", 9)]
"""Recorded replies that were empty, so that a list of their tokens is missing; other models say something."""
WORDS = ("error", "status", "done_reason", "role", "format", "capabilities")
"""Fields whose text is the contract, not only its type."""
OPAQUE = ("model_info",)
"""Fields whose keys depend on the model."""


def shape(value: Any, key: str = "") -> Any:
    """What must be equal: keys in their order and types; words where they are the contract."""
    if isinstance(value, dict):
        if key in OPAQUE:
            return "object"
        return [(name, shape(one, name)) for name, one in value.items() if name not in DIFFERENCES.values()]
    if isinstance(value, list):
        return [shape(value[0], key)] if value else []
    if isinstance(value, str):
        return normal(value) if key in WORDS or not key else "text"
    return "number" if isinstance(value, int | float) and not isinstance(value, bool) else repr(value)


def normal(text: str) -> str:
    """A text without what differs between machines and models."""
    text = re.sub(r"(using existing|creating new) layer .*", "layer", text)
    text = re.sub(r"supported types are .*", "supported types are …", text)
    text = re.sub(r"registry\.[a-z.]+/", "registry/", text)
    text = re.sub(r"blk\.[a-z0-9_.]+", "tensor", text)
    text = re.sub(r"[0-9a-f]{64}", "digest", text)
    return re.sub(r"\b(stop|length)\b", "end", re.sub(r"\d+", "N", text))


def said(lines: list[Any]) -> list[Any]:
    """The lines without those that are not said here on purpose: the guessed template and its layer."""
    guessed = [number for number, line in enumerate(lines) if line == {"status": GUESSED_TEMPLATE}]
    return [line for number, line in enumerate(lines) if number not in guessed and number - 1 not in guessed]


def distinct(lines: list[Any]) -> list[Any]:
    """The shapes in their order, runs of one shape counted once: how many pieces a reply has is the model's."""
    shapes = [shape(line) for line in lines]
    return [one for number, one in enumerate(shapes) if number == 0 or one != shapes[number - 1]]


@pytest.mark.parametrize("exchange", WALKED, ids=label)
def test_the_engine_answers_as_ollama_did(exchange: Exchange, answers: dict[str, httpx.Response]) -> None:
    answer = answers[label(exchange)]
    assert answer.status_code == exchange["status"], answer.text
    if "content_type" in exchange:
        assert answer.headers["Content-Type"] == exchange["content_type"]
    assert answer.headers.get("Allow") == exchange.get("allow")
    got, recorded = lines_of(answer), said(exchange["answer"])
    if (exchange["file"], exchange["number"]) in NOTHING_SAID:
        got = [{name: value for name, value in line.items() if name != "logprobs"} for line in got]
    assert distinct(got) == distinct(recorded)


def test_the_prompt_is_rendered_exactly_as_ollama_rendered_the_template_of_the_gguf(
    answers: dict[str, httpx.Response],
) -> None:
    exchange = next(
        one for one in WALKED if one["file"].startswith("21") and "_debug_render_only" in one.get("body", "")
    )
    rendered = answers[label(exchange)].json()["_debug_info"]["rendered_template"]
    assert rendered == exchange["answer"][0]["_debug_info"]["rendered_template"]


def test_every_exception_of_the_contract_is_used_and_most_exchanges_are_walked() -> None:
    reasons = {why_out(one) for one in ALL}
    assert set(OUT_OF_SCOPE) <= reasons
    assert len(WALKED) >= 140, f"{len(WALKED)} of {len(ALL)}"


@pytest.mark.parametrize(
    ("path", "body", "status", "text"),
    [
        ("/v1/chat/completions", {"model": "smol"}, 404, "404 page not found"),
        ("/api/pull", {"model": "smol"}, 404, "404 page not found"),
        (
            "/api/create",
            {"model": "x", "from": "smol", "adapters": {"a.gguf": ABSENT}},
            400,
            "merge them",
        ),
        ("/api/create", {"model": "x", "from": "nosuch", "stream": False}, 500, "upload a GGUF"),
        ("/api/create", {"model": "x", "files": {"model.safetensors": ABSENT}}, 400, "unknown type"),
    ],
)
def test_what_is_out_of_scope_is_refused_plainly(
    engine: EngineProcess, path: str, body: dict[str, Any], status: int, text: str
) -> None:
    answer = engine.post(path, **body)
    assert answer.status_code == status
    assert text in answer.text
