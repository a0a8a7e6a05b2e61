"""What an erased person left in the learner's runs and reports: texts that are copies of the store's.

Evaluations keep every question with its answers, and reports quote some of them; both name the turn, save the report
for people, whose quotations are found by the question. Weights are no text: versions are marked instead
(`service.privacy.versions`).

Every step may be done again. Those files that are found by a question are done before those that it is known from.
Must never be run while a cycle runs: it appends to the same files.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from feedback.files import replace_file, whole_lines
from feedback.redaction import heldout_prompts, snapshots_in
from learner.records import quoted

ERASED_NOTE = "*An example was erased.*"


class Line(msgspec.Struct):
    """What matters of a line of answers.jsonl."""

    item: str
    prompt: str = ""


def clear_runs(data_dir: Path, turn_ids: set[str]) -> int:
    """Take these turns out of evaluations and reports; gives how many answers and examples went."""
    questions = _questions(data_dir, turn_ids)
    for part in [*data_dir.glob("runs/*/.report.*.part"), *data_dir.glob("registry/*/*/.report.*.part")]:
        part.unlink()  # of a cycle that was killed
    pages = [*data_dir.glob("runs/*/report.md"), *data_dir.glob("registry/*/*/report.md")]
    gone = sum(_clear_page(page, questions) for page in pages)
    gone += sum(_clear_answers(file, turn_ids) for file in data_dir.glob("runs/*/answers.jsonl"))
    for file in data_dir.glob("runs/*/report.json"):
        _clear_report(file, turn_ids)
    return gone


def _questions(data_dir: Path, turn_ids: set[str]) -> set[str]:
    """The texts by which these turns are quoted."""
    found: set[str] = set()
    for file in data_dir.glob("runs/*/answers.jsonl"):
        lines = (msgspec.json.decode(line, type=Line) for line in whole_lines(file))
        found |= {line.prompt for line in lines if line.item in turn_ids}
    for file in data_dir.glob("runs/*/report.json"):
        examples = _examples(msgspec.json.decode(file.read_bytes()))
        found |= {str(one.get("question", "")) for one in examples if one.get("turn_id") in turn_ids}
    for folder in snapshots_in(data_dir / "snapshots"):
        found |= heldout_prompts(folder, turn_ids)
    return found - {""}


def _examples(report: Any) -> list[dict[str, Any]]:
    examples = report.get("examples", []) if isinstance(report, dict) else []
    return [one for one in examples if isinstance(one, dict)]


def _clear_answers(file: Path, turn_ids: set[str]) -> int:
    lines = whole_lines(file)
    kept = [line for line in lines if msgspec.json.decode(line, type=Line).item not in turn_ids]
    if len(kept) < len(lines):
        replace_file(file, b"".join(line + b"\n" for line in kept))
    return len(lines) - len(kept)


def _clear_report(file: Path, turn_ids: set[str]) -> None:
    report = msgspec.json.decode(file.read_bytes())
    kept = [one for one in _examples(report) if one.get("turn_id") not in turn_ids]
    if len(kept) < len(_examples(report)):
        replace_file(file, msgspec.json.format(msgspec.json.encode({**report, "examples": kept}), indent=2))


def _clear_page(page: Path, questions: Iterable[str]) -> int:
    """An example begins with its question in bold, and ends where the next one or a heading begins."""
    heads = {f"**{quoted(question)}**" for question in questions}
    kept: list[str] = []
    gone, inside = 0, False
    for line in page.read_text("utf-8").split("\n"):
        if line in heads:
            gone, inside = gone + 1, True
            kept += [ERASED_NOTE, ""]
        elif line.startswith(("**", "## ")):
            inside = False
        if not inside:
            kept.append(line)
    if gone:
        replace_file(page, "\n".join(kept).encode())
    return gone
