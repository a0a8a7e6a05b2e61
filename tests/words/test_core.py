"""Each feature of the filter's core by itself, in small."""

import datetime as dt

import pytest

from feedback.errors import InvalidWords
from service.words.compile import compiled
from service.words.filter import WordFilter, compile_rules
from service.words.rules import Folding, ListOptions, Rule, RuleSet


def filter_of(*rules: Rule) -> WordFilter:
    return compile_rules(RuleSet(rules=list(rules)))


def word(text: str, number: int = 1, **more) -> Rule:
    return Rule(rule=f"w:{number}", word=text, **more)


def masked(words: WordFilter, text: str) -> str:
    """Checked whole and character by character; both must agree."""
    checked = words.check(text, "in")
    stream = words.stream("in")
    assert "".join([*map(stream.feed, text), stream.end()]) == checked.text
    assert stream.hits == checked.hits
    return checked.text


@pytest.mark.parametrize(
    ("folding", "listed", "text"),
    [
        ("confusables", "paypal", "раураl"),
        ("leet", "asshole", "@$$h0l3"),
        ("pinyin", "毛主席", "猫主席"),
        ("pinyin", "毛主席", "maozhuxi"),
        ("digits", "一二三", "⑴2③"),
        ("digits", "⑩", "10"),
        ("digits", "9", "九"),
        ("simplified", "头发", "頭髮"),
        ("simplified", "看着", "看著"),
        ("simplified", "乾隆", "乾隆"),
        ("invisible", "cafe", "café"),
        ("invisible", "éa", "e\u0301a"),
        ("invisible", "毛主席", "毛\u200b主\u00ad席"),
        ("invisible", "毛主席", "毛\ufe0f主\U000e0061席"),
        ("style", "fuck", "𝓯🅄🇨ᴷ"),
        ("width", "アイ", "ｱｲ"),
    ],
)
def test_a_folding_hits_when_on_and_only_then(folding, listed, text):
    names = {"case": False, "width": False, "style": False, "simplified": False, "digits": False, "invisible": False}
    on = ListOptions(folding=Folding(**{**names, "case": True, folding: True}))
    assert masked(filter_of(word(listed, options=on)), text) == "*" * len(text)
    if listed != text and "\U000e0061" not in text:
        off = ListOptions(folding=Folding(**{**names, "case": True}))
        assert masked(filter_of(word(listed, options=off)), text) == text


def test_repeats_count_at_least_as_often_as_the_word_has_them():
    words = filter_of(
        *(word(text, n, options=ListOptions(repeat=True)) for n, text in enumerate(("asshole", "嘻嘻哈哈", "@@@@")))
    )
    assert masked(words, "ashole asshole assssholeee") == "ashole ******* ***********"
    assert masked(words, "嘻哈哈 嘻嘻嘻哈哈 @@@ @@@@@") == "嘻哈哈 ***** @@@ *****"


def test_noise_stands_between_characters_and_never_at_the_ends():
    words = filter_of(
        *(word(text, n, options=ListOptions(noise=True)) for n, text in enumerate(("毛主席", "fuck", "f*ck")))
    )
    assert masked(words, "-毛--主，席- f.u.c.k! f*ck 毛*主*席") == "-******- *******! **** *****"
    assert masked(words, "if u ck") == "if u ck"  # spaces between letters need a boundary at both ends
    assert masked(words, "so f u c k!") == "so *******!"


def test_both_parts_of_a_combination_within_so_many_characters_in_either_order():
    words = filter_of(Rule(rule="c:1", both=("炸弹", "制作"), within=4))
    assert masked(words, "制作一个炸弹 炸弹怎么制作") == "****** ******"
    assert masked(words, "炸弹一二三四五制作") == "炸弹一二三四五制作"


def test_what_is_shown_for_a_hit():
    words = filter_of(
        word("秘密", 1, action="mask", replacement="[保密]"),
        word("脏话", 2, action="replace", replacement="文明用语"),
        Rule(rule="d:1", detector="email"),
        word("看见", 3, action="flag"),
    )
    assert masked(words, "秘密脏话 a@b.org 看见") == "[保密]文明用语 [EMAIL] 看见"
    assert masked(words, "[EMAIL]") == "[EMAIL]"


def test_a_rule_may_hold_in_one_direction_and_act_otherwise_in_the_other():
    words = filter_of(word("只进", 1, only="in"), word("甲乙", 2, action="flag", action_out="block"))
    assert words.check("只进甲乙", "in").text == "**甲乙"
    assert words.check("只进", "out").text == "只进"
    stream = words.stream("out")
    assert stream.feed("只") == "只"  # what does not hold holds nothing back
    assert stream.feed("甲乙丙") == "" and stream.blocked and stream.end() == ""


