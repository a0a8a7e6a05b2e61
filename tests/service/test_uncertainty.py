"""How unsure the model was of a reply: kept with its turn where the upstream told it, and never told on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from service.chat.uncertainty import Uncertainty, wanted
from tests.fakes.gateway import RunningGateway
from tests.fakes.ollama import FakeOllama

ASK = {"model": "assistant", "stream": False, "messages": [{"role": "user", "content": "What is the weather? 天气？"}]}


@pytest.fixture(scope="module")
def asking(fake: FakeOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that wants to know it of every chat."""
    with RunningGateway(tmp_path_factory.mktemp("data"), fake.url, record_uncertainty=1.0) as running:
        yield running


def lines(*logprobs: float) -> list[dict[str, Any]]:
    said = {"message": {"role": "assistant", "content": "晴"}, "done": False}
    told = [{**said, "logprobs": [{"token": "晴", "logprob": one, "bytes": []}]} for one in logprobs]
    return [*told, {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"}]


def test_a_client_that_asks_for_log_probabilities_leaves_the_turns_uncertainty(
    gateway: RunningGateway, fake: FakeOllama
) -> None:
    fake.will_say_lines(*lines(-0.25, -1.75))
    answer = httpx.post(f"{gateway.url}/api/chat", json={**ASK, "logprobs": True}).json()
    assert gateway.store.turn(answer["turn_id"]).uncertainty == 1.0


def test_nothing_is_asked_and_nothing_kept_by_default(gateway: RunningGateway, fake: FakeOllama) -> None:
    answer = httpx.post(f"{gateway.url}/api/chat", json=ASK).json()
    assert "logprobs" not in fake.chats[-1].body
    assert gateway.store.turn(answer["turn_id"]).uncertainty is None


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", ["/api/chat", "/v1/chat/completions"])
def test_the_gateway_asks_for_itself_and_tells_the_client_nothing(
    asking: RunningGateway, fake: FakeOllama, path: str, stream: bool
) -> None:
    fake.will_say_lines(*lines(-0.5, -1.5, -1.0))
    answer = httpx.post(asking.url + path, json={**ASK, "stream": stream})
    assert fake.chats[-1].body["logprobs"] is True
    assert '"logprob"' not in answer.text and '"bytes"' not in answer.text
    assert asking.store.turn(answer.headers["x-turn-id"]).uncertainty == 1.0


def test_what_is_not_recorded_is_not_measured(asking: RunningGateway, fake: FakeOllama) -> None:
    httpx.post(f"{asking.url}/api/chat", json=ASK, headers={"X-Store": "false"})
    assert "logprobs" not in fake.chats[-1].body


def test_what_has_not_the_shape_is_left_out() -> None:
    heard = Uncertainty()
    assert heard.mean is None
    heard.hear([None, {}, {"logprob": "x"}, {"logprob": 0.5}, {"logprob": float("-inf")}, {"logprob": float("nan")}])
    assert heard.mean is None
    heard.hear([{"logprob": -1}, {"logprob": -2.0}])
    assert heard.mean == 1.5


def test_a_share_of_chats_is_measured() -> None:
    assert not any(wanted(0.0) for _ in range(100))
    assert all(wanted(1.0) for _ in range(100))
    assert 300 < sum(wanted(0.5) for _ in range(1000)) < 700
