"""Guidelines, gold and profiles through a real gateway."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from feedback.settings import StoreSettings
from feedback.store.database import Store
from feedback.store.tables import GOLD, ITEMS
from feedback.turns import Turn
from service.paging import cursor_of
from tests.fakes.gateway import RunningGateway
from tests.fakes.keys import bearer, put_key
from tests.fakes.ollama import FakeOllama
from tests.fakes.rows import a_turn, an_annotation


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningGateway, dict[str, str]]]:
    """A gateway with keys, and a key of each kind of person."""
    folder: Path = tmp_path_factory.mktemp("keyed")
    store = Store.open(StoreSettings(data_dir=folder))
    roles = {"mei": "annotator", "li": "reviewer", "王芳": "expert", "": "operator"}
    tokens = {name: put_key(store, role, subject=name) for name, role in roles.items()}
    store.close()
    with FakeOllama(models=["assistant:1.0.0"]) as fake, RunningGateway(folder, fake.url, keys="required") as running:
        yield running, tokens


Keyed = tuple[RunningGateway, dict[str, str]]


def send(keyed: Keyed, who: str, method: str, path: str, body: Any = None) -> httpx.Response:
    gateway, tokens = keyed
    return httpx.request(method, gateway.url + path, json=body, headers=bearer(tokens[who]), timeout=30)


def stored(gateway: RunningGateway, **grades: int) -> Turn:
    turn = a_turn()
    gateway.store.add_turn(turn).result(10)
    if grades:
        gateway.store.add_annotation(an_annotation(turn.turn_id, **grades)).result(10)
    return turn


def test_each_version_of_a_guideline_is_kept(keyed: Keyed) -> None:
    path = f"/guidelines/{quote('助手')}"
    assert send(keyed, "mei", "GET", path).json()["error"]["code"] == "unknown-guideline"
    first = send(keyed, "王芳", "PUT", path, {"text": "# 一"})
    assert first.status_code == 200
    assert (first.json()["version"], first.json()["author"], first.json()["project"]) == (1, "王芳", "助手")
    again = send(keyed, "王芳", "PUT", path, {"text": "# 一"})
    assert again.json() == first.json(), "the same text is no new version"
    assert send(keyed, "", "PUT", path, {"text": "# 二", "based_on": 1}).json()["version"] == 2
    assert send(keyed, "mei", "GET", path).json()["text"] == "# 二"
    assert send(keyed, "mei", "GET", f"{path}?version=1").json()["text"] == "# 一"
    assert send(keyed, "mei", "GET", f"{path}?version=3").status_code == 404
    page = send(keyed, "mei", "GET", f"{path}/versions?limit=1").json()
    rest = send(keyed, "mei", "GET", f"{path}/versions?cursor={page['next_cursor']}").json()
    assert [one["version"] for one in page["items"] + rest["items"]] == [2, 1]
    assert rest["next_cursor"] is None


def test_a_guideline_that_somebody_else_has_changed_is_not_overwritten_unseen(keyed: Keyed) -> None:
    for text in ("one", "two"):
        send(keyed, "王芳", "PUT", "/guidelines/clash", {"text": text})
    late = send(keyed, "王芳", "PUT", "/guidelines/clash", {"text": "from one", "based_on": 1})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "conflict")
    assert send(keyed, "mei", "GET", "/guidelines/clash").json()["text"] == "two"


def test_annotators_may_not_write_guidelines_nor_see_gold(keyed: Keyed) -> None:
    for who in ("mei", "li"):
        assert send(keyed, who, "PUT", "/guidelines/mine", {"text": "x"}).status_code == 403
        assert send(keyed, who, "GET", "/gold").status_code == 403
        assert send(keyed, who, "POST", "/gold", {"turn_id": "turn-1"}).status_code == 403


@pytest.mark.parametrize("body", [{"text": " "}, {"text": "x" * 100_001}, {}, {"text": "x", "version": 1}])
def test_a_guideline_without_a_text_is_refused(keyed: Keyed, body: dict[str, Any]) -> None:
    assert send(keyed, "王芳", "PUT", "/guidelines/none", body).status_code == 400


def test_a_cursor_that_was_made_up_is_refused(keyed: Keyed) -> None:
    made_up = cursor_of("guidelines", "one")
    assert send(keyed, "mei", "GET", f"/guidelines/any/versions?cursor={made_up}").status_code == 400


def test_an_annotated_turn_is_made_gold_changed_retired_and_made_gold_again(keyed: Keyed) -> None:
    gateway, _ = keyed
    board = gateway.state.parts.desk.board
    turn = stored(gateway, accuracy=2, fluency=3)
    made = send(keyed, "王芳", "POST", "/gold", {"turn_id": turn.turn_id})
    assert made.status_code == 201
    gold = made.json()
    assert (gold["accuracy"], gold["fluency"], gold["author"], gold["retired"]) == (2, 3, "王芳", False)
    assert board.case(gold["item_id"]).item.choice == "gold"
    changed = send(keyed, "王芳", "POST", "/gold", {"turn_id": turn.turn_id, "accuracy": 1, "fluency": 2}).json()
    assert changed["item_id"] == gold["item_id"]
    listed = [one for one in send(keyed, "", "GET", "/gold").json()["items"] if one["turn_id"] == turn.turn_id]
    assert [(one["accuracy"], one["fluency"]) for one in listed] == [(1, 2)]
    again = send(keyed, "王芳", "POST", "/gold", {"turn_id": turn.turn_id, "accuracy": 1, "fluency": 2}).json()
    assert again == changed, "the same again is stored once"
    assert send(keyed, "王芳", "DELETE", f"/gold/{turn.turn_id}").json()["retired"] is True
    assert board.case(gold["item_id"]) is None
    assert turn.turn_id not in {one["turn_id"] for one in send(keyed, "", "GET", "/gold").json()["items"]}
    assert send(keyed, "王芳", "DELETE", f"/gold/{turn.turn_id}").json()["error"]["code"] == "unknown-gold"
    send(keyed, "王芳", "POST", "/gold", {"turn_id": turn.turn_id})
    assert board.case(gold["item_id"]) is not None
    assert len(gateway.store.rows(ITEMS, "WHERE turn_id = ?", [turn.turn_id])) == 1
    assert len(gateway.store.rows(GOLD, "WHERE turn_id = ?", [turn.turn_id])) == 4


def test_gold_needs_a_turn_that_somebody_has_annotated_and_grades_in_range(keyed: Keyed) -> None:
    gateway, _ = keyed
    bare = stored(gateway)
    assert send(keyed, "王芳", "POST", "/gold", {"turn_id": bare.turn_id}).status_code == 409
    assert send(keyed, "王芳", "POST", "/gold", {"turn_id": "turn-none"}).status_code == 404
    turn = stored(gateway, accuracy=4, fluency=3)
    for grades in ({"accuracy": 3}, {"accuracy": 5, "fluency": 3}, {"accuracy": 3, "fluency": 0}):
        assert send(keyed, "王芳", "POST", "/gold", {"turn_id": turn.turn_id, **grades}).status_code == 400
    assert gateway.store.rows(GOLD, "WHERE turn_id = ?", [turn.turn_id]) == []


def test_a_profile_is_ones_own_or_the_operators_to_set(keyed: Keyed) -> None:
    assert send(keyed, "mei", "GET", "/profiles/mei").json()["languages"] == []
    put = send(keyed, "mei", "PUT", "/profiles/mei", {"languages": ["zh"], "topics": ["code"]})
    assert put.json() == send(keyed, "", "GET", "/profiles/mei").json()
    assert (put.json()["languages"], put.json()["topics"]) == (["zh"], ["code"])
    assert "mathematics" in put.json()["known_topics"]
    assert send(keyed, "li", "GET", "/profiles/mei").status_code == 404
    assert send(keyed, "li", "PUT", "/profiles/mei", {}).status_code == 404
    assert send(keyed, "", "PUT", f"/profiles/{quote('王芳')}", {"topics": ["facts"]}).status_code == 200
    assert send(keyed, "王芳", "GET", f"/profiles/{quote('王芳')}").json()["topics"] == ["facts"]


@pytest.mark.parametrize("body", [{"languages": ["Chinese!"]}, {"topics": ["cod"]}, {"languages": ["en"] * 51}])
def test_a_profile_of_what_does_not_exist_is_refused(keyed: Keyed, body: dict[str, Any]) -> None:
    assert send(keyed, "mei", "PUT", "/profiles/mei", body).status_code == 400
    if "topics" in body:
        assert "code" in send(keyed, "mei", "PUT", "/profiles/mei", body).json()["error"]["mend"]
