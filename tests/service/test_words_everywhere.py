"""The word filter reaches every field that carries text, in both dialects; and what it hid is never learnt."""

import datetime as dt
import json

import httpx
import pytest

from feedback.pool import admit, candidates
from feedback.settings import PoolSettings
from tests.fakes.gateway import RunningGateway
from tests.service.test_bad_requests import told
from tests.service.test_chat_filtered import BOTH, EITHER_WAY, chat

LIST = """{"word": "secret", "category": "leak"}
{"word": "bomb", "category": "danger", "action": "block"}
{"word": "炸弹", "category": "danger", "action": "block"}
{"word": "odd", "category": "watch", "action": "flag"}
{"word": "darn", "category": "mild", "action": "replace", "replacement": "oh dear"}
{"detector": "email", "category": "privacy"}
{"all": ["转账", "安全账户"], "within": 10, "category": "scam"}
"""


@pytest.fixture(scope="module")
def gateway(fake, tmp_path_factory):
    folder = tmp_path_factory.mktemp("words")
    (folder / "list.jsonl").write_text(LIST, "utf-8")
    with RunningGateway(
        tmp_path_factory.mktemp("data"), fake.url, words_dir=str(folder), pool=PoolSettings(min_tokens=1)
    ) as running:
        yield running


def sent(fake):
    return fake.chats[-1].body


def test_every_field_of_the_history_is_filtered_before_it_is_sent(gateway, fake):
    call = {"function": {"name": "look", "arguments": {"secret place": ["a secret", {"n": 1}], "raw": "SECRET"}}}
    messages = [
        {"role": "system", "content": "Keep the secret."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "", "thinking": "The secret is", "tool_calls": [call]},
        {"role": "tool", "tool_name": "look", "content": "found: secret"},
        {"role": "user", "content": "And?", "hint": {"deep": ["se\u200bcret"]}},
    ]
    body = {"model": "assistant", "messages": messages, "stream": False}
    answer = httpx.post(f"{gateway.url}/api/chat", json=body)
    assert answer.status_code == 200
    assert "secret" not in json.dumps(sent(fake)).lower() and "\u200b" not in json.dumps(sent(fake), ensure_ascii=False)
    assistant = sent(fake)["messages"][2]
    assert assistant["thinking"] == "The ****** is"
    assert assistant["tool_calls"][0]["function"] == {
        "name": "look", "arguments": {"****** place": ["a ******", {"n": 1}], "raw": "******"},
    }  # fmt: skip
    fields = [hit.field for hit in gateway.store.turn(answer.headers["x-turn-id"]).filter_hits]
    assert fields == [
        "messages[0].content",
        "messages[2].thinking",
        "messages[2].tool_calls[0].function.arguments.*",
        "messages[2].tool_calls[0].function.arguments.*[0]",
        "messages[2].tool_calls[0].function.arguments.*",
        "messages[3].content",
        "messages[4].*.*[0]",
    ]


@pytest.mark.parametrize("where", ["thinking", "tool_calls", "tools", "format"])
def test_a_word_that_blocks_anywhere_in_a_request_is_not_sent(gateway, fake, where):
    call = [{"function": {"name": "f", "arguments": {"a": ["build a bomb"]}}}]
    tool = [{"type": "function", "function": {"name": "f", "description": "builds a bomb", "parameters": {}}}]
    message = {"role": "assistant", "content": ""}
    body = {"model": "assistant", "stream": False, "messages": [message, {"role": "user", "content": "Go on"}]}
    match where:
        case "thinking":
            message["thinking"] = "a bomb"
        case "tool_calls":
            message["tool_calls"] = call
        case "tools":
            body["tools"] = tool
        case "format":
            body["format"] = {"type": "object", "description": "of a bomb"}
    answer = httpx.post(f"{gateway.url}/api/chat", json=body).json()
    assert answer["done_reason"] == "content_filter" and answer["message"]["content"].startswith("Sorry")
    assert fake.chats == []


def test_openais_wanted_format_is_filtered_too(gateway, fake):
    schema = {"type": "object", "properties": {"a": {"type": "string", "description": "the secret"}}}
    wanted = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    body = {"model": "assistant", "messages": [{"role": "user", "content": "Hi"}], "response_format": wanted}
    assert httpx.post(f"{gateway.url}/v1/chat/completions", json=body).status_code == 200
    assert sent(fake)["format"]["properties"]["a"]["description"] == "the ******"


@BOTH
@EITHER_WAY
@pytest.mark.parametrize(
    ("chunks", "shown"),
    [
        (["write to a", "nna@ex", "ample", ".com", " soon"], "write to [EMAIL] soon"),
        (["well, da", "rn", " it"], "well, oh dear it"),
        (["请", "转", "账到安", "全账", "户。"], "请*******。"),
        (["an o", "dd one"], "an odd one"),
        (["s\u200be", "c\u00adr", "et"], "********"),
    ],
)
def test_each_action_and_kind_on_a_reply_in_chunks(gateway, fake, dialect, streaming, chunks, shown):
    fake.will_say(*chunks)
    fake.chunk_delay_s = 0.01
    try:
        text, finish, turn = chat(gateway, dialect, streaming, "Tell me.")
    finally:
        fake.chunk_delay_s = 0
    assert (text, finish, turn.reply) == (shown, "stop", shown)


@BOTH
@EITHER_WAY
def test_a_blocked_word_in_the_last_chunk_is_not_let_out_by_the_end(gateway, fake, dialect, streaming):
    fake.will_say("用", "炸", "弹")
    text, finish, turn = chat(gateway, dialect, streaming, "怎么办？")
    assert text == turn.reply == "用\n\n抱歉，我只能说到这里。"
    assert (finish, turn.status) == ("content_filter", "blocked")


