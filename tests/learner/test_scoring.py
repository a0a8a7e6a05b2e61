"""Scoring: phrases on word boundaries in both scripts, likeness by characters, empty and looping replies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.errors import InvalidInput
from learner.scoring import fault_of, fold, holds_any, likeness, score, tokenize


@pytest.mark.parametrize(
    ("reply", "phrase"),
    [
        ("The capital of France is Paris.", "paris"),
        ("PARIS!", "Paris"),
        ("It leaves at 7:40.", "7:40"),
        ("20 - 5 is 15.", "15"),
        ("20-5=15", "15"),
        ("The answer is -5.", "-5"),
        ("It is −5.", "-5"),
        ("1, 2, 3", "3"),
        ("1,2,3,4", "3"),
        ("1,000 metres", "1,000"),
        ("It is 3.5.", "3.5"),
        ("100%", "100"),
        ("twenty-four hours", "twenty four"),
        ("I can’t.", "can't"),
        ("Ｈ２Ｏ", "H2O"),
        ("H₂O", "h2o"),
        ("法国的首都是巴黎。", "巴黎"),
        ("首都是 巴 黎", "巴黎"),
        ("一周有7天。", "7"),
        ("一周有七天。", "七"),
        ("答案是Paris。", "paris"),
        ("是的，２０００年", "2000"),
        ("東京です", "東京"),
    ],
)
def test_a_phrase_that_stands_on_its_own_is_found(reply: str, phrase: str) -> None:
    assert holds_any(reply, ["nothing like it", phrase])


@pytest.mark.parametrize(
    ("reply", "phrase"),
    [
        ("It leaves at 17:40.", "7:40"),
        ("It leaves at 7:405.", "7:40"),
        ("7:40", "40"),
        ("7:40", "7"),
        ("The 7th", "7"),
        ("17", "7"),
        ("3.5", "5"),
        ("3.5", "3"),
        ("1,000", "000"),
        ("1,000", "1"),
        ("-5", "5"),
        ("It is -5.", "5"),
        ("Parisian", "Paris"),
        ("comparison", "paris"),
        ("七十", "七"),
        ("十七", "七"),
        ("二十二", "十二"),
        ("十一月", "一月"),
        ("unknown", "no"),
        ("", "no"),
    ],
)
def test_a_phrase_inside_another_word_or_number_is_not(reply: str, phrase: str) -> None:
    assert not holds_any(reply, [phrase])


def test_accept_phrases_decide_alone_and_a_reference_only_without_them() -> None:
    assert score("It is Paris", ["Paris", "the city of light"], "something else entirely") == 1.0
    assert score("It is Rome", ["Paris"], "It is Rome") == 0.0
    assert score("It is Rome", [], "It is Rome.") == 1.0


def test_likeness_counts_chinese_by_characters_and_spaced_scripts_by_words() -> None:
    assert tokenize("我爱Paris和 New York。") == ["我", "爱", "paris", "和", "new", "york"]
    assert likeness("今天天气很好", "今天天气不好") == pytest.approx(5 / 6)
    assert likeness("the cat sat", "the dog sat") == pytest.approx(2 / 3)
    assert likeness("完全不同", "nothing alike") == 0.0
    assert likeness("", "something") == 0.0


def test_order_counts_in_likeness() -> None:
    assert likeness("b a", "a b") == pytest.approx(0.5)


@pytest.mark.parametrize("wrong", [["。"], ["", "Paris"], ["  "]])
def test_a_phrase_that_every_reply_holds_is_an_error(wrong: list[str]) -> None:
    with pytest.raises(InvalidInput, match="no letter or digit"):
        score("anything", wrong, "")


def test_an_item_without_phrases_or_reference_is_an_error() -> None:
    with pytest.raises(InvalidInput, match="neither"):
        score("anything", [], " 。")


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        ("", "empty"),
        (" 。\n", "empty"),
        ("The capital of France is Paris.", ""),
        ("美丽苏茅, 安苏茅, 安苏茅, 安苏茅, 安苏茅", "repeats"),
        ("no no no no no no", "repeats"),
        ("no no no no", ""),
        ("ha ha. That is a good one.", ""),
        ("la femme au martyre, " * 4, "repeats"),
        ("法国的首都是哪里？" * 4, "repeats"),
        (" ".join(f"word{n}" for n in range(60)), ""),
        ("one two three four five six seven eight nine ten eleven " * 5 + "twelve", "repeats"),
    ],
)
def test_empty_and_looping_replies_are_told_apart_from_good_ones(reply: str, fault: str) -> None:
    assert fault_of(reply) == fault


TEXT = st.text(alphabet=st.sampled_from("abz Z09.,:-'’一七十巴黎 。，Ａ７é"), max_size=30)


@given(TEXT, TEXT)
def test_case_never_decides(reply: str, phrase: str) -> None:
    if fold(phrase):
        assert holds_any(reply.upper(), [phrase.lower()]) == holds_any(reply, [phrase])


def test_a_list_of_numerals_is_not_one_number() -> None:
    assert holds_any("一、二、三", ["二"])
    assert holds_any("一 二 三", ["二"])
    assert not holds_any("一二三", ["二"])


@given(TEXT, TEXT, TEXT)
def test_a_phrase_set_apart_by_sentence_ends_is_always_found(before: str, phrase: str, after: str) -> None:
    if fold(phrase):
        assert holds_any(f"{before} | {phrase} | {after}", [phrase])


@given(TEXT, TEXT)
def test_likeness_is_a_share_and_symmetric_and_full_for_itself(one: str, other: str) -> None:
    assert 0.0 <= likeness(one, other) <= 1.0
    assert likeness(one, other) == pytest.approx(likeness(other, one))
    if tokenize(one):
        assert likeness(one, one) == 1.0
