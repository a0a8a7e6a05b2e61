"""GGUF files: what their header says, files that are cut or no GGUF, and quantising to Q8_0."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from service.engine.gguf_file import read_gguf
from service.engine.quantize import quantize_q8_0
from service.engine.refusal import Refusal
from tests.fakes.tiny_gguf import TEMPLATE


def weights(path: Path) -> dict[str, tuple[str, np.ndarray[Any, Any]]]:
    """Every tensor's type and values, read by the `gguf` library."""
    return {
        tensor.name: (tensor.tensor_type.name, gguf.dequantize(tensor.data, tensor.tensor_type))
        for tensor in gguf.GGUFReader(path).tensors
    }


def test_the_header_of_the_real_base_model(smollm2: Path) -> None:
    header = read_gguf(smollm2)
    assert (header.architecture, header.file_type, header.parameter_count) == ("llama", "Q4_1", 134_515_008)
    assert (header.of_architecture("context_length"), header.of_architecture("embedding_length")) == (8192, 576)
    assert header.metadata["llama.attention.layer_norm_rms_epsilon"] == 1e-05
    assert header.metadata["tokenizer.ggml.tokens"] is None
    last = header.tensors[-1]
    assert last.size is not None
    assert header.data_start + last.offset + last.size == smollm2.stat().st_size


def test_long_lists_are_read_only_where_they_are_asked_for(tiny: Path) -> None:
    tokens = read_gguf(tiny, arrays=True).metadata["tokenizer.ggml.tokens"]
    assert tokens[:3] == ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


@pytest.mark.parametrize("share", [0.001, 0.01, 0.03])
def test_a_header_that_is_cut_ends_unexpectedly(tiny: Path, tmp_path: Path, share: float) -> None:
    data = tiny.read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(Refusal, match="unexpected EOF"):
        read_gguf(cut)


def test_weights_that_are_cut_are_found_before_they_are_served(tiny: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(tiny.read_bytes()[:-1])
    exceeds = rf"exceeds file size \({cut.stat().st_size}\)"
    with pytest.raises(Refusal, match=rf'tensor "output_norm.weight" offset\+size \(\d+\) {exceeds}'):
        read_gguf(cut)


@pytest.mark.parametrize("content", [b"", b"GG", b"not a GGUF at all"])
def test_what_is_no_gguf_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "x.gguf"
    file.write_bytes(content)
    with pytest.raises(Refusal, match="supplied file was not in GGUF format"):
        read_gguf(file)


def test_quantised_weights_are_those_of_the_reference_and_the_rest_is_untouched(tiny: Path, tiny_q8: Path) -> None:
    before, after = weights(tiny), weights(tiny_q8)
    assert list(before) == list(after)
    assert {name for name, (kind, _) in after.items() if kind == "F32"} == {name for name in before if "norm" in name}
    for name, (kind, values) in before.items():
        expected = values
        if kind == "F16":
            packed = gguf.quants.quantize(values.astype(np.float32), gguf.GGMLQuantizationType.Q8_0)
            expected = gguf.dequantize(packed, gguf.GGMLQuantizationType.Q8_0)
        np.testing.assert_array_equal(after[name][1], expected, err_msg=name)


def test_the_quantised_file_says_what_it_is_and_keeps_every_other_word(tiny: Path, tiny_q8: Path) -> None:
    before, after = read_gguf(tiny, arrays=True), read_gguf(tiny_q8, arrays=True)
    assert (before.file_type, after.file_type) == ("F16", "Q8_0")
    changed = {"general.file_type": 7, "general.quantization_version": 2}
    assert after.metadata == before.metadata | changed
    assert after.metadata["tokenizer.chat_template"] == TEMPLATE


def test_bfloat16_and_float32_are_quantised_as_well(tmp_path: Path) -> None:
    values = np.random.default_rng(3).standard_normal((64, 96)).astype(np.float32)
    for kind in (gguf.GGMLQuantizationType.BF16, gguf.GGMLQuantizationType.F32):
        source, target = tmp_path / f"{kind.name}.gguf", tmp_path / f"{kind.name}-q8.gguf"
        writer = gguf.GGUFWriter(source, "llama")
        writer.add_tensor("blk.0.ffn_up.weight", gguf.quants.quantize(values, kind), raw_dtype=kind)
        writer.add_tensor("blk.0.odd.weight", np.ones((2, 31), dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        quantize_q8_0(source, target)
        found = weights(target)
        assert found["blk.0.ffn_up.weight"][0] == "Q8_0"
        assert np.abs(found["blk.0.ffn_up.weight"][1] - values).max() < 0.02
        assert found["blk.0.odd.weight"][0] == "F32", "a row that is no multiple of 32 stays as it is"
