"""Conversations that are longer than the context: what is left out, and what never is."""

from __future__ import annotations

from typing import Any

import pytest

from service.engine.prompts import Prompt, chat_prompt, fitted
from service.engine.refusal import Refusal
from service.engine.runner import Runner


class WordRunner(Runner):
    """Renders a conversation as its words, each one a token, with one more for each message."""

    def __init__(self) -> None:
        self.asked = 0

    async def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        self.asked += 1
        if path == "/apply-template":
            return {"prompt": " ".join(f"{one['role']}: {one['content']}" for one in body["messages"])}
        assert path == "/tokenize"
        return {"tokens": list(range(len(body["content"].split())))}


def history(turns: int) -> list[dict[str, str]]:
    """A system prompt of 2 tokens, then so many messages of 4 tokens."""
    said = [{"role": "user" if at % 2 == 0 else "assistant", "content": f"message number {at}"} for at in range(turns)]
    return [{"role": "system", "content": "rules"}, *said]


@pytest.mark.parametrize(("limit", "left_out"), [(87, 0), (86, 1), (82, 2), (11, 19), (7, 20)])
async def test_the_fewest_oldest_messages_are_left_out(limit: int, left_out: int) -> None:
    messages = history(21)
    prompt = await chat_prompt(WordRunner(), messages, limit, truncate=True)
    kept = [messages[0], *messages[1 + left_out :]]
    assert prompt.text == " ".join(f"{one['role']}: {one['content']}" for one in kept)
    assert len(prompt.tokens) < limit


async def test_a_long_history_is_fitted_in_few_steps() -> None:
    runner = WordRunner()
    await chat_prompt(runner, history(1000), 50, truncate=True)
    assert runner.asked <= 2 * 12


async def test_what_may_not_be_cut_is_refused_with_its_size() -> None:
    with pytest.raises(Refusal, match=r"request \(86 tokens\) exceeds the available context size \(50 tokens\)"):
        await chat_prompt(WordRunner(), history(21), 50, truncate=False)


async def test_a_last_message_that_is_too_long_keeps_its_start_and_its_end() -> None:
    prompt = await chat_prompt(WordRunner(), [{"role": "user", "content": "w " * 500}], 64, truncate=True)
    assert prompt.tokens == [0, 1, 2, 3, *range(501 - 28, 501)]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5, 16, 1024])
def test_a_cut_prompt_always_fits(limit: int) -> None:
    cut = fitted(Prompt("", list(range(5000))), limit, truncate=True)
    assert len(cut.tokens) < limit
    assert cut.tokens == sorted(set(cut.tokens))
