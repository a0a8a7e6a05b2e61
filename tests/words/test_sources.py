"""A folder of lists: its options, its policy, what is refused, and the days on which rules hold."""

import datetime as dt

import pytest

from feedback.errors import InvalidWords
from service.words.policy import PolicyTable, apply_policy
from service.words.rules import Folding, Rule
from service.words.sources import Sources

TODAY = dt.date(2026, 6, 15)


def folder(tmp_path, **files):
    for name, text in files.items():
        (tmp_path / name.replace("__", ".")).write_text(text, "utf-8")
    return Sources(folder=tmp_path, inducement=False)


def test_options_and_defaults_of_each_list(tmp_path):
    loaded = folder(
        tmp_path,
        a__txt="one\n",
        b__csv="two,loud,block\n",
        c__txt="three\n",
        notes__md="no list",
        words__toml='[lists.a]\ncategory = "quiet"\naction = "flag"\nnoise = true\nfold = ["case", "leet"]\n'
        "[lists.c]\nenabled = false\n",
    ).read(TODAY)
    one, two = loaded.rules.rules
    assert (one.word, one.category, one.action) == ("one", "quiet", "flag")
    assert one.options.noise and one.options.folding == Folding(
        case=True, leet=True, width=False, style=False, simplified=False, digits=False, invisible=False
    )
    assert (two.word, two.category, two.action, two.options.noise) == ("two", "loud", "block", False)
    assert [(info.name, info.enabled, info.rules, info.in_force) for info in loaded.lists] == [
        ("a.txt", True, 1, 1), ("b.csv", True, 1, 1), ("c.txt", False, 1, 0),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"a__txt": "x", "a__csv": "y"}, "two lists called a"),
        ({"a__txt": "x", "words__toml": "[lists.b]\n"}, "there is no list 'b'"),
        ({"a__txt": "x", "words__toml": "[lists.a]\nnoize = true\n"}, "unknown field `noize`"),
        ({"a__txt": "x", "words__toml": '[lists.a]\nfold = ["cast"]\n'}, "unknown folding 'cast'"),
        ({"a__txt": "x", "words__toml": "[lists.a\n"}, "is not TOML"),
        ({"a__txt": "x", "words__toml": '[policy.words]\nin = "hide"\n'}, "Invalid enum value 'hide'"),
        ({"a__txt": "x", "words__toml": '[policy.words]\nin = "replace"\n'}, "nobody says by what"),
        ({"a__txt": "x", "words__toml": '[lists.a]\naction = "replace"\n'}, "replace without a replacement"),
        ({"a__csv": "x,y,z\n"}, "unknown action 'z'"),
    ],
)
def test_a_bad_folder_is_refused_with_its_reason(tmp_path, files, reason):
    with pytest.raises(InvalidWords, match=reason):
        folder(tmp_path, **files).read(TODAY)


def test_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(InvalidWords, match="can't be read"):
        Sources(folder=tmp_path / "none").read(TODAY)


def test_rules_hold_on_their_days_only(tmp_path):
    lists = folder(
        tmp_path, a__csv="word,valid_from,valid_until\npast,,2026-06-14\nnow,2026-06-15,2026-06-15\nlater,2026-06-16,\n"
    )
    loaded = lists.read(TODAY)
    assert [rule.word for rule in loaded.rules.rules] == ["now"] and loaded.dated
    assert (loaded.lists[0].rules, loaded.lists[0].in_force) == (3, 1)
    assert [rule.word for rule in lists.read(TODAY + dt.timedelta(days=1)).rules.rules] == ["later"]
    (tmp_path / "a.csv").write_text("now\n", "utf-8")
    assert not lists.read(TODAY).dated


RULE = Rule(rule="l:1", word="x", category="c", action="mask")


@pytest.mark.parametrize(
    ("policy", "found"),
    [
        ({}, ("mask", "mask")),
        ({"other": PolicyTable(inward="block")}, ("mask", "mask")),
        ({"c": PolicyTable(inward="block")}, ("block", "mask")),
        ({"c": PolicyTable(out="block")}, ("mask", "block")),
        ({"c": PolicyTable(inward="flag", out="block")}, ("flag", "block")),
        ({"c": PolicyTable(inward="allow")}, (None, "mask")),
        ({"c": PolicyTable(inward="flag", out="allow")}, ("flag", None)),
        ({"c": PolicyTable(inward="allow", out="allow")}, (None, None)),
    ],
)
def test_the_policy_decides_by_category_and_direction(policy, found):
    rules = apply_policy([RULE], policy)
    acts = [next((rule.act(way) for rule in rules if rule.holds_in(way)), None) for way in ("in", "out")]
    assert tuple(acts) == found


def test_an_allowed_phrase_stays_allowed_under_any_policy():
    phrase = Rule(rule="l:1", word="x", category="c", action="allow")
    assert apply_policy([phrase], {"c": PolicyTable(inward="block", out="block")}) == [phrase]


def test_a_policy_can_say_what_replaces():
    (rule,) = apply_policy([RULE], {"c": PolicyTable(out="replace", replacement="…")})
    assert rule.act("out") == "replace" and rule.replacement == "…"


def test_the_shipped_list_can_be_left_out_or_replaced(tmp_path):
    shipped = Sources(folder=tmp_path).read(TODAY)
    assert {rule.category for rule in shipped.rules.rules} == {"inducement"} and shipped.lists[0].source == "shipped"
    assert Sources(folder=tmp_path, inducement=False).read(TODAY).rules.rules == []
    (tmp_path / "inducement.txt").write_text("open sesame\n", "utf-8")
    own = Sources(folder=tmp_path).read(TODAY)
    assert [(rule.word, info.source) for rule, info in zip(own.rules.rules, own.lists, strict=True)] == [
        ("open sesame", "folder")
    ]


def test_what_would_be_written_is_read_before_it_is(tmp_path):
    lists = folder(tmp_path, a__txt="old\n", b__txt="gone\n")
    over = {tmp_path / "a.txt": b"new\n", tmp_path / "b.txt": None, tmp_path / "c.txt": b"more\n"}
    assert [rule.word for rule in lists.read(TODAY, over).rules.rules] == ["new", "more"]
    assert [rule.word for rule in lists.read(TODAY).rules.rules] == ["old", "gone"]
