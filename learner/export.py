"""Adapter + base → the GGUF that is served. The merge happens in GGUF space: the base's own file, tensor by tensor.

Everything that is not a weight (tokenizer, chat template, hyper-parameters) is copied byte for byte, so template, BOS
and stop tokens of the candidate are the base's by construction, whatever its settings. Weights are dequantised, the
adapter's product is added in fp32, and they are written in one precision; what nothing is added to and has that
precision already is copied as it is. Tensors go through in slices of rows, so memory stays flat for any model, and no
torch is needed.

Must never write a file that loads and talks nonsense: an adapter tensor that finds no place, a shape that doesn't fit,
an architecture whose row order is not known, a value that is no number are errors. The rows of q and k are the trap:
llama.cpp keeps them in another order than Hugging Face for `llama`, and not for `qwen2`.
"""

from __future__ import annotations

import json
import os
import re
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import gguf
import msgspec
import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType, GGUFReader, LlamaFileType
from gguf.quants import dequantize, quantize
from safetensors.numpy import load_file

from feedback.errors import CycleFailed
from feedback.files import sha256_file, sync_folder
from learner.base import ARCHITECTURES, UnsupportedBase

Floats = npt.NDArray[np.float32]
Quantisation = Literal["q8_0", "f16"]

NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
}  # fmt: skip
"""A layer's module in Hugging Face's names → its tensor in GGUF's."""
PERMUTED = ("llama",)
"""Architectures whose q and k rows lie interleaved in GGUF (pairs for rotary embedding), halved in Hugging Face."""
SLICE_FLOATS = 8 << 20
"""How many weights are in memory as fp32 at a time (32 MiB)."""
_LORA = re.compile(r"^base_model\.model\.model\.layers\.(\d+)\.(.+)\.lora_([AB])\.weight$")
_TYPES = {"q8_0": GGMLQuantizationType.Q8_0, "f16": GGMLQuantizationType.F16}
_FILE_TYPES = {"q8_0": LlamaFileType.MOSTLY_Q8_0, "f16": LlamaFileType.MOSTLY_F16}


class ExportFailed(CycleFailed):
    code = "export-failed"


class ExportReport(msgspec.Struct, frozen=True, kw_only=True):
    """What was written."""

    path: Path
    sha256: str
    bytes: int
    quantisation: Quantisation
    scale: float
    tensors: int
    merged: int
    """Tensors to which the adapter was added; 0 at scale 0."""
    copied: int
    """Tensors whose bytes are the base's."""
    change: float
    """The adapter's part in the merged weights: norm of what was added over norm of what it was added to."""
    seconds: float


class Delta(msgspec.Struct, frozen=True, kw_only=True):
    """What is added to one tensor: `left @ right`, in the tensor's own row order."""

    left: Floats
    """(rows, rank), the scale in it."""
    right: Floats
    """(rank, columns)."""


def merge_to_gguf(
    base_gguf: Path, adapter_dir: Path, scale: float, out: Path, quantisation: Quantisation
) -> ExportReport:
    """Write `base + scale · (alpha / rank) · B·A` to `out`, whole or not at all.

    Raises UnsupportedBase for an architecture that is not known here, ExportFailed for an adapter that doesn't fit.
    """
    began = time.perf_counter()
    reader = _open(base_gguf)
    deltas = read_deltas(reader, adapter_dir, scale)
    types = [_target_type(tensor, _TYPES[quantisation]) for tensor in reader.tensors]
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    copied, before, added = 0, 0.0, 0.0
    try:
        with part.open("wb") as file:
            file.write(_header(reader, types, _FILE_TYPES[quantisation]))
            _pad(file, reader.alignment)
            for tensor, kind in zip(reader.tensors, types, strict=True):
                delta = deltas.get(tensor.name)
                if delta is None and tensor.tensor_type == kind:
                    for rows in _slices(tensor):
                        file.write(rows.tobytes())
                    copied += 1
                else:
                    for rows, sums in _merged(tensor, delta):
                        file.write(quantize(rows, kind).tobytes())
                        before, added = before + sums[0], added + sums[1]
                _pad(file, reader.alignment)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, out)
        sync_folder(out.parent)
    finally:
        part.unlink(missing_ok=True)
    return ExportReport(
        path=out, sha256=sha256_file(out), bytes=out.stat().st_size, quantisation=quantisation, scale=scale,
        tensors=len(types), merged=len(deltas), copied=copied,
        change=float((added / before) ** 0.5) if before else 0.0, seconds=round(time.perf_counter() - began, 3),
    )  # fmt: skip


