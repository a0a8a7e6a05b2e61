"""Near copies: found exactly as comparing everything with everything would, without doing so."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from feedback.near_copies import NearCopies, shape_of, shingles
from feedback.split import fold

WORDS = ["map", "river", "of", "the", "north", "where", "old", "is", "地图", "河流", "北方", "在", "哪里", "旧的"]
TEXTS = st.lists(st.sampled_from(WORDS), min_size=1, max_size=12).map(" ".join)


def near_by_brute_force(text: str, others: list[str], similarity: float) -> bool:
    mine = shingles(fold(text))
    theirs = [shingles(fold(other)) for other in others]
    return any(len(mine & other) >= similarity * len(mine | other) - 1e-9 for other in theirs)


@given(st.lists(TEXTS, max_size=12), TEXTS, st.sampled_from([0.1, 0.5, 0.6, 0.75, 0.8, 0.9, 1.0]))
def test_the_index_finds_exactly_what_comparing_everything_finds(
    others: list[str], text: str, similarity: float
) -> None:
    assert NearCopies(others, similarity).near(shape_of(text)) == near_by_brute_force(text, others, similarity)


def test_the_index_agrees_with_comparing_everything_on_many_slightly_changed_texts() -> None:
    rng = random.Random(7)
    originals = [" ".join(rng.choices(WORDS, k=rng.randint(8, 30))) for _ in range(60)]
    index = NearCopies(originals, 0.8)
    found = 0
    for original in originals * 2:
        words = original.split()
        for _ in range(rng.randint(1, 3)):
            words[rng.randrange(len(words))] = rng.choice(WORDS)
        changed = " ".join(words)
        assert index.near(shape_of(changed)) == near_by_brute_force(changed, originals, 0.8)
        found += index.near(shape_of(changed))
    assert 12 < found < 108  # both answers occur


@pytest.mark.parametrize(
    ("one", "other", "near"),
    [
        ("What is the capital of France?", "WHAT IS  the capital of france", True),
        ("What is the capital of France?", "Ｗｈａｔ ｉｓ the capital of France？", True),
        ("What is the capital of France?", "Which city is the seat of the French government?", False),
        (
            "Please explain to me in simple words how the tides in the North Sea depend on the position of the moon.",
            "Please explain to me in simple words how the tides in the North Sea depend on the location of the moon.",
            True,
        ),
        (
            "请问我怎样才能把旧手机里的照片和通讯录全部导入到新电脑里",
            "请问我怎样才能把旧手机里的照片和通讯录全部导入到新平板里",
            True,
        ),
        ("法国的首都是哪里？", "法国的首都是哪里", True),
        ("法国的首都是哪里？", "德国的人口有多少？", False),
        (
            "怎么用Python读取CSV文件并计算每一列的平均值和标准差呢",
            "怎么用Python读取CSV文件并计算每一行的平均值和标准差呢",
            True,
        ),
        ("ok", "OK!", True),
        ("好", "坏", False),
        ("???", "!!!", False),
    ],
)
def test_near_copies_in_english_and_chinese(one: str, other: str, near: bool) -> None:
    assert NearCopies([one], 0.8).near(shape_of(other)) is near
    assert NearCopies([other], 0.8).near(shape_of(one)) is near


def test_no_texts_have_no_near_copies() -> None:
    assert not NearCopies([], 0.8).near(shape_of("anything"))


class Counting(NearCopies):
    compared = 0

    def _similar(self, one: set[str], other: set[str]) -> bool:
        self.compared += 1
        return super()._similar(one, other)


def test_texts_from_one_template_are_not_compared_with_each_other() -> None:
    """A template that fills most of each text, yet too little for near copies: the worst case of prefix filtering."""
    rng = random.Random(3)
    template = (
        "Please sum up the following report for a busy reader who knows nothing of the matter, in two sentences: "
    )

    def filled() -> str:
        return template + "".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=22))

    index = Counting([filled() for _ in range(1000)], 0.8)
    assert not any(index.near(shape_of(filled())) for _ in range(200))
    assert index.compared < 200
