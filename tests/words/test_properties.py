"""What must hold for every list and every text: over all foldings, options, actions and kinds of rule at once."""

import itertools

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback.errors import InvalidWords
from service.words.filter import WordFilter, compile_rules
from service.words.joints import BARRIER
from service.words.rules import Folding, ListOptions, Rule, RuleSet

LETTERS = "aAbcsßéｂⒷ①1一毛主席黃黄片三x枪木仓架"
ODD = "-.* *@\u200b\u0301\U000e0061\U0001f3f4\ud800\n[]"
ALPHABET = LETTERS + ODD
FLAG = "\U0001f3f4\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f"
FRAGMENTS = [
    "毛主席", "毛-主席", "f.u.c.k", "aab", "ab", "aaab", "三黄片", "黄片", "a@b.cc", "a@b.cc ", "1.1.1.1",
    "13800138000", "http://a.b", "[EMAIL]", "Ⓐⓑ", "a b", "毛x主席", "b**b", "ba", FLAG, "木仓片", "架仓",
]  # fmt: skip
PIECE = st.one_of(st.text(alphabet=ALPHABET, max_size=4), st.sampled_from(FRAGMENTS))
TEXT = st.lists(PIECE, max_size=12).map("".join)
WORD = st.one_of(
    st.text(alphabet=LETTERS, min_size=1, max_size=4),
    st.text(alphabet=LETTERS + "-@", min_size=1, max_size=4).filter(lambda word: any(map(str.isalnum, word))),
    st.sampled_from(["毛主席", "黄片", "三黄片", "ab", "aab", "a b", "x", "@@", "asshole", "a*b", "*a", "b*", "**"]),
)
SELDOM = st.sampled_from([False] * 4 + [True])
OPTIONS = st.builds(
    ListOptions,
    folding=st.builds(
        Folding, case=st.booleans(), invisible=st.booleans(), digits=st.booleans(), leet=SELDOM, radicals=SELDOM
    ),
    noise=st.booleans(),
    repeat=st.booleans(),
    whole_word=st.sampled_from([False, False, True]),
    match=st.sampled_from(["overlap", "overlap", "longest", "shortest"]),
)
WORDS = WORD.map(lambda word: {"word": word})
REGEXES = ["a+b", "b.?c", r"\bab\b", "毛[^主]", "^a", "b$", "x*", "(?i)ab|abc", "(?m)^b|a$", "(a|b){2,3}?c", r"\pL-"]
DETECTED = ["email", "url", "ipv4", "phone", "ipv6", "digits:3", "bank_card", "api_key"]
KIND = st.one_of(
    WORDS,
    WORDS,
    st.sampled_from(REGEXES).map(lambda regex: {"regex": regex}),
    st.sampled_from(DETECTED).map(lambda name: {"detector": name}),
    st.tuples(WORD, WORD, st.integers(0, 5)).map(lambda each: {"both": each[:2], "within": each[2]}),
)


@st.composite
def rule_sets(draw, actions=("mask", "mask", "block", "flag", "allow", "replace"), kinds=KIND, most=5):
    rules = []
    for number in range(draw(st.integers(0, most))):
        kind = draw(kinds)
        action = draw(st.sampled_from([each for each in actions if not ("both" in kind and each == "allow")]))
        rules.append(
            Rule(
                rule=f"w:{number}",
                action=action,
                replacement="XX" if action == "replace" else None,
                options=draw(OPTIONS),
                **kind,
            )
        )
    return RuleSet(rules=[rule for rule in rules if _compiles(rule)])


def _compiles(rule):
    """A word may be nothing but what its options fold away: such a rule is refused, and not what is tested here."""
    try:
        compile_rules(RuleSet(rules=[rule]))
    except InvalidWords as error:
        assert "nothing is left" in str(error)
        return False
    return True


def cut(text, cuts):
    edges = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    return [text[low:high] for low, high in itertools.pairwise(edges)]


def streamed(words: WordFilter, chunks):
    stream = words.stream("out")
    joined = "".join([*map(stream.feed, chunks), stream.end()])
    return joined, stream.hits, stream.blocked


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rule_sets(), TEXT, st.lists(st.integers(0, 60), max_size=10))
def test_every_way_to_cut_a_text_gives_the_same(rules, text, cuts):
    words = compile_rules(rules)
    whole = streamed(words, [text])
    assert streamed(words, cut(text, cuts)) == whole
    assert streamed(words, list(text)) == whole
    checked = words.check(text, "out")
    if not checked.blocked:
        assert (checked.text, checked.hits) == whole[:2]
    else:
        assert whole[2] and checked.hits[: len(whole[1])] == whole[1]


PLAIN = rule_sets(actions=("mask", "mask", "mask", "allow"), kinds=WORDS)


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PLAIN, TEXT)
def test_masking_twice_is_masking_once(rules, text):
    words = compile_rules(rules)
    once = words.check(text, "in").text
    assert words.check(once, "in").text == once


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PLAIN, rule_sets(actions=("mask",), kinds=WORDS, most=1), TEXT)
def test_another_word_never_shows_what_was_hidden(rules, more, text):
    def hidden(rules):
        reporting_all = [
            msgspec.structs.replace(rule, options=msgspec.structs.replace(rule.options, match="overlap"))
            for rule in rules
        ]
        hits = compile_rules(RuleSet(rules=reporting_all)).check(text, "in").hits
        return {place for hit in hits for place in range(hit.start, hit.end)}

    assert hidden(rules.rules) <= hidden([*rules.rules, *more.rules])


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rule_sets(actions=("mask", "allow"), kinds=WORDS), TEXT)
def test_spans_index_the_original_and_the_mask_stands_there(rules, text):
    plain = msgspec.structs.replace(rules, drop_hidden=False)
    checked = compile_rules(plain).check(text, "in")
    assert len(checked.text) == len(text)
    shown = {place for place, (old, new) in enumerate(zip(text, checked.text, strict=True)) if old == new}
    for hit in checked.hits:
        assert 0 <= hit.start < hit.end <= len(text)
        assert set(checked.text[hit.start : hit.end]) <= {"*", BARRIER}
    assert all(checked.text[place] in ("*", BARRIER) for place in range(len(text)) if place not in shown)


@pytest.mark.parametrize("noise", [False, True])
def test_text_that_begins_no_word_is_not_delayed(noise):
    options = ListOptions(noise=noise, repeat=noise)
    words = compile_rules(RuleSet(rules=[Rule(rule="w:1", word="毛主席", options=options)]))
    stream = words.stream("out")
    for chunk in ("今天", "天气,", " 不错。", "Nice", " day\n"):
        assert stream.feed(chunk) == chunk
