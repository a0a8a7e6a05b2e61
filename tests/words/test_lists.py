"""Reading lists: three formats, defaults, and every mistake told with its file, line and reason."""

import datetime as dt
import re

import pytest

from feedback.errors import InvalidWords
from service.words.lists import Defaults, parse_rules, read_rules
from service.words.rules import ListOptions


def written(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, "utf-8")
    return path


def test_a_csv_with_a_header_has_its_columns_in_any_order(tmp_path):
    path = written(
        tmp_path,
        "l.csv",
        "action,word,label,severity,valid_until,only,regex,detector\n"
        "mask,毛毛虫,[虫],3,2030-01-31,out,,\n"
        'flag,,,,,,"a,b+",\n'
        "block,,,,,,,id_cn\n",
    )
    first, second, third = read_rules(path)
    assert (first.word, first.action, first.replacement, first.severity) == ("毛毛虫", "mask", "[虫]", 3)
    assert (first.valid_until, first.only, first.rule) == (dt.date(2030, 1, 31), "out", "l.csv:2")
    assert (second.regex, second.word, second.action) == ("a,b+", "", "flag")
    assert (third.detector, third.action, third.category) == ("id_cn", "block", "words")


def test_json_lines_carry_all_four_kinds(tmp_path):
    path = written(
        tmp_path,
        "l.jsonl",
        '{"word": "a"}\n\n{"regex": "b+", "action": "replace", "replacement": "c"}\n'
        '{"detector": "digits:8"}\n'
        '{"all": ["转账", "安全账户"], "within": 9, "valid_from": "2026-01-01", "note": "n"}\n',
    )
    rules = read_rules(path)
    assert [rule.rule for rule in rules] == ["l.jsonl:1", "l.jsonl:3", "l.jsonl:4", "l.jsonl:5"]
    assert [rule.word or rule.regex or rule.detector or rule.both for rule in rules] == [
        "a", "b+", "digits:8", ("转账", "安全账户"),
    ]  # fmt: skip
    assert rules[1].replacement == "c"
    assert (rules[3].within, rules[3].valid_from, rules[3].note) == (9, dt.date(2026, 1, 1), "n")


def test_what_a_line_leaves_open_the_lists_defaults_say(tmp_path):
    defaults = Defaults(
        category="insult", action="flag", only="in", replacement="[x]", severity=4, options=ListOptions(noise=True)
    )
    for name, data in (("l.txt", b"a"), ("l.csv", b"a"), ("l.jsonl", b'{"word": "a"}')):
        (rule,) = parse_rules(tmp_path / name, data, defaults)
        assert (rule.category, rule.action, rule.only, rule.replacement) == ("insult", "flag", "in", "[x]"), name
        assert rule.severity == 4 and rule.options.noise and rule.rule == f"{name}:1"
    (kept,) = parse_rules(tmp_path / "l.jsonl", b'{"word": "a", "category": "b", "severity": 0}', defaults)
    assert (kept.category, kept.severity) == ("b", 0)


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("l.csv", "word,action\na,mask\nb,hide\n", "line 3: unknown action 'hide'"),
        ("l.csv", "word,severity\na,12\n", "line 2: severity is 12"),
        ("l.csv", "word,severity\na,high\n", "line 2: Expected `int"),
        ("l.csv", "word,regex\na,b\n", "line 2: both word and regex"),
        ("l.csv", "word,only\na,up\n", "line 2: Invalid enum value 'up'"),
        ("l.csv", "word,valid_from,valid_until\na,2026-02-01,2026-01-01\n", "line 2: it ends before it begins"),
        ("l.csv", "word,valid_from\na,tomorrow\n", "line 2: Invalid RFC3339"),
        ("l.csv", "word,action\na,replace\n", "line 2: replace without a replacement"),
        ("l.csv", "detector\nshoe_size\n", "line 2: unknown detector 'shoe_size'"),
        ("l.jsonl", '{"word": "a"}\n{"word": \n', "line 2: not JSON"),
        ("l.jsonl", '["a"]\n', "line 1: not an object"),
        ("l.jsonl", '{"wrod": "a"}\n', "line 1: Object contains unknown field `wrod`"),
        ("l.jsonl", '{"word": " "}\n', "line 1: the word is empty"),
        ("l.jsonl", '{"category": "a"}\n', "line 1: the word is empty"),
        ("l.jsonl", '{"all": ["a"]}\n', "line 1: all has 1 words"),
        ("l.jsonl", '{"all": ["a", " "]}\n', "line 1: all has 2 words"),
        ("l.jsonl", '{"all": ["a", "b"], "within": 5000}\n', "line 1: within is 5000"),
        ("l.txt", "ok\n" + "x" * 300 + "\n", "line 2: a word of 300 characters"),
    ],
)
def test_a_mistake_is_told_with_file_line_and_reason(tmp_path, name, text, reason):
    path = written(tmp_path, name, text)
    with pytest.raises(InvalidWords, match=re.escape(str(path)) + ".*" + re.escape(reason)):
        read_rules(path)
