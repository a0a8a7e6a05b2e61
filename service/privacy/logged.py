"""Texts in logs: only where `gateway.words_log_text` asked for what the word filter hit. Each line names its turn."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

LOGGED_TEXT = re.compile(rb'"text":"((?:[^"\\]|\\.)*)"')


class LogLine(msgspec.Struct):
    """What matters of a line."""

    turn: str = ""


def blank_logs(logs_dir: Path, turn_ids: set[str]) -> int:
    """Blank the texts of word hits of these turns, in place and in the same length, since the processes go on writing
    behind them; gives how many."""
    return sum(_blank_log(file, turn_ids) for file in logs_dir.glob("*.log*"))


def _blank_log(file: Path, turn_ids: set[str]) -> int:
    blanked = 0
    with file.open("rb+") as log:
        at = 0
        for line in log:
            if b'"text":' in line and _turn_of(line) in turn_ids:
                for found in LOGGED_TEXT.finditer(line):
                    start, end = found.span(1)
                    os.pwrite(log.fileno(), b"-" * (end - start), at + start)
                    blanked += 1
            at += len(line)
        if blanked:
            os.fsync(log.fileno())
    return blanked


def _turn_of(line: bytes) -> str:
    try:
        return msgspec.json.decode(line, type=LogLine).turn
    except msgspec.DecodeError:
        return ""  # no line of ours
