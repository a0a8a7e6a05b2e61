"""What a GGUF file says of itself: its metadata and the list of its tensors, read without the weights.

Read here by hand, with `struct` over a memory map, because the `gguf` library takes seconds and hundreds of megabytes
for a vocabulary of 49,152 words and brings numpy into the server. It also finds the files that llama.cpp would only
fail on later: cut short, or no GGUF at all, in the words in which Ollama says so. Must never trust a length that
points beyond the file's end.
"""

from __future__ import annotations

import mmap
import struct
from math import prod
from pathlib import Path
from typing import Any

import msgspec

from service.engine.refusal import Refusal

MAGIC = b"GGUF"
FLOAT32, STRING, ARRAY = 6, 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""GGUF's scalar types by number, as `struct` writes them."""

TYPES: dict[int, tuple[str, int, int]] = {
    0: ("F32", 1, 4), 1: ("F16", 1, 2), 2: ("Q4_0", 32, 18), 3: ("Q4_1", 32, 20), 6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24), 8: ("Q8_0", 32, 34), 10: ("Q2_K", 256, 84), 11: ("Q3_K", 256, 110), 12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176), 14: ("Q6_K", 256, 210), 30: ("BF16", 1, 2),
}  # fmt: skip
"""Tensor types by number: name, weights in a block, bytes of a block. Others are served as well, only not measured."""

FILE_TYPES = {
    0: "F32", 1: "F16", 2: "Q4_0", 3: "Q4_1", 7: "Q8_0", 8: "Q5_0", 9: "Q5_1", 10: "Q2_K", 11: "Q3_K_S", 12: "Q3_K_M",
    13: "Q3_K_L", 14: "Q4_K_S", 15: "Q4_K_M", 16: "Q5_K_S", 17: "Q5_K_M", 18: "Q6_K", 32: "BF16",
}  # fmt: skip
"""`general.file_type` by number."""


class Tensor(msgspec.Struct, frozen=True):
    """One tensor's entry."""

    name: str
    shape: tuple[int, ...]
    """The row's length first."""
    kind: int
    """A key of TYPES, mostly."""
    offset: int
    """Bytes from the start of the data section."""

    @property
    def type_name(self) -> str:
        return TYPES[self.kind][0] if self.kind in TYPES else str(self.kind)

    @property
    def elements(self) -> int:
        return prod(self.shape)

    @property
    def size(self) -> int | None:
        """Bytes; None for a type that is not in TYPES."""
        if self.kind not in TYPES:
            return None
        _, weights, size = TYPES[self.kind]
        return self.elements // weights * size


class GgufFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file's header."""

    metadata: dict[str, Any]
    """Arrays are None unless they were asked for."""
    value_at: dict[str, int]
    """Where each metadata value starts, bytes from the start of the file."""
    metadata_span: tuple[int, int]
    """Where the metadata section starts and ends."""
    tensors: list[Tensor]
    data_start: int
    alignment: int

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", "unknown"))

    @property
    def file_type(self) -> str:
        return FILE_TYPES.get(self.metadata.get("general.file_type", -1), "unknown")

    @property
    def parameter_count(self) -> int:
        return sum(tensor.elements for tensor in self.tensors)

    def of_architecture(self, key: str) -> int:
        """A number such as `context_length`, which stands under the architecture's name; 0 where it is missing."""
        return int(self.metadata.get(f"{self.architecture}.{key}") or 0)


def read_gguf(path: Path, *, arrays: bool = False) -> GgufFile:
    """Read the header and check that every tensor lies inside the file.

    Raises Refusal: 400 for what is no GGUF, 500 for one that was cut short.
    """
    with path.open("rb") as file:
        if file.read(4) != MAGIC:
            raise Refusal(400, "supplied file was not in GGUF format")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            try:
                found = _Reader(data, arrays).whole()
            except (struct.error, IndexError, UnicodeDecodeError) as error:
                raise Refusal(500, "unexpected EOF") from error
            size = len(data)
    for tensor in found.tensors:
        end = found.data_start + tensor.offset + (tensor.size or 0)
        if end > size:
            raise Refusal(500, f'tensor "{tensor.name}" offset+size ({end}) exceeds file size ({size})')
    return found


class _Reader:
    """Walks the header once, from its start to the data section."""

    def __init__(self, data: mmap.mmap, arrays: bool) -> None:
        self._data = data
        self._arrays = arrays
        self._at = 4

    def whole(self) -> GgufFile:
        version, tensors, pairs = self._take("IQQ")
        if version not in (2, 3):
            raise Refusal(400, f"unsupported GGUF version {version}")
        start = self._at
        metadata: dict[str, Any] = {}
        value_at: dict[str, int] = {}
        for _ in range(pairs):
            key, (kind,) = self._string(), self._take("I")
            value_at[key] = self._at
            metadata[key] = self._value(kind)
        end = self._at
        entries = [self._tensor() for _ in range(tensors)]
        alignment = int(metadata.get("general.alignment") or 32)
        return GgufFile(
            metadata=metadata, value_at=value_at, metadata_span=(start, end), tensors=entries,
            data_start=-(-self._at // alignment) * alignment, alignment=alignment,
        )  # fmt: skip

    def _take(self, layout: str) -> tuple[Any, ...]:
        found = struct.unpack_from(f"<{layout}", self._data, self._at)
        self._at += struct.calcsize(f"<{layout}")
        return found

    def _bytes(self, count: int) -> bytes:
        found = self._data[self._at : self._at + count]
        if len(found) < count:
            raise IndexError
        self._at += count
        return found

    def _string(self) -> str:
        return self._bytes(self._take("Q")[0]).decode()

    def _value(self, kind: int) -> Any:
        if kind == STRING:
            return self._string()
        if kind == ARRAY:
            return self._array()
        if kind not in SCALARS:
            raise Refusal(400, f"unsupported GGUF metadata type {kind}")
        (found,) = self._take(SCALARS[kind])
        # A 32-bit float is shown with the digits that it has, 1e-05, not with those of its 64-bit copy.
        return float(f"{found:.7g}") if kind == FLOAT32 else found

    def _array(self) -> list[Any] | None:
        kind, count = self._take("IQ")
        if self._arrays or kind == ARRAY:
            found = [self._value(kind) for _ in range(count)]
            return found if self._arrays else None
        if kind == STRING:
            for _ in range(count):
                length = self._take("Q")[0]
                self._skip(length)
        elif kind in SCALARS:
            self._skip(count * struct.calcsize(f"<{SCALARS[kind]}"))
        else:
            raise Refusal(400, f"unsupported GGUF metadata type {kind}")
        return None

    def _skip(self, count: int) -> None:
        self._at += count
        if self._at > len(self._data):
            raise IndexError

    def _tensor(self) -> Tensor:
        name, (dimensions,) = self._string(), self._take("I")
        *shape, kind, offset = self._take(f"{dimensions}QIQ")
        return Tensor(name, tuple(shape), kind, offset)
