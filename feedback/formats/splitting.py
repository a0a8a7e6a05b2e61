"""A file in pieces → its records, still as bytes, each with the line that it begins on.

Takes JSON lines and one JSON array of objects; the first character says which it is. Keeps the record under way and
nothing else, so a file may be as large as it likes; a record may not (`RECORD_BYTES`). A bad line of JSON lines costs
that line. An array that is broken is read no further, since nobody can say where its next record begins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

RECORD_BYTES = 8 << 20
"""Largest record, in bytes: a snapshot of a long chat has its place in it."""
BOM = b"\xef\xbb\xbf"
SPACE = b" \t\r\n"
_INSIDE = re.compile(rb'["{}\[\]]')
_STRING_END = re.compile(rb'["\\]')
_BETWEEN = re.compile(rb"[^\s,]")


@dataclass(frozen=True, slots=True)
class Raw:
    """One record of a file."""

    line: int
    """1, 2, …: the line on which it begins."""
    data: bytes
    wrong: str = ""
    """Why there is no data, where it could not even be cut out."""


class Splitter:
    """`feed` it the file piece by piece, then `end` it."""

    def __init__(self, record_bytes: int = RECORD_BYTES) -> None:
        self._limit = record_bytes
        self._rest = b""
        self._cutter: _Lines | _Array | None = None

    def feed(self, data: bytes) -> list[Raw]:
        """The records that end in this piece."""
        if self._cutter is None:
            data, self._rest = self._rest + data, b""
            start = data.removeprefix(BOM).lstrip(SPACE)
            if not start or (len(data) < len(BOM) and BOM.startswith(data)):
                self._rest = data
                return []
            line = 1 + data[: len(data) - len(start)].count(b"\n")
            array = start.startswith(b"[")
            self._cutter = _Array(line, self._limit) if array else _Lines(line, self._limit)
            data = start[1:] if array else start
        return self._cutter.feed(data)

    def end(self) -> list[Raw]:
        """What is left at the end of the file."""
        return self._cutter.end() if self._cutter is not None else []


class _Lines:
    """One record a line; empty lines are none."""

    def __init__(self, line: int, limit: int) -> None:
        self._line = line
        self._limit = limit
        self._open = bytearray()
        self._long = False

    def feed(self, data: bytes) -> list[Raw]:
        found: list[Raw] = []
        *whole, rest = data.split(b"\n")
        for piece in whole:
            self._add(piece)
            self._close(found)
        self._add(rest)
        return found

    def end(self) -> list[Raw]:
        found: list[Raw] = []
        self._close(found)
        return found

    def _add(self, piece: bytes) -> None:
        if self._long or len(self._open) + len(piece) > self._limit:
            self._long = True
            self._open.clear()
        else:
            self._open += piece

    def _close(self, found: list[Raw]) -> None:
        if self._long:
            found.append(Raw(self._line, b"", too_long(self._limit)))
        elif data := bytes(self._open).strip(SPACE):
            found.append(Raw(self._line, data))
        self._open.clear()
        self._long = False
        self._line += 1


class _Array:
    """Objects of one array, by counting brackets outside of strings."""

    def __init__(self, line: int, limit: int) -> None:
        self._line = line
        self._limit = limit
        self._open = bytearray()
        self._began = 0
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._long = False
        self._over = False

    def feed(self, data: bytes) -> list[Raw]:
        found: list[Raw] = []
        at = 0
        while at < len(data) and not self._over:
            at = self._inside(data, at, found) if self._depth else self._between(data, at, found)
        return found

    def end(self) -> list[Raw]:
        if self._over:
            return []
        self._over = True
        return [Raw(self._began if self._depth else self._line, b"", "The array does not end: the file was cut.")]

    def _between(self, data: bytes, at: int, found: list[Raw]) -> int:
        """Up to the next record, or the array's end."""
        hit = _BETWEEN.search(data, at)
        stop = hit.start() if hit else len(data)
        self._line += data.count(b"\n", at, stop)
        if hit is None:
            return stop
        if hit[0] == b"{":
            self._depth, self._began = 1, self._line
            self._keep(b"{")
        else:
            self._over = True
            if hit[0] != b"]":
                wrong = "Something else than an object stands here; what follows was not read."
                found.append(Raw(self._line, b"", wrong))
        return stop + 1

    def _inside(self, data: bytes, at: int, found: list[Raw]) -> int:
        """Up to the record's end, or the piece's."""
        begin = at
        while self._depth and at < len(data):
            at = self._string(data, at) if self._in_string else self._structure(data, at)
        self._keep(data[begin:at])
        self._line += data.count(b"\n", begin, at)
        if not self._depth:
            wrong = too_long(self._limit) if self._long else ""
            found.append(Raw(self._began, b"" if wrong else bytes(self._open), wrong))
            self._open.clear()
            self._long = False
        return at

    def _string(self, data: bytes, at: int) -> int:
        if self._escaped:
            self._escaped = False
            return at + 1
        hit = _STRING_END.search(data, at)
        if hit is None:
            return len(data)
        self._escaped, self._in_string = hit[0] == b"\\", hit[0] == b"\\"
        return hit.end()

    def _structure(self, data: bytes, at: int) -> int:
        hit = _INSIDE.search(data, at)
        if hit is None:
            return len(data)
        if hit[0] == b'"':
            self._in_string = True
        else:
            self._depth += 1 if hit[0] in b"{[" else -1
        return hit.end()

    def _keep(self, piece: bytes) -> None:
        if self._long or len(self._open) + len(piece) > self._limit:
            self._long = True
            self._open.clear()
        else:
            self._open += piece


def too_long(limit: int) -> str:
    """Why a record was left out."""
    return f"The record is longer than {limit:,} bytes."
