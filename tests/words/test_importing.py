"""Taking over other filters' lists."""

import csv
import io

import pytest

from feedback.errors import InvalidWords
from service.words.importing import import_list
from service.words.lists import read_rules


def imported(tmp_path, form, data, **more):
    source = tmp_path / "theirs"
    source.write_bytes(data if isinstance(data, bytes) else data.encode())
    text, told = import_list(source, form, more.get("category", "imported"), more.get("action", "flag"))
    rows = list(csv.reader(io.StringIO(text)))
    assert rows[0] == ["word", "category", "action"]
    return rows[1:], told


def test_plain(tmp_path):
    rows, told = imported(tmp_path, "plain", "# theirs\n毛毛虫\n\n 毛毛虫 \r\na, b\n")
    assert rows == [["毛毛虫", "imported", "flag"], ["a, b", "imported", "flag"]]
    assert (told.words, told.doubles, told.left_out) == (2, 1, 0)


def test_houbbs_tags_become_categories(tmp_path):
    rows, _ = imported(tmp_path, "houbb", "五星红旗 政治,国家\n08宪 0\n0售k粉qq 1,4\n没有标签\nbuy it now 3\n")
    assert [row[:2] for row in rows] == [
        ["五星红旗", "政治"], ["08宪", "politics"], ["0售k粉qq", "drugs"], ["没有标签", "imported"],
        ["buy it now", "gambling"],
    ]  # fmt: skip


def test_toolgoods_bars_part_words(tmp_path):
    rows, told = imported(tmp_path, "toolgood", "中国|国人|zg人\n气枪\n", action="mask", category="toolgood")
    assert rows == [[word, "toolgood", "mask"] for word in ("中国", "国人", "zg人", "气枪")] and told.words == 4


@pytest.mark.parametrize(
    ("data", "found"),
    [
        ("word,level,category\na,3,b\nc,1,\n", [["a", "b"], ["c", "imported"]]),
        ("a,b,mask\nc\n", [["a", "b"], ["c", "imported"]]),
        ('"a, b",x\n', [["a, b", "x"]]),
    ],
)
def test_csv_with_and_without_a_header(tmp_path, data, found):
    assert [row[:2] for row in imported(tmp_path, "csv", data)[0]] == found


def test_a_list_in_gb18030_is_read(tmp_path):
    assert imported(tmp_path, "plain", "毛毛虫\n".encode("gb18030"))[0] == [["毛毛虫", "imported", "flag"]]


def test_prose_that_stands_in_a_list_is_left_out(tmp_path):
    rows, told = imported(tmp_path, "plain", "x" * 201 + "\nok\n")
    assert [row[0] for row in rows] == ["ok"] and told.left_out == 1


def test_a_list_without_words_is_refused(tmp_path):
    with pytest.raises(InvalidWords, match="holds no word"):
        imported(tmp_path, "plain", "# nothing\n")
    with pytest.raises(InvalidWords, match="can't be read"):
        import_list(tmp_path / "missing", "plain", "c", "flag")


def test_what_was_imported_is_a_list_of_ours(tmp_path):
    source = tmp_path / "theirs.txt"
    source.write_text('say "hi", you 2\n#标签 0\n', "utf-8")
    text, _ = import_list(source, "houbb", "c", "mask")
    out = tmp_path / "ours.csv"
    out.write_text(text, "utf-8")
    assert [(rule.word, rule.category, rule.action) for rule in read_rules(out)] == [
        ('say "hi", you', "sex", "mask"), ("#标签", "politics", "mask"),
    ]  # fmt: skip
