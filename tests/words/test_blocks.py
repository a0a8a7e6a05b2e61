"""A plain list as one block: it must be to everybody what its rules, one by one, are."""

import datetime as dt
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from feedback.errors import InvalidWords
from service.words import blocks, lists
from service.words.blocks import Rules, WordBlock
from service.words.filter import WordFilter, compile_rules
from service.words.lists import Defaults, parse_rules
from service.words.rules import Rule, RuleSet
from service.words.sources import Sources
from tests.words.test_properties import OPTIONS, TEXT, WORD, streamed

TODAY = dt.date(2026, 1, 1)
LISTED = WORD.map(str.strip).filter(lambda word: word and word[0] != "#")


def block_of(words, **defaults) -> WordBlock:
    block = parse_rules(Path("l.txt"), "\n".join(words).encode(), Defaults(**defaults))
    assert isinstance(block, WordBlock)
    return block


def test_a_block_names_each_word_by_its_line():
    lines = [f"词{n}" if n % 7 else "# not a word" if n % 2 else "  " for n in range(1, 3_001)]
    block = block_of(lines, category="many", severity=3)
    listed = [(n, text) for n, text in enumerate(lines, 1) if n % 7]
    assert [(rule.rule, rule.word, rule.category, rule.severity) for rule in block] == [
        (f"l.txt:{n}", text, "many", 3) for n, text in listed
    ]
    assert [block[place] for place in range(len(block))] == list(block) and len(block) == len(listed)
    assert block[-1] == block[len(block) - 1] and block[510:514] == list(block)[510:514]
    with pytest.raises(IndexError):
        block[len(block)]


def test_rules_of_several_parts_stand_one_after_the_other():
    block, one = block_of(["a", "b"]), Rule(rule="x:1", word="x")
    rules = Rules([[one], block, [], block_of([]), [one, one]])
    assert list(rules) == [one, *block, one, one] == [rules[place] for place in range(5)] and len(rules) == 5
    assert [start for start, _ in rules.starts()] == [0, 1, 3]
    assert list(rules.kinds()) == [one, block[0], one, one]


@pytest.mark.parametrize("at", [1, 900, 40_000])
@pytest.mark.parametrize(("bad", "reason"), [(b"a\xffb", "not UTF-8"), (b"a" * 257, "a word of 257 characters")])
def test_a_bad_line_far_down_is_named(at, bad, reason):
    data = b"\n".join([*[b"\xe8\xaf\x8d"] * (at - 1), bad, b"good"])
    assert at < 10_000 or len(data) > lists.LINES_BYTES
    with pytest.raises(InvalidWords, match=rf"l\.txt, line {at}: {reason}"):
        parse_rules(Path("l.txt"), data, Defaults())


def test_a_word_that_folds_to_nothing_is_named_by_its_line(tmp_path):
    for cache in (None, tmp_path):
        with pytest.raises(InvalidWords, match=r"l\.txt:3: nothing is left"):
            WordFilter(block_of(["a", "", "\u200b", "b"]), cache)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(LISTED, min_size=1, max_size=9), OPTIONS, st.sampled_from(["mask", "block", "flag", "allow"]), TEXT)
def test_a_block_hits_what_its_rules_hit(words, options, action, text):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blocks, "SLICE", 3)
        block = block_of(words, options=options, action=action)
        more = [Rule(rule="more:1", word="毛主席"), Rule(rule="more:2", word="ab", action="block", options=options)]
        try:
            ours = compile_rules(RuleSet(rules=Rules([more, block])))
        except InvalidWords as error:
            assert "nothing is left" in str(error)
            assume(False)
        theirs = compile_rules(RuleSet(rules=[*more, *block]))
        assert ours.check(text, "in") == theirs.check(text, "in")
        assert streamed(ours, list(text)) == streamed(theirs, list(text))


def test_a_policy_and_the_counts_hold_for_a_block_as_a_whole(tmp_path):
    (tmp_path / "a.txt").write_text("one\ntwo\n", "utf-8")
    (tmp_path / "b.csv").write_text("three,loud,block\n", "utf-8")
    options = '[lists.a]\ncategory = "quiet"\n[policy.quiet]\nin = "allow"\nout = "block"\n'
    (tmp_path / "words.toml").write_text(options, "utf-8")
    sources = Sources(folder=tmp_path, inducement=False)
    loaded = sources.read(TODAY)
    assert [(rule.word, rule.action, rule.only) for rule in loaded.rules.rules] == [
        ("one", "block", "out"), ("two", "block", "out"), ("three", "block", None),
    ]  # fmt: skip
    assert [(info.rules, info.in_force, info.categories) for info in loaded.lists] == [
        (2, 2, {"quiet": 2}), (1, 1, {"loud": 1}),
    ]  # fmt: skip
    (tmp_path / "words.toml").write_text(options.replace('"block"', '"allow"'), "utf-8")
    assert [rule.word for rule in sources.read(TODAY).rules.rules] == ["three"]
