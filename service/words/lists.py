"""Reading one word list: plain text, CSV or JSON lines, every line with its number.

    words.txt     one word a line, `#` comments
    words.csv     columns as its header names them, or `word,category,action` without one
    words.jsonl   one object a line: {"word": …} or {"regex": …} or {"detector": …} or {"all": [A, B], "within": 20}

A list is taken whole or not at all: a moderator who mistypes an action must hear of the line, not find out later that
half the list was in force. What a line leaves open, the list's own defaults say. Rules are named by file and line, so
that a log can say which one hit without any text.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from feedback.errors import InvalidWords
from service.words.blocks import BlockBuilder, Part, WordBlock
from service.words.rules import (
    ACTIONS,
    DEFAULT_ACTION,
    DEFAULT_CATEGORY,
    DETECTORS,
    MAX_WITHIN,
    MAX_WORD,
    Action,
    Direction,
    ListOptions,
    Rule,
    known_detector,
)

SUFFIXES = (".txt", ".csv", ".jsonl")
"""Endings of files that are lists."""
HEADERLESS = ("word", "category", "action")
"""Columns of a CSV without a header."""
LINES_BYTES = 1 << 16
"""How much of a plain list is looked at in one go."""


class Defaults(msgspec.Struct, frozen=True, kw_only=True):
    """What the lines of a list mean where they don't say it."""

    category: str = DEFAULT_CATEGORY
    action: Action = DEFAULT_ACTION
    only: Direction | None = None
    replacement: str | None = None
    severity: int = 0
    options: ListOptions = ListOptions()


class Line(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a list in JSON; a CSV's columns have the same names."""

    word: str = ""
    regex: str = ""
    detector: str = ""
    all: list[str] = []
    """Two words, in either order."""
    within: int = 20
    """Most characters between the two."""
    category: str = ""
    action: str = ""
    only: Direction | None = None
    label: str | None = None
    """What `mask` shows instead of stars."""
    replacement: str | None = None
    """What `replace` shows."""
    severity: int | None = None
    """0 to 9, for whoever reads the log; it decides nothing here."""
    note: str = ""
    valid_from: dt.date | None = None
    valid_until: dt.date | None = None


COLUMNS = tuple(field.name for field in msgspec.structs.fields(Line) if field.name not in ("all", "within"))
"""Columns that a CSV may have; combinations need JSON lines."""


def read_rules(path: Path) -> Part:
    """The rules of a file, in its order. Raises InvalidWords with file, line and reason."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidWords(f"{path} can't be read: {error.strerror}.", "Name an existing file.") from error
    return parse_rules(path, data, Defaults())


def parse_rules(path: Path, data: bytes, defaults: Defaults) -> Part:
    """The rules in a file's content. `path` names them and, by its ending, the format. Raises InvalidWords."""
    match path.suffix.lower():
        case ".csv":
            return list(_csv_rules(path, _text(path, data), defaults))
        case ".jsonl":
            return list(_json_rules(path, _text(path, data), defaults))
        case _:
            return _plain_rules(path, data, defaults)


def _text(path: Path, data: bytes, above: int = 0) -> str:
    """Decoded. `above`: lines of the file that come before. Raises InvalidWords."""
    try:
        return data.decode("utf-8-sig" if not above else "utf-8")
    except UnicodeDecodeError as error:
        line = above + data.count(b"\n", 0, error.start) + 1
        raise InvalidWords(f"{path}, line {line}: not UTF-8.", "Save the list as UTF-8.") from error


def _plain_rules(path: Path, data: bytes, defaults: Defaults) -> WordBlock:
    """A million words come from such a list: some lines at once, each time, for others are served meanwhile."""
    if defaults.action == "replace" and defaults.replacement is None:
        raise _no_replacement(f"{path}, line 1")
    template = Rule(
        rule=path.name, category=defaults.category, action=defaults.action, only=defaults.only,
        replacement=defaults.replacement, severity=defaults.severity, options=defaults.options,
    )  # fmt: skip
    block = BlockBuilder(template)
    start = above = 0
    while start < len(data):
        end = data.find(b"\n", start + LINES_BYTES) + 1 or len(data)
        lines = _text(path, data[start:end], above).removesuffix("\n").split("\n")
        words = [line.strip() for line in lines]
        for line, word in enumerate(words, above + 1):
            if len(word) > MAX_WORD and word[0] != "#":
                raise _too_long(f"{path}, line {line}", word)
        block.add(words, above + 1)
        start, above = end, above + len(lines)
    return block.done()


def _csv_rules(path: Path, text: str, defaults: Defaults) -> Iterator[Rule]:
    reader = csv.reader(io.StringIO(text), strict=True)
    columns: tuple[str, ...] = HEADERLESS
    first = True
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells):
                continue
            if first:
                first = False
                if _is_header(cells):
                    columns = tuple(cells)
                    continue
            where = f"{path}, line {reader.line_num}"
            if len(cells) > len(columns):
                raise InvalidWords(
                    f"{where}: {len(cells)} columns.", f"Write {','.join(columns)} and quote a word with a comma."
                )
            given = {column: cell for column, cell in zip(columns, cells, strict=False) if cell}
            yield _rule(where, f"{path.name}:{reader.line_num}", given, defaults, strict=False)
    except csv.Error as error:
        raise InvalidWords(f"{path}, line {reader.line_num}: {error}.", "Mend its quotes and commas.") from error


