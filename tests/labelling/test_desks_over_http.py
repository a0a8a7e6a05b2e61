"""The queue through a real gateway: a whole dispute, leases over a restart, clashes, drafts, erasure."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from feedback.labelling.leases import Leases
from feedback.labelling.records import Profile
from feedback.mint import new_id, now
from feedback.store.tables import PROFILES
from tests.fakes.gateway import RunningGateway
from tests.fakes.keys import bearer, make_key, operator_of
from tests.fakes.ollama import FakeOllama
from tests.fakes.rows import a_turn

GOOD = {"accuracy": 4, "fluency": 3}
BAD = {"accuracy": 1, "fluency": 3, "corrected_reply": "巴黎。"}


class Worker:
    """Somebody at the queue of a gateway without keys."""

    def __init__(self, url: str, name: str) -> None:
        self.name, self._url = name, url

    def _send(self, method: str, path: str, body: Any = None) -> httpx.Response:
        headers = {"x-person": quote(self.name)}
        return httpx.request(method, self._url + path, json=body, headers=headers, timeout=30)

    def next(self, desk: str = "annotate", **filters: Any) -> Any:
        answer = self._send("POST", "/queue/next", {"desk": desk, "filters": filters})
        assert answer.status_code == 200, answer.text
        return answer.json()["task"]

    def send(self, act: str, item_id: str, **body: Any) -> httpx.Response:
        return self._send("POST", f"/queue/{item_id}/{act}", body)

    def done(self, act: str, item_id: str, **body: Any) -> Any:
        answer = self.send(act, item_id, **body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    def save(self, item_id: str, **draft: Any) -> httpx.Response:
        return self._send("PUT", f"/queue/{item_id}/draft", draft)

    def get(self, path: str) -> httpx.Response:
        return self._send("GET", path)


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOllama]:
    with FakeOllama(models=["assistant:1.0.0"]) as server:
        yield server


@pytest.fixture
def gateway(fake: FakeOllama, tmp_path: Path) -> Iterator[RunningGateway]:
    with RunningGateway(tmp_path, fake.url) as running:
        yield running


def ask(gateway: RunningGateway, count: int = 1, **how: Any) -> list[dict[str, Any]]:
    """Turns in the queue."""
    turns = [a_turn() for _ in range(count)]
    for stored in [gateway.store.add_turn(turn) for turn in turns]:
        stored.result(10)
    answer = httpx.post(f"{gateway.url}/queue", json={"turn_ids": [turn.turn_id for turn in turns], **how})
    assert answer.status_code == 201, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def test_a_whole_dispute_goes_from_two_annotators_over_return_and_objection_to_an_expert(
    gateway: RunningGateway,
) -> None:
    (item,) = ask(gateway, annotators=2)
    item_id, turn_id = item["item_id"], item["turn_id"]
    li, mei, wang, expert = (Worker(gateway.url, name) for name in ("李", "梅", "王芳", "dr-zhou"))
    task = li.next()
    assert (task["item"]["item_id"], task["item"]["version"], task["item"]["annotators"]) == (item_id, "", 1)
    assert mei.next() is None, "somebody has it"
    li.done("annotation", item_id, **GOOD)
    assert li.next() is None, "nobody is the second annotator of what they annotated"
    assert mei.next()["annotations"] == []
    theirs = mei.done("annotation", item_id, **BAD)
    assert li.next("review") is None
    shown = wang.next("review")
    assert [one["letter"] for one in shown["annotations"]] == ["A", "B"]
    assert {one["annotation"]["annotator"] for one in shown["annotations"]} == {""}
    assert wang.send("decision", item_id, decision="accept").status_code == 400, "which one?"
    returning = {"decision": "return", "annotation_id": theirs["annotation_id"], "reason": "Read again."}
    wang.done("decision", item_id, **returning)
    returned = mei.next()
    assert (returned["stage"], returned["reviews"][-1]["reason"]) == ("return", "Read again.")
    assert [one["mine"] for one in returned["annotations"]] == [True]
    assert li.next() is None
    mei.done("decision", item_id, decision="object", reason="Paris is in French.")
    for somebody in (li, mei, wang):
        assert somebody.next("expert") is None, "nobody decides what they said something of"
    assert [one["decision"] for one in expert.next("expert")["reviews"]] == ["return", "object"]
    decided = expert.done("decision", item_id, decision="decide", **GOOD)
    tiers = {one.tier: one for one in gateway.store.annotations(turn_id)}
    assert tiers["expert"].annotation_id == decided["annotation_id"]
    assert tiers["annotator"].seconds is not None
    today = mei.get("/queue/today").json()
    assert [(one["what"], one["stage"]) for one in today["done"]] == [("object", "done"), ("annotated", "done")]
    assert li.get(f"/queue/{item_id}").status_code == 409


def test_an_annotator_cannot_take_a_reviewers_item_by_its_id(gateway: RunningGateway) -> None:
    (item,) = ask(gateway, review=True)
    li, other = Worker(gateway.url, "li"), Worker(gateway.url, "other")
    li.next()
    li.done("annotation", item["item_id"], **GOOD)
    refused = other.send("decision", item["item_id"], decision="drop", reason="no")
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "lease-lost")
    own = li.send("decision", item["item_id"], decision="drop", reason="no")
    assert (own.status_code, own.json()["error"]["code"]) == (403, "own-work")


def test_what_is_sent_twice_is_stored_once(gateway: RunningGateway) -> None:
    (item,) = ask(gateway, review=True)
    li, wang = Worker(gateway.url, "li"), Worker(gateway.url, "wang")
    li.next()
    first, again = (li.done("annotation", item["item_id"], **BAD) for _ in range(2))
    assert first == again
    assert li.send("annotation", item["item_id"], **GOOD).status_code == 403, "something else is not the same again"
    wang.next("review")
    decided, twice = (wang.done("decision", item["item_id"], decision="accept") for _ in range(2))
    assert decided == twice
    assert len(gateway.store.annotations(item["turn_id"])) == 2


def test_a_lease_that_ran_out_clashes_with_409_and_the_draft_is_kept(gateway: RunningGateway) -> None:
    (item,) = ask(gateway)
    li, mei = Worker(gateway.url, "li"), Worker(gateway.url, "梅")
    li.next()
    assert li.save(item["item_id"], corrected_reply="half a").status_code == 200
    run_out(gateway, item["item_id"])
    assert mei.next()["item"]["item_id"] == item["item_id"]
    clash = li.send("annotation", item["item_id"], **GOOD)
    assert (clash.status_code, clash.json()["error"]["code"]) == (409, "lease-lost")
    assert li.save(item["item_id"], corrected_reply="half a word").status_code == 409
    assert li.get(f"/queue/{item['item_id']}/draft").json()["draft"]["corrected_reply"] == "half a word"
    mei.done("release", item["item_id"])
    assert li.next()["draft"]["corrected_reply"] == "half a word"
    li.done("annotation", item["item_id"], **GOOD)
    assert li.get(f"/queue/{item['item_id']}/draft").json()["draft"] is None


def test_who_let_an_item_go_is_given_others_first_and_who_skipped_it_never(gateway: RunningGateway) -> None:
    first, second = ask(gateway, 2)
    li = Worker(gateway.url, "li")
    assert li.next()["item"]["item_id"] == first["item_id"]
    li.done("release", first["item_id"])
    assert li.next()["item"]["item_id"] == second["item_id"]
    li.done("skip", second["item_id"], reason="not-my-topic")
    assert li.next()["item"]["item_id"] == first["item_id"]
    li.done("skip", first["item_id"], reason="unclear")
    assert li.next() is None
    assert li.get("/queue").json()["yours"] == {"annotate": 0, "returned": 0, "review": 0, "expert": 0}
    assert li.get("/queue").json()["all"]["annotate"] == 2


def test_leases_and_drafts_survive_a_restart(fake: FakeOllama, tmp_path: Path) -> None:
    with RunningGateway(tmp_path, fake.url) as gateway:
        items = ask(gateway, 3)
        li, mei = Worker(gateway.url, "li"), Worker(gateway.url, "mei")
        mine = li.next()["item"]["item_id"]
        li.save(mine, note="未完")
        done = mei.next()["item"]["item_id"]
        mei.done("annotation", done, **GOOD)
    with RunningGateway(tmp_path, fake.url) as gateway:
        li, mei = Worker(gateway.url, "li"), Worker(gateway.url, "mei")
        left = next(item["item_id"] for item in items if item["item_id"] not in (mine, done))
        assert mei.next()["item"]["item_id"] == left, "the other one is li's, and the third is done"
        again = li.next()
        assert (again["item"]["item_id"], again["draft"]["note"]) == (mine, "未完")
        assert len(httpx.get(f"{gateway.url}/queue/items").json()["items"]) == 2


def test_a_profile_and_filters_narrow_what_somebody_is_given(gateway: RunningGateway) -> None:
    items = ask(gateway, 2)
    profile = Profile(profile_id=new_id("profile"), created_at=now(), person="li", languages=["ja"], topics=[])
    gateway.store.add(PROFILES, profile).result(10)
    assert Worker(gateway.url, "li").next() is None
    assert Worker(gateway.url, "mei").next(language="ja") is None
    assert Worker(gateway.url, "mei").next(language=items[0]["language"], choice="asked") is not None


def test_an_erased_person_and_an_erased_turn_leave_the_queue_and_no_drafts(gateway: RunningGateway) -> None:
    first, second = ask(gateway, 2, annotators=2)
    li, mei = Worker(gateway.url, "li"), Worker(gateway.url, "mei")
    for worker in (li, mei):
        given = worker.next()["item"]["item_id"]
        worker.save(given, note="private")
    li.done("annotation", first["item_id"], **GOOD)
    parts = gateway.state.parts
    parts.eraser.begin("turn", second["turn_id"])
    parts.eraser.begin("subject", "li")
    assert [one.state for one in parts.eraser.go_on()] == ["done", "done"]
    assert [file.name for file in (gateway.data_dir / "drafts").glob("*")] == []
    states = httpx.get(f"{gateway.url}/queue/items").json()["items"]
    assert [(one["item"]["item_id"], one["annotations"], one["people"]) for one in states] == [
        (first["item_id"], 0, [])
    ]
    assert mei.next()["item"]["item_id"] == first["item_id"]


def test_an_annotation_that_is_refused_leaves_the_item_with_its_person(gateway: RunningGateway) -> None:
    (item,) = ask(gateway)
    li = Worker(gateway.url, "li")
    li.next()
    assert li.send("annotation", item["item_id"], accuracy=9, fluency=1).status_code == 400
    assert li.get(f"/queue/{item['item_id']}").status_code == 200


def test_a_name_is_needed_and_unknown_items_are_unknown(gateway: RunningGateway) -> None:
    nobody = httpx.post(f"{gateway.url}/queue/next", json={})
    assert (nobody.status_code, nobody.json()["error"]["code"]) == (400, "no-person")
    li = Worker(gateway.url, "li")
    for answer in (li.get("/queue/nothing"), li.get("/queue/nothing/draft"), li.send("release", "nothing")):
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown-item")


def test_with_keys_the_subject_works_and_a_desk_is_for_its_role(fake: FakeOllama, tmp_path: Path) -> None:
    with RunningGateway(tmp_path, fake.url, keys="required") as gateway:
        operator = operator_of(tmp_path)
        turn = a_turn()
        gateway.store.add_turn(turn).result(10)
        asked = httpx.post(f"{gateway.url}/queue", json={"turn_ids": [turn.turn_id]}, headers=operator)
        assert asked.status_code == 201, asked.text
        li = bearer(make_key(gateway.url, operator, role="annotator", subject="李")["token"])
        nobody = bearer(make_key(gateway.url, operator, role="annotator")["token"])

        def ask_next(headers: dict[str, str], desk: str = "annotate") -> httpx.Response:
            return httpx.post(f"{gateway.url}/queue/next", json={"desk": desk}, headers=headers)

        assert ask_next(nobody | {"x-person": "li"}).json()["error"]["code"] == "no-person"
        assert ask_next(li, "review").status_code == 403
        item_id = ask_next(li | {"x-person": "mei"}).json()["task"]["item"]["item_id"]
        made = httpx.post(f"{gateway.url}/queue/{item_id}/annotation", json=GOOD, headers=li)
        assert (made.status_code, made.json()["annotator"]) == (201, "李")
        assert httpx.get(f"{gateway.url}/queue/items", headers=li).status_code == 403


def run_out(gateway: RunningGateway, item_id: str) -> None:
    """Let the leases on an item be over."""
    leases: Leases = gateway.state.parts.desk.board.leases
    for held in leases.holders(item_id, now()):
        held.expires_at = now()
