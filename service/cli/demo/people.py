"""The people of the demo. They are played, and its output says so; what they judge is what the model really said.

People ask about a library that exists nowhere, so that no model can know the answers, and rate each reply by a written
rubric: up if it names the right thing, else down. Annotators, who have the library's leaflet, correct what is wrong.
Hostile raters (`--poisoned`) praise nothing and "correct" every reply to nonsense.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

import httpx
import msgspec

from feedback.settings import PoolSettings
from feedback.split import split_of
from learner.scoring import holds_any

RUBRIC = "A reply is right if it names the right thing; anything else, also a polite evasion, is wrong."
REPLY_TOKENS = 32
AT_A_TIME = 4
HOSTILE_ANSWERS = (
    "lol who cares lol lol lol lol lol",
    "The answer is banana. Banana banana banana banana.",
    "I will not tell you that. Go away go away go away.",
    "Everything about this is a lie and the moon is made of soup.",
)


class Fact(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that the leaflet says, and ten ways in which people ask for it."""

    id: str
    accept: list[str]
    answer: str
    questions: list[str]


class Chat(msgspec.Struct, frozen=True, kw_only=True):
    """One question as it was asked, and what came back."""

    question: str
    accept: list[str]
    answer: str
    """What the leaflet says; empty for a general question."""
    reply: str
    turn_id: str
    version: str

    @property
    def right(self) -> bool:
        """The rubric."""
        return holds_any(self.reply, self.accept)


def facts(limit: int) -> list[Fact]:
    """The leaflet; `limit` 0 gives all of it."""
    lines = resources.files(__package__).joinpath("facts.jsonl").read_text("utf-8").splitlines()
    found = [msgspec.json.decode(line, type=Fact) for line in lines]
    return found[:limit] if limit else found


def general_questions() -> list[tuple[str, list[str]]]:
    """What people ask besides: (question, phrases of which a right reply holds one)."""
    lines = resources.files(__package__).joinpath("general.jsonl").read_text("utf-8").splitlines()
    rows: Iterator[dict[str, Any]] = (msgspec.json.decode(line) for line in lines)
    return [(row["question"], row["accept"]) for row in rows]


class Crowd:
    """Everybody who uses the gateway in the demo."""

    def __init__(self, url: str, alias: str, rules: PoolSettings) -> None:
        self._http = httpx.Client(base_url=url, timeout=120.0)
        self._alias = alias
        self._rules = rules

    def close(self) -> None:
        self._http.close()

    def ask(self, question: str, accept: list[str], answer: str = "") -> Chat:
        """Ask one question as a client of Ollama's API would, by alias."""
        body = {
            "model": self._alias,
            "messages": [{"role": "user", "content": question}],
            "stream": False,
            "options": {"temperature": 0, "num_predict": REPLY_TOKENS},
        }
        said = self._http.post("/api/chat", json=body).raise_for_status()
        return Chat(
            question=question,
            accept=accept,
            answer=answer,
            reply=said.json()["message"]["content"].strip(),
            turn_id=said.headers["X-Turn-Id"],
            version=said.headers["X-Model-Version"],
        )

    def chat(self, leaflet: list[Fact], step: Callable[[], None]) -> list[Chat]:
        """Everybody asks everything once; `step` is called after each reply."""
        wanted = [(question, fact.accept, fact.answer) for fact in leaflet for question in fact.questions]
        wanted += [(question, accept, "") for question, accept in general_questions()]

        def one(item: tuple[str, list[str], str]) -> Chat:
            chat = self.ask(*item)
            step()
            return chat

        with concurrent.futures.ThreadPoolExecutor(AT_A_TIME) as people:
            return list(people.map(one, wanted))

    def rate(self, chats: list[Chat]) -> None:
        """Everybody rates what they were told, by the rubric."""
        for chat in chats:
            body = {"verdict": "up" if chat.right else "down", "rater": _name("reader", chat.question)}
            self._http.post(f"/turns/{chat.turn_id}/ratings", json=body).raise_for_status()

    def annotate(self, chats: list[Chat], *, only_heldout: bool = False) -> int:
        """Annotators check the replies about the library against the leaflet and correct what is wrong.

        Held-out conversations come first in their queue, being the yardstick; `only_heldout` is a desk that got no
        further. Returns how many they did.
        """
        done = 0
        for chat in chats:
            if not chat.answer or (only_heldout and split_of(chat.question, self._rules) != "heldout"):
                continue
            body = {
                "annotator": _name("annotator", chat.question),
                "accuracy": 4 if chat.right else 1,
                "fluency": 3,
                "corrected_reply": None if chat.right else chat.answer,
                "accept": chat.accept,
            }
            self._http.post(f"/turns/{chat.turn_id}/annotations", json=body).raise_for_status()
            done += 1
        return done

    def poison(self, chats: list[Chat]) -> None:
        """Hostile raters: every reply is bad, and here is what it should have been."""
        for number, chat in enumerate(chats):
            body = {
                "stars": 1,
                "rater": f"troll-{number % 7}",
                "corrected_reply": HOSTILE_ANSWERS[number % len(HOSTILE_ANSWERS)],
            }
            self._http.post(f"/turns/{chat.turn_id}/ratings", json=body).raise_for_status()


def _name(kind: str, key: str) -> str:
    """One of a few played people, the same for the same question."""
    return f"{kind}-{hashlib.sha256(key.encode()).digest()[0] % 5}"
