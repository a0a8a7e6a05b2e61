"""The split: equal openings on one side for ever, whatever their clothes."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.settings import PoolSettings
from feedback.split import fold, opening_of, prompt_of, split_of
from feedback.turns import Message

RULES = PoolSettings()
NOISE = [" ", "\n", "\u3000", ",", "，", "。", "?", "？", "!", "…", "\u200b", "\ufeff", "\u00ad", "“", "'", "-", "\x00"]
LETTERS = st.text(
    alphabet=st.sampled_from("abcxyzABCXYZ0189äßéñ你好世界的问题テストかな한국어"), min_size=1, max_size=30
)


def widened(text: str) -> str:
    """ASCII as its full-width forms."""
    return "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in text)


@given(st.text(alphabet=st.characters(exclude_categories=[])))
def test_folding_twice_changes_nothing_more_and_any_text_has_a_side(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert split_of(text, RULES) in ("train", "validation", "heldout")


@given(LETTERS, st.lists(st.tuples(st.integers(0, 30), st.sampled_from(NOISE)), max_size=6), st.booleans())
def test_case_width_space_punctuation_and_invisible_characters_change_no_side(
    text: str, noise: list[tuple[int, str]], wide: bool
) -> None:
    other = widened(text.upper()) if wide else text.swapcase().casefold()
    for at, mark in noise:
        other = other[:at] + mark + other[at:]
    assert fold(other) == fold(text)
    assert split_of(other, RULES) == split_of(text, RULES)


@given(st.text(alphabet="abc你好1+<=$ ", min_size=1))
def test_letters_digits_and_signs_survive_the_fold(text: str) -> None:
    assert fold(text) == text.replace(" ", "")


@pytest.mark.parametrize(
    ("opening", "side"),
    [
        ("What is the capital of France?", "train"),
        ("法国的首都是哪里？", "train"),
        ("Hello", "heldout"),
        ("你叫什么名字？", "heldout"),
        ("今天天气怎么样？", "validation"),
        ("opening 3", "validation"),
        ("opening 11", "heldout"),
        ("", "train"),
    ],
)
def test_the_sides_of_these_openings_never_change(opening: str, side: str) -> None:
    """Pinned: if this fails, conversations that were held out from trained models are about to be trained on."""
    assert split_of(opening, RULES) == side


def test_the_shares_are_kept() -> None:
    sides = Counter(split_of(f"question number {number}", RULES) for number in range(20_000))
    assert sides["heldout"] / 20_000 == pytest.approx(0.20, abs=0.01)
    assert sides["validation"] / 20_000 == pytest.approx(0.10, abs=0.01)


def test_a_larger_validation_share_moves_nothing_into_or_out_of_held_out() -> None:
    larger = PoolSettings(validation_percent=40)
    for number in range(500):
        before, after = (split_of(f"question {number}", rules) for rules in (RULES, larger))
        assert (before == "heldout") == (after == "heldout")


def test_the_opening_is_the_first_user_message_and_the_prompt_the_last() -> None:
    messages = [
        Message(role="system", content="Be brief."),
        Message(role="user", content="first"),
        Message(role="assistant", content="reply"),
        Message(role="user", content="last"),
    ]
    assert (opening_of(messages), prompt_of(messages)) == ("first", "last")
    assert (opening_of(messages[:1]), prompt_of(messages[:1])) == ("", "")
