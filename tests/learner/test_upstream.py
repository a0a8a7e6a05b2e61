"""The client of Ollama's API: pushes, errors under 200, patience, and silence that ends."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback.errors import UpstreamBroke, UpstreamDown, UpstreamRefused
from learner.upstream import Upstream
from tests.fakes.ollama import FakeOllama

ASK = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture
def fake() -> Iterator[FakeOllama]:
    with FakeOllama(models=["assistant:1.0.0"]) as server:
        yield server


@pytest.fixture
def upstream(fake: FakeOllama) -> Iterator[Upstream]:
    with Upstream(fake.url, timeout_s=5.0) as client:
        yield client


@pytest.fixture
def gguf(tmp_path: Path) -> Path:
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + bytes(3_000_000))
    return path


def push(upstream: Upstream, gguf: Path, tag: str = "assistant:1.1.0") -> None:
    upstream.push(tag, gguf, template="{{ .Prompt }}", system="Be kind.", parameters={"stop": ["<|im_end|>"]})


def test_a_push_sends_the_bytes_once_and_always_the_words_around_them(
    fake: FakeOllama, upstream: Upstream, gguf: Path
) -> None:
    push(upstream, gguf)
    push(upstream, gguf, "assistant:1.2.0")
    push(upstream, gguf)
    sent = [seen for seen in fake.history if seen.method == "POST" and "blobs" in seen.path]
    assert len(sent) == 1
    assert sent[0].headers["Content-Length"] == str(gguf.stat().st_size)
    shown = upstream.show("assistant:1.1.0")
    assert (shown["template"], shown["system"]) == ("{{ .Prompt }}", "Be kind.")
    assert "stop" in shown["parameters"]
    assert set(upstream.tags()) == {"assistant:1.0.0", "assistant:1.1.0", "assistant:1.2.0"}


def test_an_error_line_under_http_200_is_an_error(fake: FakeOllama, upstream: Upstream, gguf: Path) -> None:
    body = {"model": "assistant:1.1.0", "files": {"model.gguf": "sha256:" + "0" * 64}}
    with pytest.raises(UpstreamRefused, match="no such file"):
        upstream._create("assistant:1.1.0", body)
    assert "assistant:1.1.0" not in upstream.tags()


def test_a_file_that_is_no_gguf_is_refused_with_the_reason(upstream: Upstream, tmp_path: Path) -> None:
    wrong = tmp_path / "model.gguf"
    wrong.write_bytes(b"not one")
    with pytest.raises(UpstreamRefused, match="not in GGUF format") as found:
        push(upstream, wrong)
    assert found.value.status == 400


def test_loading_keeps_a_model_until_it_is_unloaded(upstream: Upstream) -> None:
    upstream.load("assistant:1.0.0")
    assert upstream.loaded() == ["assistant:1.0.0"]
    upstream.unload("assistant:1.0.0")
    assert upstream.loaded() == []


def test_unloading_or_deleting_what_is_not_there_is_no_error(upstream: Upstream) -> None:
    upstream.unload("nobody:1.0.0")
    upstream.delete("nobody:1.0.0")
    upstream.delete("assistant:1.0.0")
    assert upstream.tags() == {}


def test_a_chat_gives_the_reply_and_why_it_ended(fake: FakeOllama, upstream: Upstream) -> None:
    fake.will_say("巴黎。")
    answer = upstream.chat("assistant:1.0.0", ASK, options={"temperature": 0, "num_predict": 24})
    assert (answer.text, answer.done_reason) == ("巴黎。", "stop")
    assert fake.chats[-1].body["options"] == {"temperature": 0, "num_predict": 24}
    cut = upstream.chat("assistant:1.0.0", ASK, options={"num_predict": 2})
    assert cut.done_reason == "length"


def test_a_busy_upstream_is_asked_again_and_one_that_stays_so_is_named(fake: FakeOllama, upstream: Upstream) -> None:
    fake.will_fail(503, "server busy, please try again.")
    fake.will_fail(500, "EOF")
    fake.will_say("Paris.")
    assert upstream.chat("assistant:1.0.0", ASK).text == "Paris."
    fake.will_fail(500, "llama runner process has terminated")
    with pytest.raises(UpstreamRefused, match="has terminated"):
        upstream.chat("assistant:1.0.0", ASK)


def test_a_connection_cut_in_the_middle_is_tried_again(fake: FakeOllama, upstream: Upstream) -> None:
    fake.will_break_after("Par")
    fake.will_say("Paris.")
    assert upstream.chat("assistant:1.0.0", ASK).text == "Paris."


def test_half_an_answer_is_an_error_not_an_answer(fake: FakeOllama, upstream: Upstream) -> None:
    for _ in range(4):
        fake.will_garble_after("Par")
    with pytest.raises(UpstreamBroke):
        upstream.chat("assistant:1.0.0", ASK)


def test_an_unknown_model_is_refused_at_once(fake: FakeOllama, upstream: Upstream) -> None:
    with pytest.raises(UpstreamRefused, match="not found") as found:
        upstream.chat("nobody:1.0.0", ASK)
    assert found.value.status == 404
    assert len(fake.chats) == 1


def test_a_silent_upstream_is_not_waited_for_for_ever(fake: FakeOllama) -> None:
    fake.will_stall()
    with Upstream(fake.url, timeout_s=0.3) as upstream:
        started = time.monotonic()
        with pytest.raises(UpstreamBroke, match="ReadTimeout"):
            upstream.chat("assistant:1.0.0", ASK)
        assert time.monotonic() - started < 2
    assert len(fake.chats) == 1


def test_nobody_there_is_said_with_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learner.upstream.PAUSES_S", (0.01,))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with Upstream(url) as upstream, pytest.raises(UpstreamDown, match=url):
            upstream.version()


def test_the_rendered_prompt_is_told_where_the_upstream_tells_it(upstream: Upstream) -> None:
    rendered = upstream.rendered("assistant:1.0.0", ASK)
    assert rendered == "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
