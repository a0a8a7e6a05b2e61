"""The merge: what llama.cpp says with the file is what PEFT says with the adapter, template and stops included."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFReader
from safetensors.numpy import load_file, save_file

from feedback.turns import Message
from learner import export
from learner.base import Base, UnsupportedBase
from learner.export import ExportFailed, ExportReport, merge_to_gguf, permute_rows
from learner.model import LoraModel, Place, save_adapter
from learner.settings import RecipeSettings
from learner.tokens import ChatTokens
from tests.fakes.llama_server import llama_server
from tests.fakes.tiny_gguf import write_tiny_gguf

TEXTS = ("the cat", "你好，世界", "What is 2 + 2? 15 / 3!")
VOCABULARY = 261
RECIPE = RecipeSettings(lora_rank=8, lora_alpha=16)

Logprobs = list[torch.Tensor]


pytestmark = pytest.mark.usefixtures("one_thread")


def random_adapter(base: Base, folder: Path) -> LoraModel:
    """An adapter that changes every linear layer by about a third, written to `folder`."""
    model = LoraModel(base.folder, RECIPE, Place())
    torch.manual_seed(3)
    with torch.no_grad():
        for name, each in model.parameters.items():
            if "lora_B" in name:
                each.normal_(0, 0.15)
    save_adapter(folder, model.adapter(), model.config, base.sha256)
    return model


def prompts(base: Base) -> list[list[int]]:
    tokens = ChatTokens.load(base.folder)
    return [tokens.prompt_ids([Message(role="user", content=text)]) for text in TEXTS]


def torch_says(base: Base, adapter: Path | None, scale: float = 1.0) -> Logprobs:
    """The log-probabilities of the next token in transformers and PEFT, fp32."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base.folder, dtype=torch.float32)
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter)
        for module in model.modules():
            if hasattr(module, "scale_layer"):
                module.scale_layer(scale)
    with torch.no_grad():
        return [model(input_ids=torch.tensor([ids])).logits[0, -1].log_softmax(-1) for ids in prompts(base)]


def llama_says(base: Base, gguf: Path) -> Logprobs:
    """The same from llama.cpp's server with the file."""
    with llama_server(gguf) as server:
        found = [server.next_token_logprobs(ids, VOCABULARY) for ids in prompts(base)]
    return [torch.tensor([each[token] for token in range(VOCABULARY)]) for each in found]


def apart(one: Logprobs, other: Logprobs) -> float:
    """The largest difference of a log-probability, over all prompts and the whole vocabulary, in nats."""
    return max((a - b).abs().max().item() for a, b in zip(one, other, strict=True))


def divergence(one: Logprobs, other: Logprobs) -> float:
    """The largest Kullback-Leibler divergence over the prompts, in nats."""
    return max((a.exp() * (a - b)).sum().item() for a, b in zip(one, other, strict=True))


@pytest.fixture(params=["llama", "qwen2"])
def base(request: pytest.FixtureRequest) -> Base:
    return request.getfixturevalue({"llama": "tiny_base", "qwen2": "tiny_qwen_base"}[request.param])


