"""Reading a word list: plain text with one word a line, or CSV `word,category,action`.

A list is taken whole or not at all: a moderator who mistypes an action must hear of the line, not find out later that
half the list was in force. Rules are named by file and line, so that a log can say which one hit without any text.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, get_args

import msgspec

from feedback.errors import InvalidWords

Action = Literal["block", "mask", "flag"]
ACTIONS: tuple[Action, ...] = get_args(Action)
DEFAULT_ACTION: Action = "mask"
DEFAULT_CATEGORY = "words"
HEADER = ["word", "category", "action"]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a list."""

    rule: str
    """`<file>:<line>`."""
    word: str
    category: str = DEFAULT_CATEGORY
    action: Action = DEFAULT_ACTION


def read_rules(path: Path) -> list[Rule]:
    """The rules of a file, in its order. Raises InvalidWords with file, line and reason."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise InvalidWords(f"{path} can't be read: {error.strerror}.", "Name an existing file.") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InvalidWords(f"{path}, line {line}: not UTF-8.", "Save the list as UTF-8.") from error
    rules = _csv_rules(path, text) if path.suffix.lower() == ".csv" else _plain_rules(path, text)
    return list(rules)


def _plain_rules(path: Path, text: str) -> Iterator[Rule]:
    for number, line in enumerate(text.splitlines(), 1):
        word = line.strip()
        if word and not word.startswith("#"):
            yield Rule(rule=f"{path.name}:{number}", word=word)


def _csv_rules(path: Path, text: str) -> Iterator[Rule]:
    reader = csv.reader(io.StringIO(text), strict=True)
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells) or (reader.line_num == 1 and cells == HEADER[: len(cells)]):
                continue
            yield _csv_rule(path, reader.line_num, cells)
    except csv.Error as error:
        raise InvalidWords(f"{path}, line {reader.line_num}: {error}.", "Mend its quotes and commas.") from error


def _csv_rule(path: Path, number: int, cells: list[str]) -> Rule:
    where = f"{path}, line {number}"
    if len(cells) > len(HEADER):
        raise InvalidWords(
            f"{where}: {len(cells)} columns.", "Write word,category,action and quote a word with a comma."
        )
    word, category, action = (*cells, "", "")[:3]
    if not word:
        raise InvalidWords(f"{where}: the word is empty.", "Write the word in the first column.")
    chosen = next((known for known in ACTIONS if known == (action.lower() or DEFAULT_ACTION)), None)
    if chosen is None:
        raise InvalidWords(
            f"{where}: unknown action {action!r}.", f"Write one of {', '.join(ACTIONS)}, or leave it empty."
        )
    return Rule(rule=f"{path.name}:{number}", word=word, category=category or DEFAULT_CATEGORY, action=chosen)
