"""Asking: every answer kept, none asked twice, none counted for another model, and none left out."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import pytest

from feedback.errors import CycleFailed, UpstreamRefused
from learner.evaluate import Answered, AnswerFile, ask_all, mean_score, read_answers, scores_of, side_by_side
from learner.suite import Question
from learner.upstream import Upstream
from tests.fakes.ollama import FakeOllama


def say(model: str, messages: list[dict[str, Any]]) -> str:
    return "It is 4." if "2 + 2" in messages[-1]["content"] else f"{model} does not know."


@pytest.fixture
def fake() -> Iterator[FakeOllama]:
    with FakeOllama(models=["assistant:1.0.0", "assistant:candidate"], answers=say) as server:
        yield server


@pytest.fixture
def upstream(fake: FakeOllama) -> Iterator[Upstream]:
    with Upstream(fake.url, timeout_s=5.0) as client:
        yield client


def question(number: int, text: str = "", accept: tuple[str, ...] = ("4",), tokens: int = 24) -> Question:
    messages = [{"role": "user", "content": text or f"What is 2 + 2, for the {number}th time?"}]
    return Question(item=f"item-{number}", messages=messages, accept=list(accept), reference="", reply_tokens=tokens)


def ask(upstream: Upstream, tag: str, questions: list[Question], path: Path, **given: Any) -> list[Answered]:
    with AnswerFile(path) as answers:
        return ask_all(upstream, tag, questions, answers, **given)


def test_every_question_is_answered_in_order_and_greedily_and_kept(
    fake: FakeOllama, upstream: Upstream, tmp_path: Path
) -> None:
    questions = [question(number) for number in range(9)] + [question(9, "Who?")]
    told: list[tuple[int, int]] = []
    answered = ask(
        upstream, "assistant:1.0.0", questions, tmp_path / "run" / "answers.jsonl", parallel=3,
        progress=lambda done, of: told.append((done, of)),
    )  # fmt: skip
    assert [one.item for one in answered] == [one.item for one in questions]
    assert mean_score(answered) == 0.9
    assert told == [(done, 10) for done in range(1, 11)]
    assert {one.item for one in read_answers(tmp_path / "run" / "answers.jsonl")} == {one.item for one in questions}
    assert all(seen.body["options"] == {"temperature": 0, "seed": 1, "num_predict": 24} for seen in fake.chats)


def test_a_few_are_asked_at_a_time_and_no_more(fake: FakeOllama, upstream: Upstream, tmp_path: Path) -> None:
    fake.chunk_delay_s = 0.01
    most = 0

    def counting(model: str, messages: list[dict[str, Any]]) -> str:
        nonlocal most
        most = max(most, 1 + sum(fake.library.busy.values()))
        return "4"

    fake.answers = counting
    ask(upstream, "assistant:1.0.0", [question(number) for number in range(12)], tmp_path / "a", parallel=3)
    assert 1 < most <= 3


def test_what_is_answered_is_not_asked_again_even_after_a_crash(
    fake: FakeOllama, upstream: Upstream, tmp_path: Path
) -> None:
    answers = tmp_path / "answers.jsonl"
    ask(upstream, "assistant:1.0.0", [question(number) for number in range(5)], answers)
    with answers.open("ab") as file:
        file.write(b'{"model":"cut')
    before = len(fake.chats)
    again = ask(upstream, "assistant:1.0.0", [question(number) for number in range(7)], answers)
    assert len(fake.chats) == before + 2
    assert len(again) == 7 and len(read_answers(answers)) == 7


def test_another_model_other_words_or_another_limit_are_asked_anew(
    fake: FakeOllama, upstream: Upstream, tmp_path: Path
) -> None:
    answers = tmp_path / "answers.jsonl"
    ask(upstream, "assistant:1.0.0", [question(1)], answers)
    upstream.delete("assistant:candidate")
    blob = tmp_path / "other.gguf"
    blob.write_bytes(b"GGUFother")
    upstream.push("assistant:candidate", blob, template="t", system="", parameters={})
    ask(upstream, "assistant:candidate", [question(1)], answers)
    ask(upstream, "assistant:1.0.0", [question(1, "Is 2 + 2 four?")], answers)
    ask(upstream, "assistant:1.0.0", [question(1, tokens=8)], answers)
    assert len(fake.chats) == 4
    blob.write_bytes(b"GGUFa third, under the same name")
    upstream.push("assistant:candidate", blob, template="t", system="", parameters={})
    ask(upstream, "assistant:candidate", [question(1)], answers)
    assert len(fake.chats) == 5


def test_kept_answers_are_scored_by_todays_phrases(upstream: Upstream, tmp_path: Path) -> None:
    first = ask(upstream, "assistant:1.0.0", [question(1, accept=("four",))], tmp_path / "a")
    mended = ask(upstream, "assistant:1.0.0", [question(1, accept=("four", "4"))], tmp_path / "a")
    assert (first[0].score, mended[0].score) == (0.0, 1.0)


def test_an_answer_that_fails_fails_the_evaluation_and_keeps_the_others(
    fake: FakeOllama, upstream: Upstream, tmp_path: Path
) -> None:
    fake.will_fail(500, "llama runner process has terminated")
    with pytest.raises(UpstreamRefused):
        ask(upstream, "assistant:1.0.0", [question(number) for number in range(3)], tmp_path / "a", parallel=1)
    whole = ask(upstream, "assistant:1.0.0", [question(number) for number in range(3)], tmp_path / "a")
    assert [one.score for one in whole] == [1.0, 1.0, 1.0]


def test_a_model_that_is_not_there_is_named(upstream: Upstream, tmp_path: Path) -> None:
    with pytest.raises(CycleFailed, match="no model assistant:gone"):
        ask(upstream, "assistant:gone", [question(1)], tmp_path / "a")


def test_empty_answers_count_as_wrong_and_are_marked(fake: FakeOllama, upstream: Upstream, tmp_path: Path) -> None:
    fake.will_say(" ")
    answered = ask(upstream, "assistant:1.0.0", [question(1)], tmp_path / "a")
    assert (answered[0].score, answered[0].fault) == (0.0, "empty")
    scores = scores_of(answered, [])
    assert (scores.heldout_items, scores.general_items, scores.general) == (1, 0, 0.0)


def test_without_phrases_a_reply_is_scored_by_its_likeness(upstream: Upstream, tmp_path: Path) -> None:
    asked = msgspec.structs.replace(question(1), accept=[], reference="It is four.")
    (answered,) = ask(upstream, "assistant:1.0.0", [asked], tmp_path / "a")
    assert answered.score == pytest.approx(2 / 3)


def test_models_are_asked_side_by_side_and_their_answers_kept_apart(
    fake: FakeOllama, upstream: Upstream, tmp_path: Path
) -> None:
    questions = [question(number, "Who?") for number in range(20)]
    fake.chunk_delay_s = 0.002
    with AnswerFile(tmp_path / "a") as answers:
        tags = ["assistant:1.0.0", "assistant:candidate"]
        jobs = [partial(ask_all, upstream, tag, questions, answers) for tag in tags]
        results = side_by_side(jobs, 2, answers)
    for tag, result in zip(tags, results, strict=True):
        assert [one.item for one in result] == [one.item for one in questions]
        assert all(one.reply == f"{tag} does not know." for one in result)
    assert len(read_answers(tmp_path / "a")) == 40
    order = [seen.body["model"] for seen in fake.chats]
    assert order != sorted(order)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_where_one_fails_the_others_are_abandoned_at_once_and_nothing_asked_is_lost(
    fake: FakeOllama, upstream: Upstream, tmp_path: Path, error: type[BaseException]
) -> None:
    fake.chunk_delay_s = 0.01

    def failing() -> list[Answered]:
        fake.wait(lambda: len(fake.chats) >= 4)
        raise error

    with AnswerFile(tmp_path / "a") as answers:
        asking = partial(ask_all, upstream, "assistant:1.0.0", [question(n) for n in range(200)], answers)
        with pytest.raises(error):
            side_by_side([asking, failing], 2, answers)
    assert 0 < len(read_answers(tmp_path / "a")) < 40
