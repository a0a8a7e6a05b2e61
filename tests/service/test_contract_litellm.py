"""LiteLLM as a client, by each of its three ways to us: its `ollama`, `ollama_chat` and `openai` providers.

It lives in the bench's venv of LiteLLM, made once and kept in the user's cache. Where that can't be made, for want of a
package index, this is skipped and says so; in CI it fails.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.bench.words_guards import GUARDS, python_of
from tests.fakes.gateway import RunningGateway
from tests.fakes.ollama import FakeOllama
from tests.service.conftest import PATIENCE

SCRIPT = Path(__file__).parent.parent / "fakes" / "litellm_client.py"
SUNNY = "It is sunny. 晴。"
CALL = {"function": {"name": "weather", "arguments": {"place": "Paris"}}}
CALLED = [["weather", {"place": "Paris"}]]
LAST = {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop", "eval_count": 2}
PROVIDERS = pytest.mark.parametrize("provider", ["ollama", "ollama_chat", "openai"])


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What came of each call, by provider and call; and what the upstream saw."""
    guard = next(guard for guard in GUARDS if guard.package == "litellm")
    try:
        python = python_of(guard)
    except (subprocess.CalledProcessError, OSError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"LiteLLM's venv can't be made here: {error}")
    with (
        FakeOllama(models=["assistant:1.0.0", "embedder:1.0.0"]) as fake,
        RunningGateway(tmp_path_factory.mktemp("data"), fake.url, allowed_models=["embedder:*"], **PATIENCE) as gateway,
    ):
        for provider in ("ollama", "ollama_chat", "openai"):
            script(fake, provider)
        ran = subprocess.run(
            [python, "-I", SCRIPT, gateway.url], capture_output=True, text=True, timeout=120, check=True
        )
        lines = [json.loads(line) for line in ran.stdout.splitlines() if line.startswith("{")]
        yield {(line["provider"], line["call"]): line for line in lines}, gateway


def script(fake, provider):
    """What the model says to one provider's calls, in their order."""
    fake.will_say(SUNNY)
    fake.will_say(SUNNY)
    for _ in range(2):
        if provider == "ollama":  # which asks for a call by a prompt of its own
            fake.will_say('{"name": "weather", "arguments": {"place": "Paris"}}')
        else:
            fake.will_say_lines({"message": {"role": "assistant", "content": "", "tool_calls": [CALL]}}, LAST)
    fake.will_say('{"sunny": true}')
    fake.will_say("A pixel.")


@PROVIDERS
def test_whole_and_streamed(told, provider):
    answers, gateway = told
    whole, streamed = answers[provider, "whole"], answers[provider, "streamed"]
    assert (whole["text"], whole["finish"]) == (SUNNY, "stop") and whole["tokens"] > 0
    assert (streamed["text"], streamed["finish"]) == (SUNNY, "stop")
    assert SUNNY in [turn.reply for turn in gateway.store.turns(limit=500)]


@PROVIDERS
@pytest.mark.parametrize("call", ["tools", "tools streamed"])
def test_tools(told, provider, call):
    found = told[0][provider, call]
    assert (found["calls"], found["finish"]) == (CALLED, "tool_calls")


@PROVIDERS
def test_json_images_and_errors(told, provider):
    answers, gateway = told
    assert json.loads(answers[provider, "json"]["text"]) == {"sunny": True}
    assert answers[provider, "image"]["text"] == "A pixel."
    assert any(turn.attachments for turn in gateway.store.turns(limit=500))
    unknown = answers[provider, "unknown"]
    assert (unknown["error"], unknown["status"]) == ("NotFoundError", 404)


@pytest.mark.parametrize("provider", ["ollama", "openai"])
def test_embeddings(told, provider):
    assert told[0][provider, "embedding"]["sizes"] == [4, 4]
