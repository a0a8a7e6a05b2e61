"""Token counts: the tokenizer's own near the limits, the estimate only where it can't be wrong."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from feedback.errors import UnknownTokenizer
from feedback.tokens import TokenCounter

CORPUS = [
    "You can buy tickets at the door of the museum, or book them online for the next day.",
    "您可以在博物馆门口购票，也可以在网上预订第二天的票。",
    "def total(rows):\n    return sum(row.price for row in rows if row.price > 0)\n",
] * 20


@pytest.fixture(scope="module")
def tokenizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small byte-level BPE tokenizer that, as some do, cuts every text at eight tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        CORPUS, trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.enable_truncation(8)
    tokenizer.enable_padding(length=8)
    path = tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"
    tokenizer.save(str(path))
    return path


def test_the_counter_is_named_by_its_file(tokenizer_file: Path) -> None:
    assert TokenCounter.load(tokenizer_file).name == hashlib.sha256(tokenizer_file.read_bytes()).hexdigest()
    assert TokenCounter.load(None).name == "estimate"


def test_a_tokenizer_that_cuts_and_pads_counts_the_whole_text(tokenizer_file: Path) -> None:
    counter = TokenCounter.load(tokenizer_file)
    assert counter.count(["a"]) == 1
    assert counter.count(["q z " * 50]) >= 100
    assert counter.count(["a", "a"]) == 2


@pytest.mark.parametrize(
    "text",
    [
        "The lift is out of order, so please take the stairs to the second floor. ",
        "电梯坏了，请走楼梯上二楼。",
        "for name, value in settings.items():\n    print(f'{name}={value!r}')\n",
        "Ask for the 地图 at the desk（免费）. ",
        "好",
        "x",
        "1 2 3 4 5 6 7 8 ",
    ],
)
def test_counts_fall_on_the_right_side_of_both_limits(tokenizer_file: Path, text: str) -> None:
    counter = TokenCounter.load(tokenizer_file)
    low, high = 50, 512
    for times in (1, 2, 3, 5, 8, 12, 16, 24, 40, 80):
        quick, real = counter.count_between([text * times], low, high), counter.count([text * times])
        assert (quick < low, quick > high) == (real < low, real > high)


def test_near_the_limits_the_count_is_exact_and_far_from_them_estimated(tokenizer_file: Path) -> None:
    counter = TokenCounter.load(tokenizer_file)
    text = "Please tell us when the museum is open, and whether dogs may come in. 谢谢！"
    real, estimate = counter.count([text]), counter.estimate([text])
    assert real != estimate  # else the test could not tell them apart
    assert counter.count_between([text], real, 10_000) == real
    assert counter.count_between([text], 1, real) == real
    assert counter.count_between([text], 1, 10_000) == estimate


def test_the_estimate_is_near_the_count_on_prose_of_either_script(tokenizer_file: Path) -> None:
    counter = TokenCounter.load(tokenizer_file)
    for text in (
        "The lift is out of order, so please take the stairs to the second floor.",
        "电梯坏了，请走楼梯上二楼。",
    ):
        assert counter.estimate([text]) == pytest.approx(counter.count([text]), rel=0.35)


def test_without_a_tokenizer_a_chinese_character_counts_as_one_and_four_letters_as_one() -> None:
    counter = TokenCounter()
    assert counter.estimate(["你好世界"]) == 4
    assert counter.estimate(["abcd" * 10]) == 10
    assert counter.count(["你好", "abcd"]) == 3


def test_no_tokenizer_and_no_such_tokenizer_are_different_things(tmp_path: Path) -> None:
    with pytest.raises(UnknownTokenizer, match="There is no tokenizer"):
        TokenCounter.load(tmp_path / "tokenizer.json")
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UnknownTokenizer, match="is not a tokenizer"):
        TokenCounter.load(tmp_path / "tokenizer.json")
