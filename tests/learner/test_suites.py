"""Our own suites: apart from each other and from what is trained on, and no question gives its answer away."""

from collections import Counter
from importlib import resources

import msgspec
import pytest

from feedback.near_copies import NearCopies, shape_of
from feedback.split import fold
from learner.scoring import holds_any
from learner.suite import guarded_texts, load_suite, suite_questions

NAMES = ("general", "general-validation")


@pytest.mark.parametrize("name", NAMES)
def test_no_question_holds_its_own_answer(name: str) -> None:
    for item in load_suite(name):  # type: ignore[arg-type]
        assert item.accept
        assert not holds_any(item.question, item.accept), item.question


def test_the_suites_are_large_enough_varied_and_partly_chinese() -> None:
    general = Counter(item.ability for item in load_suite("general"))
    assert sum(general.values()) >= 80
    assert len(general) >= 8 and general["chinese"] >= 8
    assert len(load_suite("general-validation")) >= 40


def test_no_question_is_in_both_suites_nor_twice_in_one() -> None:
    folded = [fold(text) for text in guarded_texts()]
    assert len(folded) == len(set(folded))


def test_nothing_that_is_replayed_in_training_is_near_a_question() -> None:
    file = resources.files("learner").joinpath("replay.jsonl")
    copies = NearCopies(guarded_texts(), 0.8)
    rows = [msgspec.json.decode(line) for line in file.read_text("utf-8").splitlines() if line]
    texts = [message["content"] for row in rows for message in row["messages"] if message["role"] == "user"]
    assert texts
    assert [text for text in texts if copies.near(shape_of(text))] == []


def test_a_suite_becomes_questions_with_names_that_stay() -> None:
    questions = suite_questions("general", 24)
    assert questions[0].item == "general-001" and questions[0].reply_tokens == 24
    assert len({question.fingerprint for question in questions}) == len(questions)
    assert questions[0].fingerprint != suite_questions("general", 32)[0].fingerprint
