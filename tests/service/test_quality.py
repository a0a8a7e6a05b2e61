"""Quality over HTTP: an operator sees what is held back and why, lifts it, and the pool learns from it again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from feedback.mint import new_id
from feedback.settings import PoolSettings
from feedback.store.tables import ANNOTATIONS, RATINGS, TURNS
from feedback.turns import Message
from tests.fakes.gateway import RunningGateway
from tests.fakes.ollama import FakeOllama
from tests.fakes.rows import a_rating, a_turn, an_annotation

RULES = PoolSettings(min_tokens=1, min_train_rows=1)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with FakeOllama() as fake, RunningGateway(tmp_path, fake.url, pool=RULES) as running:
        yield running


@pytest.fixture
def http(gateway: RunningGateway) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=gateway.url, timeout=30) as client:
        yield client


def fill(gateway: RunningGateway, rater: str = "eve", count: int = 12) -> list[str]:
    """Turns that a rater liked, in distinct conversations."""
    made = [
        a_turn(conversation_id=new_id("request"), messages=[Message(role="user", content=f"Question {at} of {rater}?")])
        for at in range(count)
    ]
    for turn in made:
        gateway.store.add(TURNS, turn).result()
        gateway.store.add(RATINGS, a_rating(turn.turn_id, rater=rater)).result()
    return [turn.turn_id for turn in made]


def test_a_burst_is_held_back_seen_and_lifted(gateway: RunningGateway, http: httpx.Client) -> None:
    fill(gateway, count=30)
    assert "out:quarantined" not in http.get("/pool").json()
    assert http.get("/quality").json()["quarantined"] == 1
    (held,) = http.get("/quarantines", params={"held": True}).json()["items"]
    assert (held["quarantine"]["target"], held["quarantine"]["reason"]) == ("eve", "burst")
    assert http.get("/pool").json()["out:quarantined"] == 30
    path = f"/quarantines/{held['quarantine']['quarantine_id']}/lift"
    lifted = http.post(path, json={"reason": "a demonstration"})
    assert (lifted.status_code, lifted.json()["reason"]) == (201, "a demonstration")
    assert http.post(path).json()["error"]["code"] == "already-lifted"
    assert http.post("/quarantines/quarantine-0/lift").json()["error"]["code"] == "unknown-quarantine"
    assert "out:quarantined" not in http.get("/pool").json()
    assert http.get("/quality").json()["quarantined"] == 0, "not raised again on the same evidence"
    (shown,) = http.get("/quarantines").json()["items"]
    assert shown["lift"]["reason"] == "a demonstration"


def test_an_operator_quarantines_a_rater_once(gateway: RunningGateway, http: httpx.Client) -> None:
    fill(gateway, count=3)
    first = http.post("/quarantines", json={"kind": "rater", "target": "eve", "evidence": "ticket 12"})
    again = http.post("/quarantines", json={"kind": "rater", "target": "eve"})
    assert first.status_code == 201
    assert again.json() == first.json()
    assert first.json()["reason"] == "by-operator"
    assert http.get("/pool").json()["out:quarantined"] == 3
    assert http.post("/quarantines", json={"kind": "rater", "target": " "}).json()["error"]["code"] == "invalid-input"


def test_a_snapshot_says_which_trust_it_was_frozen_with(gateway: RunningGateway, http: httpx.Client) -> None:
    fill(gateway, "王芳", 20)
    http.post("/quarantines", json={"kind": "rater", "target": "eve"})
    manifest = http.post("/snapshots", json={}).json()
    assert manifest["trust"]["quarantined_raters"] == 1
    assert manifest["trust"]["users"] == 1
    assert len(manifest["trust"]["sha256"]) == 64
    assert "王芳" not in str(manifest["trust"])


def test_raters_are_listed_in_pages_with_what_is_known_of_them(gateway: RunningGateway, http: httpx.Client) -> None:
    (turn,) = fill(gateway, "ann", 1)
    gateway.store.add(RATINGS, a_rating(turn, rater="bob", verdict="down")).result()
    gateway.store.add(ANNOTATIONS, an_annotation(turn, annotator="mei", tier="annotator")).result()
    gateway.store.add(ANNOTATIONS, an_annotation(turn, annotator="wang", tier="reviewer")).result()
    page = http.get("/quality/raters", params={"limit": 2}).json()
    rest = http.get("/quality/raters", params={"limit": 2, "cursor": page["next_cursor"]}).json()
    found = {one["rater"]: one for one in [*page["items"], *rest["items"]]}
    assert set(found) == {"ann", "bob", "mei"}
    assert found["ann"]["weight"] > 1 > found["bob"]["weight"]
    assert (found["mei"]["trained"], found["mei"]["compared"], found["mei"]["agreed"]) == (True, 1, 1.0)


@pytest.mark.parametrize(("language", "words"), [("en", "Quarantined"), ("zh", "隔离中")])
def test_the_page_shows_it_in_both_languages(
    gateway: RunningGateway, http: httpx.Client, language: str, words: str
) -> None:
    fill(gateway, "<b>eve</b>", 30)
    shown = http.get("/quality", headers={"accept": "text/html", "accept-language": language})
    assert shown.status_code == 200 and words in shown.text
    assert "&lt;b&gt;eve" in shown.text and "<b>eve" not in shown.text
    assert len(shown.content) < 250_000


def test_the_pages_form_lifts_without_a_script(gateway: RunningGateway, http: httpx.Client) -> None:
    made = http.post("/quarantines", json={"kind": "rater", "target": "eve"}).json()["quarantine_id"]
    sent = http.post(f"/quality/{made}/lift", data={"reason": "seen"}, headers={"origin": gateway.url})
    assert (sent.status_code, sent.headers["location"]) == (303, "/quality")
    assert http.get("/quarantines", params={"held": True}).json()["items"] == []