@EITHER_WAY
def test_a_word_around_a_tool_call_is_still_one(gateway, fake, streaming):
    """The client joins the text on both sides of a tool call, so what was held stays held."""
    call = {"function": {"name": "f", "arguments": {}}}
    fake.will_say_lines(
        {"message": {"role": "assistant", "content": "a sec"}, "done": False},
        {"message": {"role": "assistant", "content": "", "tool_calls": [call]}, "done": False},
        {"message": {"role": "assistant", "content": "ret"}, "done": False},
        {"message": {"role": "assistant", "content": ""}, "done": True, "done_reason": "stop"},
    )
    body = {"model": "assistant", "messages": [{"role": "user", "content": "Hi"}], "stream": streaming}
    lines = [json.loads(line) for line in httpx.post(f"{gateway.url}/api/chat", json=body).text.splitlines()]
    assert "".join(line["message"]["content"] for line in lines) == "a ******"
    assert [line["message"]["tool_calls"] for line in lines if "tool_calls" in line["message"]] == [[call]]


def test_a_blocked_tool_call_ends_the_reply(gateway, fake):
    call = {"function": {"name": "f", "arguments": {"bomb": 1}}}
    fake.will_say_lines(
        {"message": {"role": "assistant", "content": "Let me see. "}, "done": False},
        {"message": {"role": "assistant", "content": "", "tool_calls": [call]}, "done": False},
        {"message": {"role": "assistant", "content": "done"}, "done": True, "done_reason": "stop"},
    )
    body = {"model": "assistant", "messages": [{"role": "user", "content": "Hi"}], "stream": False}
    answer = httpx.post(f"{gateway.url}/api/chat", json=body)
    message = answer.json()["message"]
    assert message["content"] == "Let me see. \n\nSorry, I have to stop here." and "tool_calls" not in message
    assert gateway.store.turn(answer.headers["x-turn-id"]).status == "blocked"


def test_what_was_held_back_comes_out_before_a_broken_end(gateway, fake):
    fake.will_break_after("a big se", "c")
    body = {"model": "assistant", "messages": [{"role": "user", "content": "Hi"}]}
    answer = httpx.post(f"{gateway.url}/api/chat", json=body)
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert "".join(line["message"]["content"] for line in lines if "message" in line) == "a big sec"
    assert lines[-1]["code"] == "upstream-broke"
    turn = gateway.store.turn(answer.headers["x-turn-id"])
    assert (turn.reply, turn.status) == ("a big sec", "cut")


def test_a_request_nested_too_deeply_is_refused(gateway, fake):
    deep = "x"
    for _ in range(300):
        deep = [deep]
    body = {"model": "assistant", "messages": [{"role": "user", "content": "Hi", "extra": deep}]}
    assert told("ollama", httpx.post(f"{gateway.url}/api/chat", json=body)) == (400, "malformed-body")
    assert fake.chats == []


@BOTH
def test_a_blocked_turn_is_never_learnt_from_and_a_masked_one_only_as_masked(gateway, fake, dialect):
    def rated(prompt, *said):
        if said:
            fake.will_say(*said)
        _, _, turn = chat(gateway, dialect, True, prompt)
        rating = httpx.post(f"{gateway.url}/turns/{turn.turn_id}/ratings", json={"verdict": "up", "rater": "a"})
        assert rating.status_code == 201
        with gateway.store.reader() as cursor:
            (mine,) = [one for one in candidates(cursor) if one.turn.turn_id == turn.turn_id]
        return admit(mine, gateway.pool, dt.datetime.now(dt.UTC))

    assert "out:blocked" in rated("Build a bomb").reasons
    assert "out:blocked" in rated("Build it", "Take a bo", "mb").reasons
    sample = rated("What is the SECRET?", "The se", "cret is 42.").sample
    assert sample is not None
    assert (sample.messages[-1].content, sample.target) == ("What is the ******?", "The ****** is 42.")


def test_corrections_are_filtered_before_they_are_stored(gateway, fake):
    fake.will_say("Yes.")
    turn_id = chat(gateway, "ollama", False, "Hi")[2].turn_id
    ratings, annotations = f"{gateway.url}/turns/{turn_id}/ratings", f"{gateway.url}/turns/{turn_id}/annotations"
    annotation = {"annotator": "mei", "accuracy": 1, "fluency": 3}

    blocked = httpx.post(ratings, json={"verdict": "down", "corrected_reply": "Build a bomb."})
    assert told("ours", blocked) == (400, "blocked-text") and "bomb" not in blocked.text
    assert told("ours", httpx.post(annotations, json={**annotation, "corrected_reply": "用炸弹"})) == (
        400,
        "blocked-text",
    )
    for phrase in ("bomb", "a secret"):
        refused = httpx.post(annotations, json={**annotation, "corrected_reply": "x", "accept": ["ok", phrase]})
        assert told("ours", refused) == (400, "blocked-text")
    assert gateway.store.ratings(turn_id) == [] and gateway.store.annotations(turn_id) == []

    said = {
        "verdict": "down",
        "corrected_reply": "The secret.",
        "comment": "it said bomb",
        "reasons": ["secret", "odd"],
    }
    assert httpx.post(ratings, json=said).status_code == 201
    (rating,) = gateway.store.ratings(turn_id)
    assert (rating.corrected_reply, rating.comment, rating.reasons) == (
        "The ******.",
        "it said ****",
        ["******", "odd"],
    )
    note = {**annotation, "corrected_reply": "An odd secret.", "accept": ["odd"], "note": "bomb"}
    assert httpx.post(annotations, json=note).status_code == 201
    (kept,) = gateway.store.annotations(turn_id)
    assert (kept.corrected_reply, kept.accept, kept.note) == ("An odd ******.", ["odd"], "****")
