"""Lists of other filters, read into the rows of ours.

    plain     one word a line, `#` comments
    csv       our own columns, or a first column of words with a header that we don't know
    houbb     sensitive-word's files: a word a line, or `word tag1,tag2` (its tags 0 to 4 have names)
    toolgood  ToolGood.Words': words a line, or several with `|` between them

A foreign list never carries our actions, so an imported word flags until a moderator decides otherwise: 60,000 words of
somebody else's choosing must not start to block by being copied in.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import msgspec

from feedback.errors import InvalidInput, InvalidWords

Format = Literal["plain", "csv", "houbb", "toolgood"]
FORMATS: tuple[Format, ...] = ("plain", "csv", "houbb", "toolgood")
HOUBB_TAGS = {"0": "politics", "1": "drugs", "2": "sex", "3": "gambling", "4": "crime"}
"""The numbers that houbb's own tag file uses."""
COLUMNS = ("word", "category", "action")
WORD_LIMIT = 200
"""Characters of a word; a longer line is prose that stands in a list by mistake."""


class Imported(msgspec.Struct, frozen=True, kw_only=True):
    """What an import found."""

    words: int
    doubles: int
    """Words that stood there before, in another line."""
    left_out: int
    """Lines of more than WORD_LIMIT characters."""


Row = tuple[str, str]
"""Word, category (empty: none given)."""


def import_list(source: Path, form: Format, category: str, action: str) -> tuple[str, Imported]:
    """Our CSV of a foreign list, and what became of its lines. Raises InvalidWords where it can't be read.

    `category` stands for words without one of their own.
    """
    text = _decoded(source)
    seen: dict[str, str] = {}
    doubles = left_out = 0
    for word, tag in _READERS[form](text):
        if not word:
            continue
        if len(word) > WORD_LIMIT:
            left_out += 1
        elif word in seen:
            doubles += 1
        else:
            seen[word] = tag or category
    if not seen:
        raise InvalidWords(f"{source} holds no word in the format {form}.", f"Formats are {', '.join(FORMATS)}.")
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    writer.writerows((word, tag, action) for word, tag in seen.items())
    return out.getvalue(), Imported(words=len(seen), doubles=doubles, left_out=left_out)


def _decoded(source: Path) -> str:
    """UTF-8, else GB 18030, in which many Chinese lists still come."""
    try:
        data = source.read_bytes()
    except OSError as error:
        raise InvalidWords(f"{source} can't be read: {error.strerror}.", "Name an existing file.") from error
    for encoding in ("utf-8-sig", "gb18030"):
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise InvalidWords(f"{source} is neither UTF-8 nor GB 18030.", "Save the list as UTF-8.")


def _plain(text: str) -> Iterator[Row]:
    for line in text.splitlines():
        word = line.strip()
        if not word.startswith("#"):
            yield word, ""


def _csv(text: str) -> Iterator[Row]:
    """The columns `word` and `category` where a header names them, else the first two."""
    where = (0, 1)
    try:
        for number, row in enumerate(csv.reader(io.StringIO(text), strict=True)):
            cells = [cell.strip() for cell in row]
            if number == 0 and "word" in (names := [cell.lower() for cell in cells]):
                where = (names.index("word"), names.index("category") if "category" in names else len(names))
                continue
            yield _cell(cells, where[0]), _cell(cells, where[1])
    except csv.Error as error:
        raise InvalidInput(f"The file is no CSV: {error}.", "Mend its quotes and commas.") from error


def _cell(cells: list[str], index: int) -> str:
    return cells[index] if index < len(cells) else ""


def _houbb(text: str) -> Iterator[Row]:
    """The tags stand behind the last space; a word may hold spaces of its own, and several tags become the first."""
    for line in text.splitlines():
        word, space, tags = line.strip().rpartition(" ")
        if not space:
            yield tags, ""
            continue
        first = tags.split(",")[0]
        yield word.strip(), HOUBB_TAGS.get(first, first)


def _toolgood(text: str) -> Iterator[Row]:
    for line in text.splitlines():
        for word in line.split("|"):
            yield word.strip(), ""


_READERS: dict[Format, Callable[[str], Iterator[Row]]] = {
    "plain": _plain, "csv": _csv, "houbb": _houbb, "toolgood": _toolgood,
}  # fmt: skip
