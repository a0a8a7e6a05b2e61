"""Cleaning: noise goes, and nothing else does."""

from __future__ import annotations

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.cleaning import RULES, _tidy, clean

NOISY = st.lists(
    st.one_of(
        st.text(alphabet=st.characters(exclude_categories=[]), max_size=4),
        st.sampled_from(
            ["\n", "\n\n\n", " ", "\t", "\r\n", "\u3000", "你好", "，", "e", "\u0301", "```", "~~~", "`", "<", "&"]
        ),
        st.sampled_from(
            ["\u200b", "\u200d", "\u200e", "\ud83d", "\ude00", "&#8203;", "&nbsp;", "&amp;nbsp;", "&lt;o:p&gt;"]
        ),
        st.sampled_from(["<br>", "<p>", "</p>", "<o:p>", "<!--StartFragment-->", "<p class=MsoNormal>"]),
        st.sampled_from(["<!--[if x]>", "<![endif]-->"]),
    ),
    max_size=14,
).map("".join)

SIGNS = (
    "abcXYZ019.,;:?!'\"()[]{}#*_-+=/\\|@$%^~",
    "你好世界的说。，、；：？！“”‘’《》【】（）…—·～￥",
    "ＡＢｃ０１９！？，．（）［］　",
    "éñüßжд한국かなカナ🙂",
)
PROSE = st.text(alphabet=st.sampled_from("".join(SIGNS)), min_size=1, max_size=60).map(
    lambda text: unicodedata.normalize("NFC", text).strip()
)
CODE = st.text(alphabet=st.sampled_from("abc_01 (){}[]<>&;:=+-*/\t\n\"'#"), max_size=80)


def visible(text: str) -> str:
    return unicodedata.normalize(
        "NFC", "".join(one for one in text if not one.isspace() and unicodedata.category(one) not in ("Cc", "Cf", "Cs"))
    )


@given(NOISY)
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    once = clean(text)
    again = clean(once.text)
    assert again.text == once.text
    assert again.counts == {}


@given(NOISY)
def test_what_the_quick_look_lets_pass_no_rule_would_touch(text: str) -> None:
    if _tidy(text):
        assert [name for name, rule in RULES.items() if rule(text) != (text, 0)] == []


@given(NOISY)
def test_a_text_is_changed_exactly_if_something_was_counted(text: str) -> None:
    cleaned = clean(text)
    assert (cleaned.text != text) == bool(cleaned.counts)
    assert all(spots > 0 for spots in cleaned.counts.values())


@given(NOISY.map(lambda text: text.replace("<", "").replace("&", "")))
def test_without_markup_no_visible_character_is_lost_or_moved(text: str) -> None:
    joined = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "ignore")  # a split pair is one character
    assert visible(clean(text).text) == visible(joined)


@given(st.lists(PROSE.filter(bool), min_size=1, max_size=5))
def test_chinese_punctuation_full_width_forms_and_symbols_survive(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert clean(text).text == text


@given(CODE)
def test_fenced_code_survives_to_the_letter(code: str) -> None:
    text = f"看这个：\n\n```html\n{code}\n```\n\n完。"
    assert clean(text).text == text


@pytest.mark.parametrize(
    ("text", "mended", "rules"),
    [
        ("a\ud83d\ude00b\ud800c", "a\U0001f600bc", {"surrogates": 3}),
        ("one\r\ntwo\rthree\u2028four\x0cfive", "one\ntwo\nthree\nfour\nfive", {"line-ends": 4}),
        ("a\x00b\x07\x9bc", "abc", {"controls": 3}),
        ("zero\u200bwidth\ufeff, soft\u00adhyphen, \u202eturned", "zerowidth, softhyphen, turned", {"invisible": 4}),
        ("a\u200dj\u200eb 你\u200d好", "ajb 你好", {"invisible": 3}),
        ("cafe\u0301", "café", {"composed": 1}),
        ("one  \ntwo\t\nthree", "one\ntwo\nthree", {"trailing-spaces": 2}),
        ("一\n\n\n\n二", "一\n\n二", {"blank-lines": 1}),
        ("\n \n  indented\n", "  indented", {"trailing-spaces": 1, "ends": 2}),
        ("Hello&nbsp;world, one&nbsp;&nbsp; two", "Hello world, one  two", {"pasted-markup": 2}),
        ("第一行<br/>第二行", "第一行\n第二行", {"pasted-markup": 1}),
        (
            "<!--StartFragment--><p class=MsoNormal>A &amp; <b>B</b>&nbsp;吃<o:p></o:p></p><p>面</p><!--EndFragment-->",
            "A & B 吃\n面",
            {"pasted-markup": 11, "ends": 1},
        ),
    ],
)  # fmt: skip
def test_each_rule_mends_its_noise_and_counts_it(text: str, mended: str, rules: dict[str, int]) -> None:
    cleaned = clean(text)
    assert cleaned.text == mended
    assert cleaned.counts == rules


@pytest.mark.parametrize(
    "text",
    [
        "How do I centre a <div> in a <span>?",
        "<p>Hello<br>world</p>",
        '<div class="card"><p style="color: red">Hi &amp; bye</p></div>',
        "What does &nbsp; do, and &lt; or &amp;?",
        "Use <br> for a break.",
        "In Word's HTML, `<p class=MsoNormal>` and `<o:p>` stand everywhere.",
        "if a < b && c > d: print(a<<1)",
        "vector<int> v; List<String> 列表",
        "Tom & Jerry, R&D, AT&T; x &y",
        "👨\u200d👩\u200d👧 ❤\ufe0f",
        "می\u200cخواهم",
        "क्\u200dष",
        "他说：“你好，世界！”——《书》……１２３ＡＢＣ　全角",
        "    indented code\n\n    more",
        "| a | b |\n|---|---|\n| 1 | 2 |",
        "",
    ],
)
def test_what_is_meant_is_left_alone(text: str) -> None:
    assert clean(text).text == text
    assert clean(text).counts == {}


@pytest.mark.parametrize("noise", [" ", "\t", "\n", "<", "`", "<p ", "&nbsp;", "\u200b", "<!--[if x]>"])
def test_long_runs_of_noise_take_no_long_time(noise: str) -> None:
    text = "a" + noise * 3000 + "b"
    started = time.process_time()
    clean(text)
    assert time.process_time() - started < 2.0