def _is_header(cells: list[str]) -> bool:
    return bool({"word", "regex", "detector"} & set(cells)) and all(cell in COLUMNS for cell in cells)


def _json_rules(path: Path, text: str, defaults: Defaults) -> Iterator[Rule]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            given = msgspec.json.decode(line)
        except (msgspec.DecodeError, RecursionError) as error:
            raise InvalidWords(f"{where}: not JSON: {error}.", "Write one object a line.") from error
        if not isinstance(given, dict):
            raise InvalidWords(f"{where}: not an object.", 'Write one object a line: {"word": "…"}.')
        yield _rule(where, f"{path.name}:{number}", given, defaults, strict=True)


def _rule(where: str, name: str, given: dict[str, Any], defaults: Defaults, *, strict: bool) -> Rule:
    """One line's rule. Raises InvalidWords."""
    try:
        line = msgspec.convert(given, Line, strict=strict)
    except msgspec.ValidationError as error:
        known = ", ".join(field.name for field in msgspec.structs.fields(Line))
        raise InvalidWords(f"{where}: {error}.", f"A line may have {known}.") from error
    action = _action(where, line.action or defaults.action)
    _check_kind(where, line)
    if line.valid_from and line.valid_until and line.valid_until < line.valid_from:
        raise InvalidWords(f"{where}: it ends before it begins.", "Swap valid_from and valid_until.")
    if line.severity is not None and not 0 <= line.severity <= 9:
        raise InvalidWords(f"{where}: severity is {line.severity}.", "Write 0 to 9.")
    replacement = line.replacement if action == "replace" else line.label
    if replacement is None:
        replacement = defaults.replacement
    if action == "replace" and replacement is None:
        raise _no_replacement(where)
    return Rule(
        rule=name, word=line.word.strip(), regex=line.regex, detector=line.detector,
        both=(line.all[0].strip(), line.all[1].strip()) if line.all else None, within=line.within,
        category=line.category or defaults.category, action=action, only=line.only or defaults.only,
        replacement=replacement, severity=defaults.severity if line.severity is None else line.severity,
        note=line.note, valid_from=line.valid_from, valid_until=line.valid_until, options=defaults.options,
    )  # fmt: skip


def _action(where: str, given: str) -> Action:
    action = next((known for known in ACTIONS if known == given.lower()), None)
    if action is None:
        raise InvalidWords(
            f"{where}: unknown action {given!r}.", f"Write one of {', '.join(ACTIONS)}, or leave it empty."
        )
    return action


def _check_kind(where: str, line: Line) -> None:
    """Exactly one thing to look for, and one that can be looked for."""
    kinds = [name for name in ("word", "regex", "detector", "all") if getattr(line, name)]
    if not kinds or (kinds == ["word"] and not line.word.strip()):
        raise InvalidWords(f"{where}: the word is empty.", "Give a word, a regex, a detector or all.")
    if len(kinds) > 1:
        raise InvalidWords(f"{where}: both {kinds[0]} and {kinds[1]}.", "Write two lines.")
    if line.all and (len(line.all) != 2 or not all(word.strip() for word in line.all)):
        raise InvalidWords(f"{where}: all has {len(line.all)} words.", "Give exactly two, neither of them empty.")
    for word in (line.word, *line.all):
        if len(word) > MAX_WORD:
            raise _too_long(where, word)
    if not 0 <= line.within <= MAX_WITHIN:
        raise InvalidWords(f"{where}: within is {line.within}.", f"Write 0 to {MAX_WITHIN} characters.")
    if line.detector and not known_detector(line.detector):
        raise InvalidWords(
            f"{where}: unknown detector {line.detector!r}.", f"Write one of {', '.join(DETECTORS)}, or digits:N."
        )


def _too_long(where: str, word: str) -> InvalidWords:
    return InvalidWords(f"{where}: a word of {len(word)} characters.", f"At most {MAX_WORD}; is it a sentence?")


def _no_replacement(where: str) -> InvalidWords:
    return InvalidWords(f"{where}: replace without a replacement.", "Say what to show instead, or use mask.")
