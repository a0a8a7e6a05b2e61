"""`ratchet words`: try a text, run cases, take over a list. Works on the files, whether or not a gateway runs."""

from __future__ import annotations

import sys
from pathlib import Path

from feedback.errors import InvalidInput
from feedback.files import replace_file
from service.cli.settings import Settings
from service.words.rules import ACTIONS


def check_text(settings: Settings, text: str, direction: str) -> int:
    """`ratchet words check TEXT`: what the filter would do with it; 1 where something hits."""
    from service.words.book import WordBook
    from service.words.sources import sources_of

    sources = sources_of(settings.gateway)
    if sources.file is None and sources.folder is None and not sources.inducement:
        raise InvalidInput("No word list is set.", "Set gateway.words_dir to a folder of lists, or words_file to one.")
    checked = WordBook(sources).filter.check(text, "in" if direction == "in" else "out")
    for hit in checked.hits:
        print(f"{hit.start}–{hit.end}  {hit.category}  {hit.action}  {hit.rule}")
    print(checked.text)
    return int(bool(checked.hits))


def run_cases(path: Path) -> int:
    """`ratchet words test CASES.jsonl`: 1 where a case fails, and which and how."""
    from service.words.cases import judge, read_cases

    cases = read_cases(path)
    for case in cases:
        if case.unknown:
            print(f"{case.id}: not judged: {', '.join(case.unknown)}", file=sys.stderr)
    outcomes = [judge(case) for case in cases]
    failed = [outcome for outcome in outcomes if outcome.wrong]
    for outcome in failed:
        for wrong in outcome.wrong:
            print(f"{outcome.case}: {wrong}")
    print(f"{len(outcomes) - len(failed)} of {len(outcomes)} cases hold.")
    return int(bool(failed))


def import_words(source: Path, form: str, out: Path, category: str, action: str) -> int:
    """`ratchet words import FILE`: write a foreign list as a CSV of ours. Never overwrites."""
    from service.words.importing import FORMATS, import_list

    known = next((one for one in FORMATS if one == form), None)
    if known is None or action not in ACTIONS:
        raise InvalidInput(f"There is no format {form!r}.", f"Formats are {', '.join(FORMATS)}.")
    if out.suffix.lower() != ".csv":
        raise InvalidInput(f"{out} is no .csv.", "An imported list is a CSV: name it so.")
    if out.exists():
        raise InvalidInput(f"{out} is there already.", "Name a file that does not exist: lists are never overwritten.")
    text, imported = import_list(source, known, category, action)
    replace_file(out, text.encode())
    left = f"{imported.doubles} doubles, {imported.left_out} lines left out"
    print(f"{out}: {imported.words} words, action {action} ({left}).")
    return 0
