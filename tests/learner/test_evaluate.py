"""Asking: every answer kept, none asked twice, none counted for another model, and none left out."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from feedback.errors import CycleFailed, UpstreamRefused
from learner.evaluate import ask_all, mean_score, read_answers, scores_of
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


def test_every_question_is_answered_in_order_and_greedily_and_kept(
    fake: FakeOllama, upstream: Upstream, tmp_path: Path
) -> None:
    questions = [question(number) for number in range(9)] + [question(9, "Who?")]
    told: list[tuple[int, int]] = []
    answered = ask_all(
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
    ask_all(upstream, "assistant:1.0.0", [question(number) for number in range(12)], tmp_path / "a", parallel=3)
    assert 1 < most <= 3


def test_what_is_answered_is_not_asked_again_even_after_a_crash(
    fake: FakeOllama, upstream: Upstream, tmp_path: Path
) -> None:
    answers = tmp_path / "answers.jsonl"
    ask_all(upstream, "assistant:1.0.0", [question(number) for number in range(5)], answers)
    with answers.open("ab") as file:
        file.write(b'{"model":"cut')
    before = len(fake.chats)
    again = ask_all(upstream, "assistant:1.0.0", [question(number) for number in range(7)], answers)
    assert len(fake.chats) == before + 2
    assert len(again) == 7 and len(read_answers(answers)) == 7


def test_another_model_other_words_or_another_limit_are_asked_anew(
    fake: FakeOllama, upstream: Upstream, tmp_path: Path
) -> None:
    answers = tmp_path / "answers.jsonl"
    ask_all(upstream, "assistant:1.0.0", [question(1)], answers)
    upstream.delete("assistant:candidate")
    blob = tmp_path / "other.gguf"
    blob.write_bytes(b"GGUFother")
    upstream.push("assistant:candidate", blob, template="t", system="", parameters={})
    ask_all(upstream, "assistant:candidate", [question(1)], answers)
    ask_all(upstream, "assistant:1.0.0", [question(1, "Is 2 + 2 four?")], answers)
    ask_all(upstream, "assistant:1.0.0", [question(1, tokens=8)], answers)
    assert len(fake.chats) == 4
    blob.write_bytes(b"GGUFa third, under the same name")
    upstream.push("assistant:candidate", blob, template="t", system="", parameters={})
    ask_all(upstream, "assistant:candidate", [question(1)], answers)
    assert len(fake.chats) == 5


def test_kept_answers_are_scored_by_todays_phrases(upstream: Upstream, tmp_path: Path) -> None:
    first = ask_all(upstream, "assistant:1.0.0", [question(1, accept=("four",))], tmp_path / "a")
    mended = ask_all(upstream, "assistant:1.0.0", [question(1, accept=("four", "4"))], tmp_path / "a")
    assert (first[0].score, mended[0].score) == (0.0, 1.0)


def test_an_answer_that_fails_fails_the_evaluation_and_keeps_the_others(
    fake: FakeOllama, upstream: Upstream, tmp_path: Path
) -> None:
    fake.will_fail(500, "llama runner process has terminated")
    with pytest.raises(UpstreamRefused):
        ask_all(upstream, "assistant:1.0.0", [question(number) for number in range(3)], tmp_path / "a", parallel=1)
    whole = ask_all(upstream, "assistant:1.0.0", [question(number) for number in range(3)], tmp_path / "a")
    assert [one.score for one in whole] == [1.0, 1.0, 1.0]


def test_a_model_that_is_not_there_is_named(upstream: Upstream, tmp_path: Path) -> None:
    with pytest.raises(CycleFailed, match="no model assistant:gone"):
        ask_all(upstream, "assistant:gone", [question(1)], tmp_path / "a")


def test_empty_answers_count_as_wrong_and_are_marked(fake: FakeOllama, upstream: Upstream, tmp_path: Path) -> None:
    fake.will_say(" ")
    answered = ask_all(upstream, "assistant:1.0.0", [question(1)], tmp_path / "a")
    assert (answered[0].score, answered[0].fault) == (0.0, "empty")
    scores = scores_of(answered, [])
    assert (scores.heldout_items, scores.general_items, scores.general) == (1, 0, 0.0)


def test_without_phrases_a_reply_is_scored_by_its_likeness(upstream: Upstream, tmp_path: Path) -> None:
    asked = msgspec.structs.replace(question(1), accept=[], reference="It is four.")
    (answered,) = ask_all(upstream, "assistant:1.0.0", [asked], tmp_path / "a")
    assert answered.score == pytest.approx(2 / 3)
