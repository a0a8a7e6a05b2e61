"""Rewrites a 16- or 32-bit GGUF with its weights in Q8_0: `python -m service.engine.quantize SOURCE TARGET`.

A program of its own, because it keeps a core busy and needs numpy, and the server should have neither. Everything but
the weights is copied as it is, byte for byte; the rounding is that of `gguf.quants`, which is bit-exact with llama.cpp.
Which tensors stay as they are is llama.cpp's rule (and Ollama's): norms, vectors, routers, embeddings of positions.
Weights pass through in slices, so that memory stays small whatever the model's size.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import gguf
import numpy as np
from gguf.constants import GGMLQuantizationType as Kind

from service.engine.gguf_file import TYPES, GgufFile, Tensor, read_gguf

Q8_0, Q8_0_FILE = 8, 7
SOURCES: dict[int, np.dtype[Any]] = {0: np.dtype("<f4"), 1: np.dtype("<f2"), 30: np.dtype("<u2")}
"""Types that can be quantised: F32, F16, BF16, as numpy reads them."""
SLICE = 1 << 21
"""Weights converted at a time: 8 MiB in F32."""
KEPT = (
    "_norm.weight", "ffn_gate_inp", "position_embd.weight", "token_types.weight", "ssm_conv1d.weight",
    "shortconv.conv.weight", "time_mix_", "attn_rel_b.weight", "per_layer_token_embd.weight", "mm.",
)  # fmt: skip
"""Tensors with these in their names keep their precision."""


def quantize_q8_0(source: Path, target: Path) -> None:
    """Write `target`, a Q8_0 copy of `source`."""
    header = read_gguf(source)
    tensors, offset = [], 0
    for tensor in header.tensors:
        new = Tensor(tensor.name, tensor.shape, Q8_0 if is_quantised(tensor) else tensor.kind, offset)
        tensors.append(new)
        offset += _padded(_size(new), header.alignment)
    with source.open("rb") as old, target.open("wb") as file:
        file.write(_header(old, header, tensors))
        file.write(bytes(_padded(file.tell(), header.alignment) - file.tell()))
        for before, after in zip(header.tensors, tensors, strict=True):
            for part in _converted(old, header.data_start + before.offset, before, after):
                file.write(part)
            file.write(bytes(_padded(_size(after), header.alignment) - _size(after)))


def is_quantised(tensor: Tensor) -> bool:
    """Whether this tensor is one whose precision is reduced."""
    return (
        tensor.kind in SOURCES
        and tensor.name.endswith("weight")
        and not tensor.name.startswith("v.")
        and len(tensor.shape) >= 2
        and tensor.shape[0] % 32 == 0
        and not any(kept in tensor.name for kept in KEPT)
    )


def _header(old: BinaryIO, header: GgufFile, tensors: list[Tensor]) -> bytes:
    """Magic, metadata with the new file type, and the new list of tensors."""
    old.seek(0)
    start, end = header.metadata_span
    found = bytearray(old.read(end))
    pairs = len(header.metadata)
    for key, value in (("general.file_type", Q8_0_FILE), ("general.quantization_version", 2)):
        if key in header.value_at:
            struct.pack_into("<I", found, header.value_at[key], value)
        else:
            found += struct.pack("<Q", len(key)) + key.encode() + struct.pack("<II", 4, value)
            pairs += 1
    struct.pack_into("<QQ", found, start - 16, len(tensors), pairs)
    for tensor in tensors:
        name = tensor.name.encode()
        found += struct.pack("<Q", len(name)) + name + struct.pack("<I", len(tensor.shape))
        found += struct.pack(f"<{len(tensor.shape)}QIQ", *tensor.shape, tensor.kind, tensor.offset)
    return bytes(found)


def _converted(old: BinaryIO, start: int, before: Tensor, after: Tensor) -> Iterator[bytes]:
    """The tensor's bytes in its new type, slice by slice."""
    old.seek(start)
    if before.kind == after.kind:
        yield old.read(_size(before))
        return
    kind, row = SOURCES[before.kind], before.shape[0]
    rows, step = before.elements // row, max(1, SLICE // row)
    for first in range(0, rows, step):
        count = min(step, rows - first) * row
        weights = _as_f32(np.frombuffer(old.read(count * kind.itemsize), dtype=kind), before.kind)
        yield gguf.quants.quantize(weights.reshape(-1, row), Kind.Q8_0).tobytes()


def _as_f32(weights: np.ndarray[Any, Any], kind: int) -> np.ndarray[Any, Any]:
    if TYPES[kind][0] == "BF16":
        return (weights.astype(np.uint32) << 16).view(np.float32)
    return weights.astype(np.float32)


def _size(tensor: Tensor) -> int:
    if tensor.size is None:
        raise ValueError(f"tensor type {tensor.kind} of {tensor.name} is not known here")
    return tensor.size


def _padded(size: int, alignment: int) -> int:
    return -(-size // alignment) * alignment


if __name__ == "__main__":
    quantize_q8_0(Path(sys.argv[1]), Path(sys.argv[2]))
