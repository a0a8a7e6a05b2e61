"""The queue fills itself: facets for every turn, items for what needs a look, with chances that are kept."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from feedback.facets import Facets
from feedback.labelling.board import Board
from feedback.labelling.estimates import SETTLED_MS
from feedback.labelling.records import Item
from feedback.mint import now
from feedback.settings import LabellingSettings, StoreSettings
from feedback.store.database import Store
from feedback.store.tables import ITEMS
from feedback.turns import Message, Turn
from learner.alias import Alias, AliasFile, Served, write_aliases
from service.labelling import filling
from service.labelling.filling import BACKLOG, Filling
from tests.fakes.gateway import RunningGateway
from tests.fakes.ollama import FakeOllama
from tests.fakes.rows import a_rating, a_turn

RULES = LabellingSettings(open_items=40, random_share=0.25, second_share=0.5, review_share=0.5)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(StoreSettings(data_dir=tmp_path))
    yield opened
    opened.close()


def chat(store: Store, count: int = 1, age: float = 3600.0, **fields: Any) -> list[Turn]:
    """Turns that began so many seconds ago, one millisecond after the other."""
    begin = now() - dt.timedelta(seconds=age)
    turns = []
    for at in range(count):
        moment = begin + dt.timedelta(milliseconds=at)
        turn_id = f"turn-{int(moment.timestamp() * 1000):012x}{a_turn().turn_id[-20:]}"
        turns.append(a_turn(turn_id=turn_id, created_at=moment, **fields))
    for future in [store.add_turn(turn) for turn in turns]:
        future.result(10)
    return turns


def rate(store: Store, turns: list[Turn], *verdicts: str, rater: str = "") -> None:
    for turn in turns:
        for at, verdict in enumerate(verdicts):
            store.add_rating(a_rating(turn.turn_id, verdict=verdict, rater=rater or f"user-{at}")).result(10)


def filler(store: Store, tmp_path: Path, board: Board | None = None, rules: LabellingSettings = RULES) -> Filling:
    return Filling(store, rules, Board(rules) if board is None else board, tmp_path / "alias.json")


def fill(work: Filling) -> list[Item]:
    return asyncio.run(work.fill_queue())


def facets(store: Store) -> dict[str, tuple[str, str]]:
    with store.reader() as cursor:
        return {row[0]: (row[1], row[2]) for row in cursor.execute("SELECT * FROM facets").fetchall()}


def test_every_turn_gets_its_facets_once_and_new_ones_later(store: Store, tmp_path: Path) -> None:
    chinese = chat(store, 300, messages=[Message(role="user", content="帮我写代码")])
    work = filler(store, tmp_path)
    assert asyncio.run(work.fill_facets()) == 300
    assert facets(store) == {turn.turn_id: ("zh", "code") for turn in chinese}
    (late,) = chat(store, age=3_000, messages=[Message(role="user", content="What is the capital of France?")])
    assert asyncio.run(work.fill_facets()) == 1
    assert facets(store)[late.turn_id] == ("en", "facts")
    assert asyncio.run(filler(store, tmp_path).fill_facets()) == 0 < BACKLOG


def test_facets_go_with_their_turn_and_are_not_kept_for_one_that_is_gone(store: Store, tmp_path: Path) -> None:
    first, second = chat(store, 2)
    asyncio.run(filler(store, tmp_path).fill_facets())
    store.remove_turns([first.turn_id])
    assert set(facets(store)) == {second.turn_id}
    late = [Facets(turn_id=turn.turn_id, language="en", topic="other") for turn in (first, second)]
    assert store.add_facets(late) == 0
    assert set(facets(store)) == {second.turn_id}


def test_all_turns_become_items_for_certain_where_there_are_few(store: Store, tmp_path: Path) -> None:
    turns = chat(store, 5)
    board = Board(RULES)
    items = fill(filler(store, tmp_path, board))
    assert {item.turn_id for item in items} == {turn.turn_id for turn in turns}
    assert {item.probability for item in items} == {1.0}
    assert {(item.project, item.version, item.language) for item in items} == {("assistant", "1.0.0", "zh")}
    assert board.unannotated == 5
    assert sorted(item.item_id for item in store.rows(ITEMS)) == sorted(item.item_id for item in items)


def test_no_turn_becomes_an_item_twice(store: Store, tmp_path: Path) -> None:
    chat(store, 5)
    assert len(fill(filler(store, tmp_path))) == 5
    assert fill(filler(store, tmp_path)) == []


def test_what_can_teach_nothing_is_left_out(store: Store, tmp_path: Path) -> None:
    chat(store, status="cut")
    chat(store, version="", model_tag="llama3:latest")
    chat(store, reply="")
    chat(store, age=SETTLED_MS / 1000 - 30)
    assert fill(filler(store, tmp_path)) == []


def test_reasons_are_seen_by_the_latest_rating_of_each_rater(store: Store, tmp_path: Path) -> None:
    disputed, low, again = (chat(store, 1, age=5000 + at) for at in range(3))
    rate(store, disputed, "up", "down")
    rate(store, low, "down", "down")
    rate(store, again, "down", "up", rater="user-1")  # a change of mind is no dispute
    liked = chat(store, 2, age=6000)
    rate(store, liked, "up")
    unsure = chat(store, 1, age=7000, uncertainty=3.0)
    chat(store, 30, age=8000, uncertainty=0.1)
    tried = chat(store, 1, age=9000, version="1.1.0")
    served = Served(version="1.0.0", tag="assistant:1.0.0")
    trying = Served(version="1.1.0", tag="assistant:1.1.0")
    alias = Alias(champion=served, challenger=trying, challenger_share=0.1, changed_at=now())
    write_aliases(tmp_path / "alias.json", AliasFile(aliases={"assistant": alias}))
    rules = LabellingSettings(open_items=100, random_share=0.0, second_share=0.0)
    found = {item.turn_id: item.choice for item in fill(filler(store, tmp_path, rules=rules))}
    assert found[disputed[0].turn_id] == "disputed"
    assert found[low[0].turn_id] == "low-rated"
    assert found[unsure[0].turn_id] == "uncertain"
    assert found[tried[0].turn_id] == "challenger"
    assert found[again[0].turn_id] == found[liked[0].turn_id] == "random"
    assert len(found) == 37, "all are wanted"


def test_only_as_many_are_chosen_as_are_wanted_with_the_chances_that_they_had(store: Store, tmp_path: Path) -> None:
    plain = chat(store, 400)
    low = chat(store, 50, age=9000)
    with_low = {turn.turn_id for turn in low}
    rate(store, low, "down")
    items = fill(filler(store, tmp_path))
    assert 15 <= len(items) <= 70  # 40 are wanted
    chances = {item.probability for item in items if item.turn_id not in with_low}
    assert list(chances) == [pytest.approx(10 / 450)]
    assert list({item.probability for item in items if item.turn_id in with_low}) == [pytest.approx(30 / 50 + 10 / 450)]
    assert Counter(item.turn_id in with_low for item in items)[True] > 12
    assert {item.annotators for item in items} == {1, 2}
    assert {item.review for item in items} == {True, False}
    assert len({item.created_at for item in items}) == 1, "a round is known by its time"
    assert len(plain) == 400


def test_a_queue_that_is_full_enough_is_left_alone(store: Store, tmp_path: Path) -> None:
    chat(store, 200)
    board = Board(RULES)
    work = filler(store, tmp_path, board)
    board.add(fill(work))
    work._rest_until = 0.0
    assert board.unannotated > 20
    assert fill(work) == []


def test_a_gateway_fills_its_own_queue(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (turn,) = chat(store)
    store.close()
    monkeypatch.setattr(filling, "FIRST_LOOK_S", 0.05)
    with FakeOllama(models=["assistant:1.0.0"]) as fake, RunningGateway(tmp_path, fake.url) as gateway:
        for _ in range(200):
            given = httpx.post(f"{gateway.url}/queue/next", json={"desk": "annotate"}, headers={"x-person": "mei"})
            if (task := given.json()["task"]) is not None:
                break
            time.sleep(0.05)
    assert task["item"]["turn_id"] == turn.turn_id
    assert (task["item"]["choice"], task["item"]["language"]) == ("random", "zh")


def test_items_that_could_not_be_stored_are_not_given_out(store: Store, tmp_path: Path) -> None:
    first, second = chat(store, 2)
    board = Board(RULES)
    work = filler(store, tmp_path, board)
    chosen = work._choose(10)
    store.remove_turns([first.turn_id])
    work._choose = lambda wanted: chosen  # type: ignore[method-assign]  # as if it were erased between the two
    assert [item.turn_id for item in fill(work)] == [second.turn_id]
    assert board.unannotated == 1


def test_topics_of_the_settings_are_the_items_topics(store: Store, tmp_path: Path) -> None:
    chat(store, messages=[Message(role="user", content="渡轮几点开？")])
    rules = LabellingSettings(topics={"harbour": ["ferry", "渡轮"]})
    (item,) = fill(filler(store, tmp_path, rules=rules))
    assert (item.language, item.topic) == ("zh", "harbour")