@pytest.mark.filterwarnings("ignore::FutureWarning")  # PEFT asks transformers by a name that it is giving up
def test_llama_cpp_says_with_the_merged_file_what_peft_says_with_the_adapter(
    base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random_adapter(base, tmp_path / "adapter")

    def merged(scale: float, quantisation: export.Quantisation) -> ExportReport:
        return merge_to_gguf(base.gguf, tmp_path / "adapter", scale, tmp_path / "merged.gguf", quantisation)

    said, bare = torch_says(base, tmp_path / "adapter"), torch_says(base, None)
    assert apart(said, bare) > 2, "the adapter changes much, or nothing would be shown"

    report = merged(1.0, "f16")
    assert (report.merged, report.tensors) == (14, len(GGUFReader(base.gguf).tensors))
    assert apart(llama_says(base, report.path), said) < 0.04
    assert divergence(said, llama_says(base, merged(1.0, "q8_0").path)) < 0.02
    assert apart(llama_says(base, merged(0.5, "f16").path), torch_says(base, tmp_path / "adapter", 0.5)) < 0.04
    assert apart(llama_says(base, merged(0.0, "f16").path), bare) < 0.04

    monkeypatch.setattr(export, "PERMUTED", ("qwen2",))  # the wrong way round for both
    assert apart(llama_says(base, merged(1.0, "f16").path), said) > 1, "a wrong order of rows would be seen"


def test_template_tokens_and_stop_are_the_bases_byte_for_byte(tiny_base: Base, tmp_path: Path) -> None:
    random_adapter(tiny_base, tmp_path / "adapter")
    report = merge_to_gguf(tiny_base.gguf, tmp_path / "adapter", 1.0, tmp_path / "merged.gguf", "q8_0")
    before, after = GGUFReader(tiny_base.gguf), GGUFReader(report.path)
    ours = {"general.file_type", "general.quantization_version"}
    for name, field in before.fields.items():
        if name not in ours and not name.startswith("GGUF."):
            assert [part.tobytes() for part in after.fields[name].parts] == [part.tobytes() for part in field.parts]
    assert after.fields.keys() - before.fields.keys() <= ours
    assert (after.fields["general.file_type"].contents(), report.bytes) == (7, report.path.stat().st_size)
    kinds = {tensor.name: tensor.tensor_type for tensor in after.tensors}
    assert kinds["output_norm.weight"] == GGMLQuantizationType.F32
    assert {kind for name, kind in kinds.items() if "norm" not in name} == {GGMLQuantizationType.Q8_0}

    tokens, messages = ChatTokens.load(tiny_base.folder), [Message(role="user", content="你好 the <b>")]
    with llama_server(report.path) as server:
        plain = [{"role": "user", "content": messages[0].content}]
        rendered = server.ask("/apply-template", {"messages": plain})["prompt"]
        body = {"content": rendered, "parse_special": True, "add_special": True}
        assert rendered == tokens.prompt(messages)
        assert server.ask("/tokenize", body)["tokens"] == tokens.prompt_ids(messages)


def test_nothing_added_copies_the_weights_as_they_are(tiny_base: Base, tmp_path: Path) -> None:
    random_adapter(tiny_base, tmp_path / "adapter")
    report = merge_to_gguf(tiny_base.gguf, tmp_path / "adapter", 0.0, tmp_path / "same.gguf", "f16")
    assert (report.merged, report.copied, report.change) == (0, report.tensors, 0.0)
    pairs = zip(GGUFReader(tiny_base.gguf).tensors, GGUFReader(report.path).tensors, strict=True)
    assert all(np.array_equal(one.data, other.data) for one, other in pairs)


def test_a_large_tensor_goes_through_in_slices_to_the_same_bytes(
    tiny_base: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random_adapter(tiny_base, tmp_path / "adapter")
    whole = merge_to_gguf(tiny_base.gguf, tmp_path / "adapter", 0.7, tmp_path / "whole.gguf", "q8_0")
    monkeypatch.setattr(export, "SLICE_FLOATS", 1000)
    sliced = merge_to_gguf(tiny_base.gguf, tmp_path / "adapter", 0.7, tmp_path / "sliced.gguf", "q8_0")
    assert (whole.sha256, whole.change) == (sliced.sha256, pytest.approx(sliced.change, rel=1e-4))


def test_rows_of_a_head_are_interleaved_within_it() -> None:
    rows = np.arange(8, dtype=np.float32).reshape(8, 1)
    assert permute_rows(rows, 2).ravel().tolist() == [0, 2, 1, 3, 4, 6, 5, 7]
    assert permute_rows(rows, 0) is rows


def change_weights(change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Callable[[Path], None]:
    def apply(adapter: Path) -> None:
        path = adapter / "adapter_model.safetensors"
        save_file(change(load_file(path)), path)

    return apply


def change_config(**values: Any) -> Callable[[Path], None]:
    def apply(adapter: Path) -> None:
        path = adapter / "adapter_config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | values))

    return apply


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (change_weights(lambda held: held | {"base_model.model.lm_head.lora_A.weight": np.ones((1, 1))}), "lm_head"),
        (change_weights(lambda held: {name: each for name, each in held.items() if "lora_B" in name}), "lacks A or B"),
        (change_weights(lambda held: {name: each[..., :4].copy() for name, each in held.items()}), "the adapter.s B·A"),
        (change_weights(lambda held: {name.replace("layers.1", "layers.7"): e for name, e in held.items()}), "blk.7"),
        (change_weights(lambda held: {name: each * np.nan for name, each in held.items()}), "numbers that are none"),
        (change_weights(lambda held: {name: each * 1e4 for name, each in held.items()}), "half precision"),
        (change_config(use_dora=True), "use_dora"),
        (change_config(modules_to_save=["embed_tokens"]), "modules_to_save"),
        (change_config(bias="all"), "no plain LoRA"),
    ],
)
def test_an_adapter_that_does_not_fit_is_refused_and_nothing_is_written(
    tiny_base: Base, tmp_path: Path, spoil: Callable[[Path], None], says: str
) -> None:
    random_adapter(tiny_base, tmp_path / "adapter")
    spoil(tmp_path / "adapter")
    out = tmp_path / "out" / "merged.gguf"
    with pytest.raises(ExportFailed, match=says):
        merge_to_gguf(tiny_base.gguf, tmp_path / "adapter", 1.0, out, "f16")
    assert not out.parent.exists() or list(out.parent.iterdir()) == []


def test_an_architecture_that_is_not_known_is_refused_by_name(tiny_base: Base, tmp_path: Path) -> None:
    random_adapter(tiny_base, tmp_path / "adapter")
    other = write_tiny_gguf(tmp_path / "other.gguf", architecture="gemma")
    with pytest.raises(UnsupportedBase, match="'gemma'"):
        merge_to_gguf(other, tmp_path / "adapter", 1.0, tmp_path / "merged.gguf", "f16")