def test_rules_hold_on_their_days_and_the_filter_says_when_to_compile_anew():
    rule = word("春节", valid_from=dt.date(2026, 2, 1), valid_until=dt.date(2026, 2, 28))
    days = [("2026-01-31", False, "2026-02-01"), ("2026-02-28", True, "2026-03-01"), ("2026-03-01", False, None)]
    for day, holds, changes in days:
        made = compiled(RuleSet(rules=[rule]), today=dt.date.fromisoformat(day))
        assert bool(made.engines["in"].find_words("春节")) is holds
        assert made.changes_on == (dt.date.fromisoformat(changes) if changes else None)


def test_a_whole_word_may_be_parted_by_what_is_hidden_beside_it():
    words = filter_of(word("av", 1, options=ListOptions(whole_word=True)), word("x", 2))
    assert masked(words, "xav xavx avy") == "*** **** avy"


def test_an_allowed_phrase_that_something_denied_crosses_allows_nothing():
    words = filter_of(word("黄片", 1), word("三黄片", 2, action="allow"), word("x三", 3))
    assert masked(words, "三黄片 x三黄片") == "三黄片 ****"


@pytest.mark.parametrize(
    ("name", "hits", "misses"),
    [
        ("email", ["a.b+c@example.co.uk", "ａ＠ｂ．ｏｒｇ"], ["a@b", "@x.com"]),
        ("url", ["http://x.io/a?b=c", "www.example.com"], ["http://", "httpx.io"]),
        ("ipv4", ["10.0.0.255"], ["1.2.3", "256.1.1.1", "1.2.3.4.5"]),
        ("ipv6", ["2001:db8::1", "fe80::1"], ["12:30:45", "std::vector"]),
        ("phone", ["13800138000", "8613800138000", "138-0013-8000", "１３８００１３８０００"], ["12800138000"]),
        ("id_cn", ["11010519491231002X", "110105 19491231 002x"], ["110105194912310021"]),
        ("bank_card", ["4111111111111111", "4111 1111 1111 1111"], ["4111111111111112", "0000000000000000"]),
        ("iban", ["DE89370400440532013000", "GB82 WEST 1234 5698 7654 32"], ["DE89370400440532013001"]),
        ("api_key", ["sk-" + "a1B2" * 6, "AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1" * 18], ["sk-short"]),
        ("digits:5", ["12345", "①②③④⑤", "一二三四五六"], ["1234", "12 34 5"]),
    ],
)  # fmt: skip
def test_detectors(name, hits, misses):
    words = filter_of(Rule(rule="d:1", detector=name))
    label = f"[{name.partition(':')[0].upper()}]"
    for text in hits:
        assert masked(words, f"看 {text} 好") == f"看 {label} 好", text
    for text in misses:
        assert masked(words, f"看 {text} 好") == f"看 {text} 好", text


def test_a_pattern_is_re2_and_a_stream_waits_only_where_it_may_match():
    words = filter_of(Rule(rule="r:1", regex=r"代号\d{2,3}(甲|乙)?"))
    assert masked(words, "代号123甲 代号1 代号1234") == "****** 代号1 *****4"
    stream = words.stream("in")
    assert [stream.feed(char) for char in "好代号12 好"] == ["好", "", "", "", "", "**** ", "好"]
    with pytest.raises(InvalidWords, match="r:1: "):
        filter_of(Rule(rule="r:1", regex="a(?=b)"))


def test_a_hostile_pattern_is_harmless():
    words = filter_of(Rule(rule="r:1", regex="(a+)+$"))
    assert masked(words, "a" * 3_000 + "b") == "a" * 3_000 + "b"


@pytest.mark.parametrize(
    "rule",
    [
        Rule(rule="w:1"),
        Rule(rule="w:1", word="a", regex="b"),
        Rule(rule="w:1", word="\u200b"),
        Rule(rule="w:1", word="a" * 257),
        Rule(rule="w:1", detector="passport"),
        Rule(rule="w:1", both=("a", "b"), action="allow"),
        Rule(rule="w:1", word="a", action="replace"),
        Rule(rule="w:1", word="a", replacement="--"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_name(rule):
    with pytest.raises(InvalidWords, match="w:1: "):
        filter_of(rule)


def test_flags_keep_their_tags_and_smuggled_ones_are_dropped():
    scotland = "\U0001f3f4" + "".join(chr(0xE0000 + ord(char)) for char in "gbsct") + "\U000e007f"
    words = filter_of(word("秘密"))
    assert masked(words, f"{scotland}秘\U000e0061密\U000e0062好") == f"{scotland}***好"


def test_compiled_words_are_kept_found_again_and_made_anew_when_damaged(tmp_path):
    rules = RuleSet(rules=[word("毛主席", 1), word("assert", 2, options=ListOptions(repeat=True, noise=True))])
    for _ in range(2):
        words = compile_rules(rules, tmp_path)
        assert masked(words, "毛主席 asssert a.s.s.e.r.t") == "*** ******* ***********"
    files = sorted(tmp_path.glob("*.words"))
    assert len(files) == 2
    files[0].write_bytes(files[0].read_bytes()[:-1] + b"?")
    assert masked(compile_rules(rules, tmp_path), "毛主席") == "***"
