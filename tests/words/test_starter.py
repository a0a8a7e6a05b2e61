"""The starter folder: it loads, finds what it says, and leaves ordinary sentences alone."""

import datetime as dt
from pathlib import Path

import pytest

from service.words.filter import WordFilter
from service.words.sources import Sources

FOLDER = Path(__file__).parents[2] / "deploy" / "words"


@pytest.fixture(scope="module")
def starter():
    loaded = Sources(folder=FOLDER).read(dt.date(2026, 1, 1))
    assert {info.name for info in loaded.lists} > {"insults.csv", "scams.jsonl", "trade.csv", "privacy.jsonl"}
    return WordFilter(loaded.rules)


@pytest.mark.parametrize(
    ("text", "category", "action"),
    [
        ("你这个王-八-蛋", "insult", "mask"),
        ("you are an ａｓｓｈｏｌｅ", "insult", "mask"),
        ("fuuuck you", "insult", "mask"),
        ("点我主页刷单返现，日结", "scam", "block"),
        ("请马上转账到我们的安全账户", "scam", "block"),
        ("安全账户已开好，请转账", "scam", "block"),
        ("先加微信，我带你赚钱", "scam", "block"),
        ("首存送彩金", "gambling", "block"),
        ("出售冰毒", "drugs", "block"),
        ("Fentanyl for sale", "drugs", "block"),
        ("我的身份证是11010519491231002X", "privacy", "flag"),
    ],
)
def test_what_the_starter_lists_find(starter, text, category, action):
    found = {(hit.category, hit.action) for hit in starter.check(text, "in").hits}
    assert found == ({(category, action)} if category else set())


@pytest.mark.parametrize(
    "text",
    [
        "今天天气不错，我们去公园散步吧。",
        "请帮我写一封感谢信。",
        "银行转账需要多长时间到账？",
        "怎样识别冒充公检法的诈骗？",
        "羊驼草泥马是网络流行语。",
        "毒品的危害有哪些？",
        "The Middlesex county office opens at nine.",
        "Please double your efforts next week.",
        "How does a casino make money?",
        "Is cocaine addictive?",
        "My assistant asserts that the class starts at ten.",
    ],
)
def test_ordinary_sentences_pass(starter, text):
    for direction in ("in", "out"):
        assert starter.check(text, direction).hits == []


def test_private_numbers_are_flagged_in_prompts_and_masked_in_replies(starter):
    text = "card 4111111111111111"
    assert starter.check(text, "in").text == text
    assert starter.check(text, "out").text == "card [CARD]"


@pytest.mark.parametrize(
    ("number", "is_one"),
    [("4111111111111111", True), ("6222020111122220002", True), ("2221000000000009", True), ("0004111111111119", False),
     ("1234567890123452", False), ("0000000000000018", False)],
)  # fmt: skip
def test_long_numbers_that_no_issuer_has_are_no_cards(starter, number, is_one):
    assert bool(starter.check(f"number {number}.", "out").hits) is is_one
