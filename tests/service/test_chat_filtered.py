"""The word filter on the way in and out, in both dialects, streamed and not."""

import json

import httpx
import pytest

from tests.fakes.gateway import RunningGateway

CHATS = {"ollama": "/api/chat", "openai": "/v1/chat/completions"}
BOTH = pytest.mark.parametrize("dialect", ["ollama", "openai"])
EITHER_WAY = pytest.mark.parametrize("streaming", [True, False])


@pytest.fixture(scope="module")
def gateway(fake, tmp_path_factory):
    words = tmp_path_factory.mktemp("words") / "list.csv"
    words.write_text(
        "word,category,action\nsecret,leak,mask\nbomb,danger,block\n炸弹,danger,block\nodd,watch,flag\n", "utf-8"
    )
    with RunningGateway(tmp_path_factory.mktemp("data"), fake.url, words_file=str(words)) as running:
        yield running


def chat(gateway, dialect, streaming, prompt, **more):
    """Text as the client sees it, how it finished, and the stored turn."""
    body = {"model": "assistant", "messages": [{"role": "user", "content": prompt}], "stream": streaming, **more}
    answer = httpx.post(gateway.url + CHATS[dialect], json=body)
    assert answer.status_code == 200, answer.text
    turn = gateway.store.turn(answer.headers["x-turn-id"])
    if dialect == "ollama":
        lines = [json.loads(line) for line in answer.text.splitlines()]
        return "".join(line["message"]["content"] for line in lines), lines[-1]["done_reason"], turn
    if not streaming:
        choice = answer.json()["choices"][0]
        return choice["message"]["content"], choice["finish_reason"], turn
    events = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: {")]
    text = "".join(event["choices"][0]["delta"].get("content", "") for event in events)
    return text, events[-1]["choices"][0]["finish_reason"], turn


@BOTH
@EITHER_WAY
def test_a_word_split_over_chunks_never_reaches_the_client(gateway, fake, dialect, streaming):
    fake.will_say("It is a se", "cr", "e", "t, an o", "dd ＳＥ", "ＣＲＥＴ", " sec")
    fake.chunk_delay_s = 0.01
    try:
        text, finish, turn = chat(gateway, dialect, streaming, "Tell me.")
    finally:
        fake.chunk_delay_s = 0
    assert text == turn.reply == "It is a ******, an odd ****** sec"
    assert (finish, turn.status) == ("stop", "whole")
    hits = [
        (hit.rule, hit.category, hit.action, hit.direction, hit.field, hit.start, hit.end) for hit in turn.filter_hits
    ]
    assert hits == [
        ("list.csv:2", "leak", "mask", "out", "reply", 8, 14),
        ("list.csv:5", "watch", "flag", "out", "reply", 19, 22),
        ("list.csv:2", "leak", "mask", "out", "reply", 23, 29),
    ]


@BOTH
@EITHER_WAY
def test_what_goes_in_is_masked_before_it_is_sent_and_stored(gateway, fake, dialect, streaming):
    history = [
        {"role": "system", "content": "Keep the secret."},
        {"role": "user", "content": "What is the SECRET?"},
    ]
    _, _, turn = chat(gateway, dialect, streaming, "", messages=history)
    sent = [message["content"] for message in fake.chats[0].body["messages"]]
    assert sent == [message.content for message in turn.messages] == ["Keep the ******.", "What is the ******?"]
    assert [(hit.direction, hit.field, hit.start) for hit in turn.filter_hits] == [
        ("in", "messages[0].content", 9),
        ("in", "messages[1].content", 12),
    ]


@BOTH
@EITHER_WAY
@pytest.mark.parametrize(
    ("prompt", "sentence"), [("Build a bomb", "Sorry, I can't help"), ("怎么做炸弹", "抱歉，这个问题我无法回答。")]
)
def test_a_blocked_prompt_is_refused_in_the_persons_language(gateway, fake, dialect, streaming, prompt, sentence):
    text, finish, turn = chat(gateway, dialect, streaming, prompt)
    assert text.startswith(sentence) and finish == "content_filter"
    assert fake.chats == []
    assert turn.status == "blocked" and turn.done_reason == "content_filter"
    assert "bomb" not in turn.messages[0].content and "炸弹" not in turn.messages[0].content


@BOTH
@EITHER_WAY
def test_a_blocked_reply_ends_and_stops_the_upstream(gateway, fake, dialect, streaming):
    fake.will_stall("Take a bo", "mb and then", " more")
    text, finish, turn = chat(gateway, dialect, streaming, "Tell me.")
    assert text == turn.reply == "Take a \n\nSorry, I have to stop here."
    assert (finish, turn.status) == ("content_filter", "blocked")
    fake.wait(lambda: fake.chats[0].ended == "left", timeout_s=1)


def test_thinking_and_tool_calls_are_filtered_too(gateway, fake):
    call = {"function": {"name": "f", "arguments": {"where": ["the secret place"], "n": 1}}}
    fake.will_say_lines(
        {"message": {"role": "assistant", "content": "", "thinking": "A sec"}, "done": False},
        {"message": {"role": "assistant", "content": "", "thinking": "ret."}, "done": False},
        {"message": {"role": "assistant", "content": "", "tool_calls": [call]}, "done": False},
        {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"},
    )
    ask = {"model": "assistant", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
    message = httpx.post(gateway.url + "/api/chat", json=ask).json()["message"]
    assert message["thinking"] == "A ******."
    assert message["tool_calls"][0]["function"]["arguments"] == {"where": ["the ****** place"], "n": 1}


def test_ordinary_text_passes_as_it_comes(gateway, fake):
    fake.will_say("今天", "天气", "不错")
    fake.chunk_delay_s = 0.05
    body = {"model": "assistant", "messages": [{"role": "user", "content": "天气"}]}
    try:
        with httpx.stream("POST", gateway.url + "/api/chat", json=body) as answer:
            said = [json.loads(line)["message"]["content"] for line in answer.iter_lines()]
    finally:
        fake.chunk_delay_s = 0
    assert said == ["今天", "天气", "不错", ""]
