"""Questions with known answers: our own suites, and what a snapshot holds back. Everything that a model is asked.

`general` is the retention suite: what the model could do before must still be there after. `general-validation` has
other questions of the same kinds, by which the adapter's scale is chosen. The two share no question, and neither shares
one with the replay data that is trained on.

How they were chosen decides whether retention means anything. 554 questions were asked of SmolLM2-135M-Instruct,
greedily and five times at temperature 0.6. Those it knows (right greedily and in four of five, a little less for
arithmetic and Chinese) are mixed with some that it gets wrong, so that its greedy score, 0.71 and 0.70, is also its
expected one. A suite chosen by the greedy answers alone is full of lucky guesses, and every change of the weights looks
like forgetting: for one adapter it showed 0.81 where this one shows 1.02. Of 89 Chinese questions the model knows a
dozen, mostly words to translate; 8 and 4 remain.

What must never happen: a choice made on the retention suite or on held-out questions, for then they no longer measure
anything.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from importlib import resources
from typing import Literal, Protocol

import msgspec

from feedback.turns import Message

Name = Literal["general", "general-validation"]


class SuiteItem(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a suite's file."""

    ability: str
    """What it asks for: capital, arithmetic, count, …"""
    question: str
    accept: list[str]
    """Phrases of which a right reply holds at least one."""


LoadSuite = Callable[[Name], list[SuiteItem]]
"""Where suites come from; `load_suite` unless somebody brings their own."""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One question as it is asked and scored."""

    item: str
    """Names it in the run's answers: the suite and line, or the turn."""
    messages: list[dict[str, str]]
    accept: list[str]
    reference: str
    reply_tokens: int
    """Most tokens of the reply."""

    @property
    def fingerprint(self) -> str:
        """Of what is sent: an answer to other words is not an answer to this question."""
        return hashlib.sha256(msgspec.json.encode([self.messages, self.reply_tokens])).hexdigest()[:16]

    @property
    def prompt(self) -> str:
        """The last user message."""
        return next(one["content"] for one in reversed(self.messages) if one["role"] == "user")


class Asked(Protocol):
    """What held-out items and validation rows have in common."""

    @property
    def turn_id(self) -> str: ...
    @property
    def messages(self) -> list[Message]: ...


def load_suite(name: Name) -> list[SuiteItem]:
    """A suite from the package's own data."""
    text = resources.files("learner").joinpath("suites", f"{name}.jsonl").read_text("utf-8")
    return [msgspec.json.decode(line, type=SuiteItem) for line in text.splitlines() if line]


def suite_questions(name: Name, reply_tokens: int, load: LoadSuite = load_suite) -> list[Question]:
    """A suite as questions."""
    return [
        Question(
            item=f"{name}-{number:03d}", messages=[{"role": "user", "content": one.question}], accept=one.accept,
            reference="", reply_tokens=reply_tokens,
        )
        for number, one in enumerate(load(name), 1)
    ]  # fmt: skip


def guarded_texts(load: LoadSuite = load_suite) -> list[str]:
    """Every suite's questions: what nothing may be trained on that is near."""
    names: tuple[Name, ...] = ("general", "general-validation")
    return [one.question for name in names for one in load(name)]


def question_of(asked: Asked, *, accept: Iterable[str], reference: str, reply_tokens: int) -> Question:
    """A snapshot's row as a question."""
    messages = [{"role": one.role, "content": one.content} for one in asked.messages]
    return Question(
        item=asked.turn_id, messages=messages, accept=list(accept), reference=reference, reply_tokens=reply_tokens
    )
