"""What the board gives to whom, and that a restart makes the same board of the store's rows."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

from feedback.labelling.board import Board
from feedback.labelling.loading import load_board
from feedback.labelling.records import Gold, Item, Lease, Profile
from feedback.labelling.task import Filters
from feedback.mint import new_id, now
from feedback.settings import LabellingSettings, StoreSettings
from feedback.store.database import Store
from feedback.store.tables import ANNOTATIONS, GOLD, ITEMS, LEASES, TURNS
from tests.fakes.rows import a_turn, an_annotation

RULES = LabellingSettings()


def an_item(**fields: Any) -> Item:
    given: dict[str, Any] = {
        "item_id": new_id("item"), "turn_id": new_id("turn"), "created_at": now(), "project": "assistant",
        "choice": "random", "probability": 0.1, "annotators": 1, "review": False, "language": "en", "topic": "facts",
        "version": "1.0.0",
    }  # fmt: skip
    return Item(**given | fields)


def a_lease(item: Item, person: str, minutes: float = 30) -> Lease:
    at = now()
    return Lease(
        lease_id=new_id("lease"), turn_id=item.turn_id, item_id=item.item_id, created_at=at, person=person,
        stage="annotate", expires_at=at + dt.timedelta(minutes=minutes),
    )  # fmt: skip


def given(board: Board, person: str, filters: Filters | None = None, profile: Profile | None = None) -> str:
    """The id of what they would be given."""
    case = board.pick(person, "annotate", filters or Filters(), profile)
    return case.item.item_id if case is not None else ""


def test_disputed_turns_go_before_random_ones_until_those_have_waited_long_enough() -> None:
    fresh, disputed = an_item(), an_item(choice="disputed")
    old = an_item(created_at=now() - dt.timedelta(hours=73))
    board = Board(RULES)
    board.add([fresh, disputed, old])
    order = []
    while item_id := given(board, "li"):
        order.append(item_id)
        board.forget([item_id])
    assert order == [old.item_id, disputed.item_id, fresh.item_id]


def test_what_somebody_has_is_nobody_elses_until_it_runs_out() -> None:
    item, board = an_item(), Board(RULES)
    board.add([item])
    held = board.leases.hold(a_lease(item, "li"))
    assert given(board, "mei") == ""
    assert board.waiting("mei").annotate == 0 and board.waiting("li").annotate == 1
    held.expires_at = now()
    assert given(board, "mei") == item.item_id


def test_gold_is_mixed_in_for_who_has_not_seen_it_and_only_in_place_of_other_work() -> None:
    item, gold = an_item(), an_item(annotators=0, choice="gold")
    board = Board(RULES, draw=lambda: 0.0)
    board.add([gold])
    assert given(board, "li") == "", "gold alone would tell that it is gold"
    board.add([item])
    board.leases.hold(a_lease(gold, "mei"))
    assert given(board, "li") == gold.item_id, "many may have it at once"
    board.said(gold.item_id, "li")
    assert given(board, "li") == item.item_id
    never = Board(RULES, draw=lambda: 0.99)
    never.add([item, gold])
    assert given(never, "li") == item.item_id
    assert never.unannotated == 1


def test_profiles_and_filters_narrow_and_an_unknown_language_is_for_everybody() -> None:
    chinese, unknown = an_item(language="zh"), an_item(language="")
    board = Board(RULES)
    board.add([chinese, unknown])
    reads = Profile(profile_id="profile-1", created_at=now(), person="li", languages=["ja"], topics=[])
    assert given(board, "li", profile=reads) == unknown.item_id
    assert given(board, "li", Filters(language="zh")) == chinese.item_id
    assert given(board, "li", Filters(language="zh"), reads) == ""
    assert board.waiting("li", reads).annotate == 1


def test_a_restart_makes_the_same_board_of_the_stores_rows(tmp_path: Path) -> None:
    store = Store.open(StoreSettings(data_dir=tmp_path))
    try:
        turn = a_turn()
        store.add(TURNS, turn).result(10)
        fields = {"turn_id": turn.turn_id}
        done, half, flagged, held = (an_item(annotators=n, **fields) for n in (1, 2, 1, 1))
        gold, retired = (an_item(annotators=0, choice="gold", **fields) for _ in range(2))
        for item in (done, half, flagged, held, gold, retired):
            store.add(ITEMS, item).result(10)
        for item, flags in ((done, []), (half, []), (flagged, ["unsafe"]), (gold, [])):
            said = an_annotation(turn.turn_id, annotator="li", tier="annotator", item_id=item.item_id, flags=flags)
            store.add(ANNOTATIONS, said).result(10)
        for old in (False, True):
            row = Gold(
                gold_id=new_id("gold"), turn_id=turn.turn_id, item_id=retired.item_id, created_at=now(), author="zhou",
                accuracy=4, fluency=3, note="", retired=old,
            )  # fmt: skip
            store.add(GOLD, row).result(10)
        for lease in (a_lease(held, "mei"), a_lease(half, "wang"), a_lease(flagged, "li")):
            store.add(LEASES, lease).result(10)
        over = a_lease(half, "wang", minutes=0)
        store.add(LEASES, over).result(10)
        board = load_board(store, RULES)
    finally:
        store.close()
    stages = {case.item.item_id: board.stage(case.item.item_id) for case in board.cases()}
    assert stages == {
        half.item_id: "annotate", flagged.item_id: "review", held.item_id: "annotate", gold.item_id: "annotate",
    }  # fmt: skip
    assert [(one.person, one.lease.item_id) for one in board.leases.all(now())] == [("mei", held.item_id)]
    assert not board.free("li", gold.item_id) and board.free("mei", gold.item_id)
