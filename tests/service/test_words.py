"""The word filter: what it reads, what it hits, and that no way to cut a text changes what comes out."""

import itertools
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feedback.errors import InvalidWords
from service.words.filter import WordFilter
from service.words.lists import Rule, read_rules


def words(*given: str, action: str = "mask") -> WordFilter:
    return WordFilter([Rule(rule=f"w:{n}", word=word, action=action) for n, word in enumerate(given, 1)])


def test_a_plain_list_masks_and_names_the_line(tmp_path):
    file = tmp_path / "list.txt"
    file.write_text("# moderators' list\n\n毛主席\nfuck\n", "utf-8")
    checked = WordFilter.load(file).check("毛主席说 ＦｕＣＫ", "in")
    assert checked.text == "***说 ****"
    assert [(hit.rule, hit.start, hit.end) for hit in checked.hits] == [("list.txt:3", 0, 3), ("list.txt:4", 5, 9)]
    assert not checked.blocked


def test_a_csv_list_carries_category_and_action(tmp_path):
    file = tmp_path / "list.csv"
    file.write_text('\ufeffword,category,action\n"a, b",politics,block\nseen,watch,flag\nplain\n', "utf-8")
    assert [(rule.word, rule.category, rule.action, rule.rule) for rule in read_rules(file)] == [
        ("a, b", "politics", "block", "list.csv:2"),
        ("seen", "watch", "flag", "list.csv:3"),
        ("plain", "words", "mask", "list.csv:4"),
    ]
    checked = WordFilter.load(file).check("I have seen a, b", "out")
    assert checked.text == "I have seen ****" and checked.blocked
    assert [hit.action for hit in checked.hits] == ["flag", "block"]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.csv", b"x,politics,blok\n", r"line 1: unknown action 'blok'"),
        ("a.csv", b"ok,a,mask\n,politics,block\n", r"line 2: the word is empty"),
        ("a.csv", b"a,b,mask,too many\n", r"line 1: 4 columns"),
        ("a.csv", b'ok\n"open\n', r"line \d: "),
        ("a.txt", b"good\nb\xffd\n", r"line 2: not UTF-8"),
        ("missing.txt", None, r"can't be read"),
    ],
)
def test_a_bad_list_is_refused_with_file_line_and_reason(tmp_path, name, data, reason):
    file: Path = tmp_path / name
    if data is not None:
        file.write_bytes(data)
    with pytest.raises(InvalidWords, match=re.escape(str(file)) + ".*" + reason):
        WordFilter.load(file)


def test_overlapping_hits_are_all_found_and_masked_once():
    checked = words("abc", "bcd", "c").check("xabcdx", "in")
    assert [(hit.start, hit.end) for hit in checked.hits] == [(1, 4), (2, 5), (3, 4)]
    assert checked.text == "x****x"


def test_a_letter_that_folds_to_two_hits_once():
    checked = words("s").check("aß", "in")
    assert checked.text == "a*" and [(hit.start, hit.end) for hit in checked.hits] == [(1, 2)]
    assert words("strasse").check("Straße!", "in").text == "******!"


def test_ordinary_text_is_not_delayed():
    stream = words("毛主席", "bad").stream("out")
    assert [stream.feed(chunk) for chunk in ("今天", "天气", "不错。", "Nice day")] == [
        "今天",
        "天气",
        "不错。",
        "Nice day",
    ]
    assert stream.end() == ""


def test_exactly_the_beginning_of_a_word_is_held_back():
    stream = words("bad", "bar").stream("out")
    assert stream.feed("a b") == "a "
    assert stream.feed("a") == ""
    assert stream.feed("b") == "ba"
    assert stream.feed("ad") == "***"  # nothing goes on from `bad`, so nothing is held
    assert stream.feed("ba") == ""
    assert stream.end() == "ba"


def test_after_a_block_nothing_more_comes_out():
    stream = words("danger", action="block").stream("out")
    assert stream.feed("all fine, dan") == "all fine, "
    assert stream.feed("ger and more") == ""
    assert stream.blocked and stream.feed("more") == "" and stream.end() == ""
    assert [(hit.start, hit.end) for hit in stream.hits] == [(10, 16)]


def test_no_words_filter_nothing():
    stream = WordFilter.load(None).stream("out")
    assert stream.feed("anything") == "anything" and stream.end() == "" and stream.hits == []


TEXT = st.text(alphabet="aAbBｂcß毛主席 .", max_size=40)
LIST = st.lists(
    st.tuples(st.text(alphabet="aAbBcs毛主席", min_size=1, max_size=4), st.sampled_from(["mask", "flag", "block"])),
    max_size=6,
)


@settings(max_examples=300, deadline=None)
@given(LIST, TEXT, st.lists(st.integers(0, 40), max_size=8))
def test_every_way_to_cut_a_text_gives_the_same(listed, text, cuts):
    filter_ = WordFilter([Rule(rule=str(n), word=word, action=action) for n, (word, action) in enumerate(listed)])
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    stream = filter_.stream("out")
    joined = "".join(stream.feed(text[a:b]) for a, b in itertools.pairwise(edges)) + stream.end()
    whole = filter_.stream("out")
    assert joined == whole.feed(text) + whole.end()
    assert (stream.hits, stream.blocked) == (whole.hits, whole.blocked)
    if not stream.blocked:
        assert joined == filter_.check(text, "out").text and stream.hits == filter_.check(text, "out").hits


@settings(max_examples=300, deadline=None)
@given(LIST, TEXT)
def test_masked_text_keeps_its_length_and_hides_every_hit(listed, text):
    filter_ = WordFilter([Rule(rule=str(n), word=word, action=action) for n, (word, action) in enumerate(listed)])
    checked = filter_.check(text, "in")
    assert len(checked.text) == len(text)
    hidden = {place for hit in checked.hits if hit.action != "flag" for place in range(hit.start, hit.end)}
    assert checked.text == "".join("*" if place in hidden else char for place, char in enumerate(text))
    folded = [(word.casefold(), action) for word, action in listed]
    if any(word in text.casefold().replace("ｂ", "b") for word, action in folded if action != "flag"):
        assert hidden
    assert [hit for hit in filter_.check(checked.text, "in").hits if hit.action != "flag"] == []


def test_what_is_held_is_no_more_than_could_become_a_hit():
    listed = ["abab", "bb", "毛主席"]
    filter_ = words(*listed)
    for text in ("ab", "aba", "xb", "abb", "毛主", "abax"):
        stream = filter_.stream("out")
        held = len(text) - len(stream.feed(text))
        could = max(
            n for n in range(len(text) + 1) if any(w.startswith(text[len(text) - n :]) and len(w) > n for w in listed)
        )
        assert held == could, text
