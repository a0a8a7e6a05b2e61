"""Chat templates: families told by behaviour, default system prompts kept, the Go dialect and the GGUF's own alike."""

from pathlib import Path

import pytest
from gguf import GGUFWriter

from learner.settings import LearnerSettings
from learner.templates import PROBES, ModelTemplate, UnknownTemplate, read_template, recognise, render, served_for
from tests.fakes.ollama import render as rendered_by_go

SMOLLM2 = """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""
CHATML = """{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""
LLAMA3 = (
    "{% for message in messages %}{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' + "
    "message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}"
    "{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)
ZEPHYR = """{% for message in messages %}
{% if message['role'] == 'user' %}
{{ '<|user|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'system' %}
{{ '<|system|>\n' + message['content'] + eos_token }}
{% elif message['role'] == 'assistant' %}
{{ '<|assistant|>\n'  + message['content'] + eos_token }}
{% endif %}
{% if loop.last and add_generation_prompt %}
{{ '<|assistant|>' }}
{% endif %}
{% endfor %}"""
LLAMA2 = "{% for message in messages %}{{ '[INST] ' + message['content'] + ' [/INST]' }}{% endfor %}"


def template(jinja: str) -> ModelTemplate:
    return ModelTemplate(jinja=jinja, eos="</s>")


@pytest.mark.parametrize(
    ("jinja", "family", "system", "stop"),
    [
        (
            SMOLLM2, "chatml", "You are a helpful AI assistant named SmolLM, trained by Hugging Face", "<|im_end|>",
        ),
        (CHATML, "chatml", "", "<|im_end|>"),
        (LLAMA3, "llama3", "", "<|eot_id|>"),
        (ZEPHYR, "zephyr", "", "</s>"),
    ],
)  # fmt: skip
def test_a_family_is_told_by_what_its_template_renders(jinja: str, family: str, system: str, stop: str) -> None:
    served = recognise(template(jinja))
    assert (served.family, served.system) == (family, system)
    assert stop in served.parameters["stop"]
    assert "{{ .Content }}" in served.template and "range .Messages" in served.template


def test_what_the_upstream_renders_from_chatml_is_what_the_model_was_trained_with() -> None:
    served = recognise(template(SMOLLM2))
    for probe in PROBES:
        assert rendered_by_go(served.system, probe) == render(template(SMOLLM2), probe)


@pytest.mark.parametrize(
    "jinja",
    [
        LLAMA2,
        CHATML.replace("message.content", "message.content | upper"),
        CHATML.replace("<|im_end|>", "<|end|>"),
        "{{ raise_exception('no system role') }}",
        "{% if %}",
        "{{ messages[9].content.nothing() }}",
    ],
)
def test_an_unknown_template_is_an_error_that_names_the_settings_which_mend_it(jinja: str) -> None:
    with pytest.raises(UnknownTemplate) as found:
        recognise(template(jinja))
    assert "learner.chat_template" in found.value.mend


def gguf_with(path: Path, jinja: str | None) -> Path:
    writer = GGUFWriter(str(path), "llama")
    writer.add_token_list(["<s>", "</s>"])
    writer.add_eos_token_id(1)
    if jinja is not None:
        writer.add_chat_template(jinja)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_the_template_is_read_from_the_gguf_itself(tmp_path: Path) -> None:
    gguf = gguf_with(tmp_path / "model.gguf", ZEPHYR)
    assert read_template(gguf) == ModelTemplate(jinja=ZEPHYR, eos="</s>")
    assert served_for(gguf, LearnerSettings()).family == "zephyr"


def test_a_gguf_without_a_template_needs_one_from_the_settings(tmp_path: Path) -> None:
    gguf = gguf_with(tmp_path / "model.gguf", None)
    with pytest.raises(UnknownTemplate, match="no chat template"):
        served_for(gguf, LearnerSettings())
    settings = LearnerSettings(chat_template="{{ .Prompt }}", chat_system="Be kind.", chat_stops=["</s>"])
    served = served_for(gguf, settings)
    assert (served.template, served.system) == ("{{ .Prompt }}", "Be kind.")
    assert served.parameters == {"stop": ["</s>"], "repeat_penalty": 1.0}