def read_deltas(reader: GGUFReader, adapter_dir: Path, scale: float) -> dict[str, Delta]:
    """The adapter as what is added to each GGUF tensor, rows in GGUF's order. Raises ExportFailed."""
    factor = scale * _adapter_factor(adapter_dir)
    pairs: dict[str, dict[str, Floats]] = {}
    for name, weights in load_file(adapter_dir / "adapter_model.safetensors").items():
        found = _LORA.match(name)
        if found is None or found[2] not in NAMES:
            raise ExportFailed(f"The adapter holds {name}, which has no place in a GGUF.", _TARGETS_MEND)
        pairs.setdefault(f"blk.{found[1]}.{NAMES[found[2]]}.weight", {})[found[3]] = weights.astype(np.float32)
    if factor == 0.0:
        return {}
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    deltas: dict[str, Delta] = {}
    for name, pair in pairs.items():
        if name not in tensors or pair.keys() != {"A", "B"}:
            raise ExportFailed(f"The adapter's part for {name} finds no tensor, or lacks A or B.", _OTHER_BASE)
        columns, rows = (int(each) for each in tensors[name].shape)
        left, right = pair["B"] * np.float32(factor), pair["A"]
        if (left.shape[0], right.shape[1]) != (rows, columns) or left.shape[1] != right.shape[0]:
            raise ExportFailed(
                f"{name} is {rows} × {columns}; the adapter's B·A is {left.shape} · {right.shape}.", _OTHER_BASE
            )
        if not (np.isfinite(left).all() and np.isfinite(right).all()):
            raise ExportFailed(f"The adapter holds numbers that are none, for {name}.", "Train it anew.")
        deltas[name] = Delta(left=permute_rows(left, _heads(reader, name)), right=right)
    return deltas


