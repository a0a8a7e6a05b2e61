"""The cases by which the filter is judged, each as a test of its own; and as a stream of single characters."""

from pathlib import Path

import msgspec
import pytest

from service.words.cases import judge, read_cases

CASES = read_cases(Path(__file__).parent / "cases.jsonl")


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_case(case):
    assert judge(case).wrong == []


@pytest.mark.parametrize("case", CASES, ids=[case.id for case in CASES])
def test_case_character_by_character(case):
    text = "".join(case.chunks or [case.text])
    streamed = msgspec.structs.replace(case, text=None, chunks=list(text), joined=case.joined or case.masked)
    assert judge(streamed).wrong == []
