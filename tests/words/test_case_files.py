"""Files of cases: read, judged, and failed where something differs."""

from pathlib import Path

import msgspec
import pytest

from feedback.errors import InvalidInput
from service.words.cases import Case, judge, read_cases


def test_a_case_that_holds_and_each_way_to_fail():
    case = Case(
        id="c",
        words=["敏感词"],
        text="这是敏感词吗",
        hits=["敏感词"],
        spans=[(2, 5)],
        masked="这是***吗",
        blocked=False,
    )
    assert judge(case).wrong == []
    for field, wrong in (("hits", []), ("spans", [(2, 4)]), ("masked", "这是"), ("blocked", True)):
        (told,) = judge(msgspec.structs.replace(case, **{field: wrong})).wrong
        assert told.startswith(f"{field}: wanted")


def test_chunks_are_judged_as_a_stream():
    case = Case(
        id="c", words=["敏感词"], chunks=["这是敏", "感", "词吗"], joined="这是***吗", hits=["敏感词"], spans=[(2, 5)]
    )
    assert judge(case).wrong == []
    assert judge(msgspec.structs.replace(case, joined="这是敏感词吗")).wrong != []
    blocked = Case(id="c", words=["敏感词"], action="block", chunks=["这是敏", "感词吗"], joined="这是", blocked=True)
    assert judge(blocked).wrong == []


def test_absent_fields_are_not_judged_and_allow_and_detect_work():
    assert judge(Case(id="c", words=["x"], text="x")).wrong == []
    assert judge(Case(id="c", words=["黄片"], allow=["三黄片"], text="三黄片黄片", spans=[(3, 5)])).wrong == []
    assert judge(Case(id="c", detect=["email"], text="to a@b.com", masked="to [EMAIL]")).wrong == []
    assert judge(Case(id="c", regex=["a+b"], text="xaab", hits=["aab"])).wrong == []


def test_a_file_is_read_with_its_mistakes_by_line(tmp_path):
    file = tmp_path / "cases.jsonl"
    file.write_text('{"id": "a", "text": "x", "colour": "red"}\n\n{"id": "b", "text": "y"}\n', "utf-8")
    first, second = read_cases(file)
    assert (first.id, first.unknown, second.unknown) == ("a", ["colour"], [])
    for bad, reason in (('{"id": 3}', "line 1"), ("{", "line 1"), ("", "holds no case")):
        file.write_text(bad, "utf-8")
        with pytest.raises(InvalidInput, match=reason):
            read_cases(file)
    with pytest.raises(InvalidInput, match="can't be read"):
        read_cases(tmp_path / "none.jsonl")


def test_an_unknown_folding_is_refused():
    with pytest.raises(InvalidInput, match="no folding 'cast'"):
        judge(Case(id="c", fold=["cast"], text="x"))


def test_the_shared_cases_hold():
    outcomes = [judge(case) for case in read_cases(Path(__file__).with_name("cases.jsonl"))]
    assert len(outcomes) >= 39
    assert [outcome for outcome in outcomes if outcome.wrong] == []
