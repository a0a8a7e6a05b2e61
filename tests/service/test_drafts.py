"""Two drafts of one reply: who answers, that nobody is told before the choice is stored, and whose choice it may be."""

from __future__ import annotations

import datetime as dt
from typing import Any

import httpx
import pytest

from feedback.mint import new_id
from feedback.store.tables import PREFERENCES
from learner.alias import Alias, AliasFile, Served, write_aliases
from tests.fakes.gateway import RunningGateway, set_alias
from tests.fakes.keys import bearer, make_key, operator_of

CHAMPION, CHALLENGER = (Served(version=version, tag=f"assistant:{version}") for version in ("1.0.0", "1.1.0"))


@pytest.fixture
def tried(gateway):
    """An alias that tries a challenger on one conversation in a hundred."""
    alias = Alias(champion=CHAMPION, challenger=CHALLENGER, challenger_share=0.01, changed_at=dt.datetime.now(dt.UTC))
    write_aliases(gateway.data_dir / "alias.json", AliasFile(aliases={"assistant": alias}))
    yield gateway
    set_alias(gateway.data_dir)


def ask(url: str, place: str, pair: str, text: str = "你好", dialect: str = "ollama", **headers: str) -> httpx.Response:
    path = "/api/chat" if dialect == "ollama" else "/v1/chat/completions"
    body = {"model": "assistant", "messages": [{"role": "user", "content": text}], "stream": False}
    return httpx.post(url + path, json=body, headers={"x-draft": place, "x-draft-pair": pair, **headers})


def both(url: str, pair: str, **more: Any) -> list[str]:
    """Ids of the two turns."""
    answers = [ask(url, place, pair, **more) for place in ("first", "second")]
    assert [answer.status_code for answer in answers] == [200, 200]
    return [answer.headers["x-turn-id"] for answer in answers]


def test_champion_and_challenger_each_answer_one_and_take_either_place(tried):
    seen = set()
    for number in range(24):
        first, second = (tried.store.turn(turn).version for turn in both(tried.url, f"pair-{number:04}"))
        assert {first, second} == {"1.0.0", "1.1.0"}
        seen.add(first)
    assert seen == {"1.0.0", "1.1.0"}


@pytest.mark.parametrize("dialect", ["ollama", "openai"])
def test_a_draft_does_not_say_whose_it_is(tried, dialect):
    answer = ask(tried.url, "second", "pair-blind", dialect=dialect)
    assert "x-model-version" not in answer.headers and "x-turn-id" in answer.headers
    assert "1.0.0" not in answer.text and "1.1.0" not in answer.text
    known = httpx.post(
        tried.url + "/v1/chat/completions", json={"model": "assistant", "messages": [{"role": "user", "content": "hi"}]}
    )
    assert known.headers["x-model-version"] and known.json()["system_fingerprint"].startswith("assistant:")


def test_a_draft_that_is_told_again_does_not_say_it_either(tried):
    key = {"idempotency-key": new_id("request")}
    answers = [ask(tried.url, "first", "pair-again", **key) for _ in range(2)]
    assert answers[1].headers["idempotency-replayed"] == "true" and "x-model-version" not in answers[1].headers
    assert answers[0].json()["message"] == answers[1].json()["message"]


def test_without_a_challenger_both_are_samples_of_the_champion(gateway):
    assert [gateway.store.turn(turn).version for turn in both(gateway.url, "pair-samples")] == ["1.0.0", "1.0.0"]


def test_a_version_by_its_number_stays_that_version(tried):
    body = {"model": "assistant@1.1.0", "messages": [{"role": "user", "content": "hi"}], "stream": False}
    for place in ("first", "second"):
        headers = {"x-draft": place, "x-draft-pair": "pair-pinned"}
        answer = httpx.post(tried.url + "/api/chat", json=body, headers=headers)
        assert tried.store.turn(answer.headers["x-turn-id"]).version == "1.1.0"


@pytest.mark.parametrize(
    ("place", "pair"), [("third", "pair-0001"), ("first", ""), ("first", "short"), ("", "pair-00001")]
)
def test_half_said_headers_are_refused(gateway, place, pair):
    answer = ask(gateway.url, place, pair)
    assert answer.status_code == 400 and answer.json()["code"] == "malformed-body"


def test_a_choice_is_stored_and_only_then_are_the_versions_told(tried):
    first, second = both(tried.url, "pair-chosen")
    chosen = {"first": first, "second": second, "preferred": "second", "reasons": ["clearer"], "comment": "更清楚"}
    answer = httpx.post(tried.url + "/preferences", json={**chosen, "rater": "anna"})
    assert answer.status_code == 201
    told = answer.json()
    assert {told["first_version"], told["second_version"]} == {"1.0.0", "1.1.0"}
    assert told["first_version"] == tried.store.turn(first).version
    kept = tried.store.rows(PREFERENCES, "WHERE preference_id = ?", [told["preference_id"]])[0]
    assert (kept.turn_id, kept.other_turn_id, kept.preferred, kept.rater) == (first, second, "second", "anna")
    assert kept.reasons == ["clearer"] and kept.comment == "更清楚"


def test_a_choice_sent_twice_with_one_key_is_stored_once(gateway):
    first, second = both(gateway.url, "pair-twice")
    body, key = {"first": first, "second": second, "preferred": "tie"}, {"idempotency-key": new_id("request")}
    answers = [httpx.post(gateway.url + "/preferences", json=body, headers=key) for _ in range(2)]
    assert answers[0].json() == answers[1].json() and answers[1].headers["idempotency-replayed"] == "true"
    assert len(gateway.store.rows(PREFERENCES, "WHERE turn_id = ?", [first])) == 1


def test_two_turns_that_are_no_drafts_of_one_prompt_are_refused(gateway):
    first, second = both(gateway.url, "pair-other")
    other = both(gateway.url, "pair-other-2", text="something else")[0]
    for pair in ((first, first), (first, other)):
        answer = httpx.post(
            gateway.url + "/preferences", json={"first": pair[0], "second": pair[1], "preferred": "first"}
        )
        assert answer.status_code == 400 and answer.json()["error"]["code"] == "invalid-preference"
    missing = {"first": first, "second": new_id("turn"), "preferred": "first"}
    assert httpx.post(gateway.url + "/preferences", json=missing).status_code == 404
    bad = {"first": first, "second": second, "preferred": "third"}
    assert httpx.post(gateway.url + "/preferences", json=bad).status_code == 400


def test_a_person_chooses_between_their_own_drafts_only_and_under_their_own_name(fake, tmp_path):
    with RunningGateway(tmp_path, fake.url, keys="required") as guarded:
        keys = {
            who: bearer(make_key(guarded.url, operator_of(tmp_path), subject=who)["token"]) for who in ("mei", "anna")
        }
        first, second = both(guarded.url, "pair-of-mei", **keys["mei"])
        body = {"first": first, "second": second, "preferred": "first", "rater": "somebody"}
        assert httpx.post(guarded.url + "/preferences", json=body, headers=keys["anna"]).status_code == 404
        assert httpx.post(guarded.url + "/preferences", json=body, headers=keys["mei"]).status_code == 201
        assert [kept.rater for kept in guarded.store.rows(PREFERENCES)] == ["mei"]
