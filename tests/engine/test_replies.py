"""What the model is given and what comes back, with the real SmolLM2: prompts, options, formats, text in pieces."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ollama
import pytest

from tests.fakes.engine_process import EngineProcess, engine_process
from tests.fakes.tiny_gguf import write_tiny_gguf

DEFAULT = "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
QUESTION = {"role": "user", "content": "法国的首都是哪里？"}


@pytest.fixture(scope="module")
def smol(models: Path) -> Iterator[EngineProcess]:
    """An engine with SmolLM2 as `smol`, and as `terse` with words of its own."""
    with engine_process(models) as engine:
        engine.post(
            "/api/create", model="terse", **{"from": "smol"}, system="Be terse.", parameters={"num_predict": 3},
            messages=[{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hi."}],
        )  # fmt: skip
        yield engine


def rendered(engine: EngineProcess, model: str, messages: list[dict[str, str]]) -> str:
    answer = engine.post("/api/chat", model=model, messages=messages, _debug_render_only=True)
    return str(answer.json()["_debug_info"]["rendered_template"])


def turn(role: str, content: str) -> str:
    return f"<|im_start|>{role}\n{content}<|im_end|>\n"


def pieces(engine: EngineProcess, path: str, **body: Any) -> list[dict[str, Any]]:
    answer = engine.post(path, **body)
    assert answer.headers["Content-Type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


def test_without_a_system_prompt_the_template_brings_the_models_own(smol: EngineProcess) -> None:
    expected = turn("system", DEFAULT) + turn("user", QUESTION["content"]) + "<|im_start|>assistant\n"
    assert rendered(smol, "smol", [QUESTION]) == expected


def test_the_tags_system_prompt_and_messages_come_first(smol: EngineProcess) -> None:
    before = turn("system", "Be terse.") + turn("user", "Hi") + turn("assistant", "Hi.")
    asked = turn("user", QUESTION["content"]) + "<|im_start|>assistant\n"
    assert rendered(smol, "terse", [QUESTION]) == before + asked


def test_a_system_prompt_in_the_request_replaces_the_tags(smol: EngineProcess) -> None:
    text = rendered(smol, "terse", [{"role": "system", "content": "说中文。"}, QUESTION])
    assert "Be terse." not in text and DEFAULT not in text and turn("system", "说中文。") in text


def test_an_assistants_last_message_is_closed_and_a_new_one_opened(smol: EngineProcess) -> None:
    text = rendered(smol, "smol", [QUESTION, {"role": "assistant", "content": "巴"}])
    assert text.endswith(turn("assistant", "巴") + "<|im_start|>assistant\n")


def test_the_tags_parameters_hold_until_the_request_says_otherwise(smol: EngineProcess) -> None:
    story = {"model": "terse", "prompt": "Once upon a time", "raw": True, "stream": False}
    assert smol.post("/api/generate", **story).json()["eval_count"] == 3
    assert smol.post("/api/generate", **story, options={"num_predict": 5}).json()["eval_count"] == 5


def test_chinese_text_arrives_whole_whatever_the_pieces(smol: EngineProcess) -> None:
    form = {"type": "string", "enum": ["你好，世界。"]}
    lines = pieces(smol, "/api/chat", model="smol", messages=[QUESTION], format=form)
    assert json.loads("".join(line["message"]["content"] for line in lines)) == "你好，世界。"
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]


def test_a_schema_is_kept_to(smol: EngineProcess) -> None:
    form = {
        "type": "object", "properties": {"capital": {"enum": ["Paris", "巴黎"]}}, "required": ["capital"],
        "additionalProperties": False,
    }  # fmt: skip
    asked = {"model": "smol", "messages": [QUESTION], "format": form, "stream": False, "options": {"temperature": 0}}
    found = json.loads(smol.post("/api/chat", **asked).json()["message"]["content"])
    assert found in ({"capital": "Paris"}, {"capital": "巴黎"})


def test_a_stop_string_ends_the_reply_before_itself(smol: EngineProcess) -> None:
    form = {"type": "string", "enum": ["one two three"]}
    asked = {"model": "smol", "messages": [QUESTION], "format": form, "stream": False}
    answer = smol.post("/api/chat", **asked, options={"stop": [" three"]}).json()
    assert (answer["message"]["content"], answer["done_reason"]) == ('"one two', "stop")


def test_streamed_or_not_a_reply_is_the_same_text_and_so_with_the_same_seed(smol: EngineProcess) -> None:
    asked = {
        "model": "smol", "prompt": "Once upon a time", "raw": True,
        "options": {"num_predict": 12, "seed": 7, "temperature": 1.0},
    }  # fmt: skip
    smol.post("/api/generate", **asked)  # so that all of those compared find the prompt in the cache
    whole = [smol.post("/api/generate", **asked, stream=False).json()["response"] for _ in range(2)]
    streamed = "".join(line["response"] for line in pieces(smol, "/api/generate", **asked))
    assert streamed == whole[0] == whole[1] != ""


def test_probabilities_come_for_each_token_with_their_alternatives(smol: EngineProcess) -> None:
    asked = {
        "model": "smol",
        "prompt": "Once upon a",
        "raw": True,
        "stream": False,
        "logprobs": True,
        "top_logprobs": 2,
    }
    answer = smol.post("/api/generate", **asked, options={"num_predict": 2, "temperature": 0}).json()
    first, second = answer["logprobs"]
    assert first["token"] + second["token"] == answer["response"]
    assert bytes(first["bytes"]).decode() == first["token"]
    assert [len(one["top_logprobs"]) for one in (first, second)] == [2, 2]
    assert first["top_logprobs"][0]["logprob"] >= first["top_logprobs"][1]["logprob"] < 0


def test_a_generate_goes_on_from_the_context_of_the_last(smol: EngineProcess) -> None:
    first = smol.post("/api/generate", model="smol", prompt="Hi", stream=False, options={"num_predict": 4}).json()
    assert len(first["context"]) == first["prompt_eval_count"] + 4
    more = {"prompt": "Why?", "context": first["context"], "stream": False, "options": {"num_predict": 1}}
    second = smol.post("/api/generate", model="smol", **more).json()
    assert second["context"][: len(first["context"])] == first["context"]


def test_a_prompt_that_is_too_long_is_cut_or_refused_as_asked(smol: EngineProcess) -> None:
    words = [{"role": "user", "content": "word " * 3000}]
    asked = {"model": "tiny", "messages": words, "stream": False, "options": {"num_predict": 2}}
    cut = smol.post("/api/chat", **asked).json()
    assert (cut["prompt_eval_count"], cut["done"]) == (512, True)
    refused = smol.post("/api/chat", **asked, truncate=False)
    assert refused.status_code == 400
    error = json.loads(refused.json()["error"])["error"]
    assert (error["type"], error["n_ctx"]) == ("exceed_context_size_error", 1024)


def test_llama_cpps_own_refusals_are_passed_on(smol: EngineProcess, tmp_path: Path) -> None:
    """Here a template that takes questions only from people."""
    template = "{% if messages[0].role != 'user' %}{{ raise_exception('users first') }}{% endif %}Hi"
    smol.create("strict", write_tiny_gguf(tmp_path / "strict.gguf", template=template))
    for stream in (True, False):
        asked = {"messages": [{"role": "assistant", "content": "Hi"}], "stream": stream}
        answer = smol.post("/api/chat", model="strict", **asked)
        assert answer.is_error
        assert "users first" in json.loads(answer.json()["error"])["error"]["message"]


def test_the_official_client_uploads_creates_chats_and_lists(smol: EngineProcess, tiny: Path) -> None:
    with ollama.Client(smol.url) as client:
        use_the_official_client(client, tiny)


def use_the_official_client(client: ollama.Client, tiny: Path) -> None:
    digest = client.create_blob(tiny)
    made = list(client.create(model="by-client", files={"model.gguf": digest}, system="Be kind.", stream=True))
    assert made[-1].status == "success"
    assert client.show("by-client").details.quantization_level == "F16"
    assert "by-client:latest" in [model.model for model in client.list().models]
    limits = {"num_predict": 4, "temperature": 0.0}
    messages = [ollama.Message(role="user", content="Hi")]
    whole = client.chat("smol", messages=messages, options=limits)
    streamed = list(client.chat("smol", messages=messages, options=limits, stream=True))
    assert whole.done and whole.message.content and streamed[-1].done and streamed[-1].eval_count == whole.eval_count
    assert client.generate("smol", "Hi", options=limits).response
    assert "smol:latest" in [model.model for model in client.ps().models]
    client.copy("by-client", "copied")
    client.delete("copied")
    with pytest.raises(ollama.ResponseError, match="not found") as missing:
        client.chat("copied", messages=messages)
    assert missing.value.status_code == 404
    client.delete("by-client")


def test_a_16_bit_model_is_quantised_by_create_and_serves(smol: EngineProcess, tiny: Path, tiny_q8: Path) -> None:
    smol.create("quantised", tiny, quantize="q8_0")
    tag = next(model for model in smol.client.get("/api/tags").json()["models"] if model["name"] == "quantised:latest")
    assert (tag["details"]["quantization_level"], tag["size"]) == ("Q8_0", tiny_q8.stat().st_size)
    answer = smol.post("/api/generate", model="quantised", prompt="Hi", stream=False, options={"num_predict": 3})
    assert answer.json()["done"] is True
