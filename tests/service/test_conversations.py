"""One's own conversations: the list, one of them as it can be gone on with, and nobody else's."""

from __future__ import annotations

import datetime as dt
from typing import Any

import httpx
import pytest

from feedback.mint import new_id, now
from feedback.preferences import Preference
from feedback.turns import Message, Turn
from service.conversations import conversation_of, title_of
from tests.fakes.gateway import RunningGateway
from tests.fakes.keys import bearer, make_key, operator_of
from tests.fakes.rows import a_rating, a_turn


def chat(url: str, said: list[str], conversation: str, **headers: str) -> str:
    """Ask, with the history as `said` in turns; the turn's id."""
    roles = ("user", "assistant")
    messages = [{"role": roles[at % 2], "content": text} for at, text in enumerate(said)]
    body = {"model": "assistant", "messages": messages, "stream": False}
    answer = httpx.post(f"{url}/api/chat", json=body, headers={"x-conversation-id": conversation, **headers})
    assert answer.status_code == 200, answer.text
    return answer.headers["x-turn-id"]


def read(url: str, path: str = "", **headers: str) -> dict[str, Any]:
    answer = httpx.get(f"{url}/conversations{path}", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_somebody_finds_their_conversations_again_newest_first(gateway, fake):
    me = {"x-person": "page-of-mei"}
    fake.will_say("九点半。")
    one = chat(gateway.url, ["什么时候开门？"], "c-1", **me)
    chat(gateway.url, ["Hello"], "c-2", **me)
    fake.will_say("十点。")
    two = chat(gateway.url, ["什么时候开门？", "九点半。", "周日呢？"], "c-1", **me)
    httpx.post(f"{gateway.url}/turns/{one}/ratings", json={"verdict": "up", "rater": "page-of-mei"})
    found = read(gateway.url, **me)["items"]
    assert [(item["conversation_id"], item["title"], item["turns"]) for item in found] == [
        ("c-1", "什么时候开门？", 2), ("c-2", "Hello", 1),
    ]  # fmt: skip
    assert found[0]["last_turn_id"] == two and dt.datetime.fromisoformat(found[0]["last_at"]) <= now()
    whole = read(gateway.url, "/c-1", **me)
    assert [(said["role"], said["content"], said["turn_id"]) for said in whole["messages"]] == [
        ("user", "什么时候开门？", ""), ("assistant", "九点半。", one), ("user", "周日呢？", ""),
        ("assistant", "十点。", two),
    ]  # fmt: skip
    assert whole["messages"][1]["rating"]["verdict"] == "up" and whole["messages"][3]["rating"] is None
    assert whole["messages"][3]["version"] == "1.0.0" and whole["alias"] == "assistant"


def test_the_list_comes_in_pages(gateway):
    me = {"x-person": "page-of-many"}
    for number in range(5):
        chat(gateway.url, [f"Question {number}"], f"many-{number}", **me)
    first = read(gateway.url, "?limit=3", **me)
    rest = read(gateway.url, f"?limit=3&cursor={first['next_cursor']}", **me)
    titles = [item["title"] for item in first["items"] + rest["items"]]
    assert titles == [f"Question {number}" for number in (4, 3, 2, 1, 0)] and rest["next_cursor"] is None


def test_who_does_not_say_who_they_are_has_none(gateway):
    for headers in ({}, {"x-person": ""}, {"x-person": "x" * 201}, {"x-person": "%00"}):
        assert httpx.get(f"{gateway.url}/conversations", headers=headers).status_code == 400
    assert read(gateway.url, **{"x-person": "%E7%8E%8B%E8%8A%B3"})["items"] == []


def test_nobody_reads_anybody_elses(fake, tmp_path):
    with RunningGateway(tmp_path, fake.url, keys="required") as guarded:
        mei, anna, nobody = (
            bearer(make_key(guarded.url, operator_of(tmp_path), subject=who)["token"]) for who in ("mei", "anna", "")
        )
        chat(guarded.url, ["秘密"], "c-mei", **mei)
        assert [item["conversation_id"] for item in read(guarded.url, **mei)["items"]] == ["c-mei"]
        pretends = {**anna, "x-person": "mei"}
        assert read(guarded.url, **pretends)["items"] == []
        assert httpx.get(f"{guarded.url}/conversations/c-mei", headers=pretends).status_code == 404
        missing = httpx.get(f"{guarded.url}/conversations/c-none", headers=mei)
        assert missing.json()["error"]["code"] == "unknown-conversation"
        told = httpx.get(f"{guarded.url}/conversations", headers={**nobody, "x-person": "mei"})
        assert told.status_code == 400 and told.json()["error"]["code"] == "no-person"
        chat(guarded.url, ["我是梅"], "c-pretended", **{**anna, "x-person": "mei"})
        assert [item["conversation_id"] for item in read(guarded.url, **anna)["items"]] == ["c-pretended"]


def turns_of(*texts: list[str], **fields: Any) -> list[Turn]:
    """Turns whose last text is the reply."""
    return [a_turn(messages=alternating(said[:-1]), reply=said[-1], **fields) for said in texts]


def alternating(said: list[str]) -> list[Message]:
    return [Message(role=("user", "assistant")[at % 2], content=text) for at, text in enumerate(said)]


def prefer(first: Turn, second: Turn, preferred: str) -> Preference:
    return Preference(
        preference_id=new_id("preference"), turn_id=first.turn_id, other_turn_id=second.turn_id, created_at=now(),
        rater="", preferred=preferred, reasons=[], comment="",
    )  # fmt: skip


@pytest.mark.parametrize(("preferred", "shown"), [("first", "A"), ("second", "B"), ("tie", "A"), ("neither", "A")])
def test_of_two_drafts_the_preferred_one_is_gone_on_with(preferred, shown):
    first, second = turns_of(["Hi", "A"], ["Hi", "B"])
    found = conversation_of([first, second], [], [prefer(first, second, preferred)])
    assert [said.content for said in found.messages] == ["Hi", shown]


def test_an_edited_message_leads_away_from_what_came_before():
    turns = turns_of(["Hi", "A"], ["Hi", "A", "More", "B"], ["Hello", "C"])
    assert [said.content for said in conversation_of(turns, [], []).messages] == ["Hello", "C"]


def test_a_reply_that_the_client_changed_is_no_turns_reply():
    turns = turns_of(["Hi", "A"], ["Hi", "changed", "More", "B"], ["Other", "A", "More", "B"])
    said = conversation_of(turns[:2], [], []).messages
    assert [one.turn_id for one in said] == ["", "", "", turns[1].turn_id]
    assert conversation_of(turns, [], []).messages[1].turn_id == ""


def test_a_cut_reply_is_not_where_it_goes_on_unless_there_is_no_other():
    whole, cut = turns_of(["Hi", "A"])[0], turns_of(["Hi", "A", "More", "hal"], status="cut")[0]
    assert conversation_of([whole, cut], [], []).messages[-1].content == "A"
    assert conversation_of([cut], [], []).messages[-1].status == "cut"


def test_the_latest_rating_is_the_one_that_counts():
    (turn,) = turns_of(["Hi", "A"])
    ratings = [a_rating(turn.turn_id, verdict=verdict) for verdict in ("up", "down")]
    found = conversation_of([turn], ratings, []).messages[-1].rating
    assert found is not None and found.verdict == "down"


def test_a_title_is_one_short_line():
    assert (
        title_of([Message(role="system", content="s"), Message(role="user", content=" 你好\n\n世界 ")]) == "你好 世界"
    )
    assert len(title_of([Message(role="user", content="字" * 500)])) == 120 and title_of([]) == ""