def permute_rows(rows: Floats, heads: int) -> Floats:
    """Rows from Hugging Face's order to llama.cpp's: within each head, (first half, second half) → pairs. 0 heads:
    as they are."""
    if not heads:
        return rows
    count, width = rows.shape
    return rows.reshape(heads, 2, count // heads // 2, width).swapaxes(1, 2).reshape(count, width)


_TARGETS_MEND = f"Train with LoRA on these alone: {', '.join(sorted(each.split('.')[1] for each in NAMES))}."
_OTHER_BASE = "Export onto the base that the adapter was trained on."


def _open(path: Path) -> GGUFReader:
    """The base's reader. Raises UnsupportedBase."""
    try:
        reader = GGUFReader(path)
    except (ValueError, OSError) as error:
        raise UnsupportedBase(f"{path} is not a GGUF file: {error}.", "Name a GGUF file as the base model.") from error
    architecture = _field(reader, "general.architecture")
    if architecture not in ARCHITECTURES:
        raise UnsupportedBase(
            f"An adapter can't be merged into the architecture {architecture!r}.",
            f"Take a base of one of these: {', '.join(ARCHITECTURES)}.",
        )
    if (
        reader.endianess != gguf.GGUFEndian.LITTLE
        or _field(reader, "split.count")
        or reader.fields["GGUF.version"].contents() < 2
    ):
        raise UnsupportedBase(
            f"{path.name} is big-endian, split over several files, or of GGUF's first version.",
            "Convert it to one little-endian file of today's version.",
        )
    return reader


def _field(reader: GGUFReader, key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()


def _heads(reader: GGUFReader, tensor: str) -> int:
    """In how many heads the tensor's rows are permuted; 0: not at all."""
    architecture = _field(reader, "general.architecture")
    if architecture not in PERMUTED or not re.search(r"\.attn_[qk]\.", tensor):
        return 0
    heads = int(_field(reader, f"{architecture}.attention.head_count"))
    keys = _field(reader, f"{architecture}.attention.head_count_kv")
    return heads if ".attn_q." in tensor or keys is None else int(keys)


def _adapter_factor(adapter_dir: Path) -> float:
    """alpha / rank. Raises ExportFailed for a kind of adapter that is not a plain LoRA."""
    config = json.loads((adapter_dir / "adapter_config.json").read_bytes())
    odd = [
        name
        for name in (
            "use_dora",
            "use_rslora",
            "lora_bias",
            "modules_to_save",
            "rank_pattern",
            "alpha_pattern",
            "fan_in_fan_out",
        )
        if config.get(name)
    ]
    if odd or config.get("bias", "none") != "none":
        raise ExportFailed(
            f"The adapter is no plain LoRA: {', '.join(odd) or 'bias'}.",
            "Train it without these, or merge it yourself.",
        )
    return float(config["lora_alpha"]) / float(config["r"])


def _target_type(tensor: Any, wanted: GGMLQuantizationType) -> GGMLQuantizationType:
    """As llama.cpp does: vectors (norms, biases, rotary factors) in F32, matrices as wanted; rows that don't fill whole
    blocks in F16."""
    if len(tensor.shape) < 2:
        return GGMLQuantizationType.F32
    block, _ = gguf.GGML_QUANT_SIZES[wanted]
    return wanted if int(tensor.shape[0]) % block == 0 else GGMLQuantizationType.F16


def _merged(tensor: Any, delta: Delta | None) -> Iterator[tuple[Floats, tuple[float, float]]]:
    """A tensor's rows in fp32 with the delta added, slice by slice, and each slice's sums of squares: before, added."""
    start = 0
    for data in _slices(tensor):
        rows = dequantize(np.ascontiguousarray(data), tensor.tensor_type).astype(np.float32)
        sums = (0.0, 0.0)
        if delta is not None:
            added = delta.left[start : start + len(rows)] @ delta.right
            start += len(rows)
            sums = (float(np.vdot(rows, rows)), float(np.vdot(added, added)))
            rows = rows + added
        if not np.isfinite(rows).all() or np.abs(rows).max(initial=0.0) > np.finfo(np.float16).max:
            raise ExportFailed(
                f"{tensor.name} has numbers that half precision can't hold.", "Lower the adapter's scale."
            )
        yield rows, sums


def _slices(tensor: Any) -> Iterator[npt.NDArray[Any]]:
    """A tensor's stored rows, a slice at a time."""
    data = tensor.data if len(tensor.shape) > 1 else tensor.data.reshape(1, -1)
    step = max(1, SLICE_FLOATS // int(tensor.shape[0]))
    for start in range(0, data.shape[0], step):
        yield data[start : start + step]


def _header(reader: GGUFReader, types: list[GGMLQuantizationType], file_type: LlamaFileType) -> bytes:
    """Magic, counts, metadata and the table of tensors. Metadata is the base's bytes but for two entries."""
    ours = {"general.file_type": int(file_type), "general.quantization_version": int(gguf.GGML_QUANT_VERSION)}
    fields = sorted(
        (each for name, each in reader.fields.items() if not name.startswith("GGUF.")), key=lambda f: f.offset
    )
    ends = [field.offset for field in fields[1:]] + [reader.tensors[0].field.offset]
    entries = [
        reader.data[field.offset : end].tobytes()
        for field, end in zip(fields, ends, strict=True)
        if field.name not in ours
    ]
    entries += [_string(key) + struct.pack("<II", int(gguf.GGUFValueType.UINT32), value) for key, value in ours.items()]
    version = int(reader.fields["GGUF.version"].contents())
    head = struct.pack("<IIQQ", gguf.GGUF_MAGIC, version, len(types), len(entries))
    table, offset = [], 0
    for tensor, kind in zip(reader.tensors, types, strict=True):
        shape = [int(each) for each in tensor.shape]  # GGUF's order: columns first
        table.append(_string(tensor.name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, int(kind), offset))
        block, size = gguf.GGML_QUANT_SIZES[kind]
        length = int(tensor.n_elements) // block * size
        offset += -(-length // reader.alignment) * reader.alignment
    return b"".join([head, *entries, *table])


def _string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _pad(file: Any, alignment: int) -> None:
    file.write(bytes(-file.tell() % alignment))
