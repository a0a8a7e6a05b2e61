"""The counts follow the store: what is new, what is said again, what is quarantined, lifted or erased."""

import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from feedback.annotations import Annotation
from feedback.errors import InvalidInput
from feedback.labelling.estimates import weights_of
from feedback.labelling.records import Item
from feedback.measures.cube import Cube
from feedback.measures.groups import Filter, dimensions_of, measured, version_key, weights
from feedback.measures.weeks import monday, week_at
from feedback.mint import new_id, now
from feedback.preferences import Preference
from feedback.quality.records import Lift, Quarantine
from feedback.settings import StoreSettings
from feedback.store.database import Store
from feedback.store.tables import ANNOTATIONS, ITEMS, LIFTS, PREFERENCES, QUARANTINES
from tests.fakes.rows import a_rating, a_turn

MAY = dt.datetime(2026, 5, 20, 12, tzinfo=dt.UTC)


class World:
    """A store and its counts."""

    def __init__(self, store: Store) -> None:
        self.store, self.cube, self.minted = store, Cube(), 0

    def turn(self, at: dt.datetime = MAY, **fields) -> str:
        self.minted += 1
        turn_id = f"turn-{int(at.timestamp() * 1000):012x}{self.minted:020x}"
        self.store.add_turn(a_turn(turn_id=turn_id, created_at=at, **fields)).result()
        return turn_id

    def rate(self, turn_id: str, **fields) -> str:
        rating = a_rating(turn_id, **fields)
        self.store.add_rating(rating).result()
        return rating.rating_id

    def item(self, turn_id: str, **fields) -> Item:
        given = {
            "choice": "random", "probability": 0.5, "annotators": 1, "review": False, "language": "en", "topic": "code",
            "version": "1.0.0", "project": "assistant", "created_at": MAY + dt.timedelta(days=1),
        }  # fmt: skip
        item = Item(item_id=new_id("item"), turn_id=turn_id, **(given | fields))
        self.store.add(ITEMS, item).result()
        return item

    def grade(self, turn_id: str, accuracy: int, fluency: int = 3, **fields) -> str:
        given = {"annotator": "mei", "tier": "annotator", "corrected_reply": None, "accept": [], "note": ""}
        annotation = Annotation(
            annotation_id=new_id("annotation"), turn_id=turn_id, created_at=now(), accuracy=accuracy, fluency=fluency,
            **(given | fields),
        )  # fmt: skip
        self.store.add(ANNOTATIONS, annotation).result()
        return annotation.annotation_id

    def prefer(self, first: str, second: str, preferred: str, rater: str = "lin") -> None:
        said = Preference(
            preference_id=new_id("preference"), turn_id=first, other_turn_id=second, created_at=now(), rater=rater,
            preferred=preferred, reasons=[], comment="",
        )  # fmt: skip
        self.store.add(PREFERENCES, said).result()

    def quarantine(self, kind: str, target: str) -> str:
        one = Quarantine(
            quarantine_id=new_id("quarantine"), created_at=now(), kind=kind, target=target, reason="burst", evidence=""
        )
        self.store.add(QUARANTINES, one).result()
        return one.quarantine_id

    def lift(self, quarantine_id: str) -> None:
        one = Lift(lift_id=new_id("lift"), quarantine_id=quarantine_id, created_at=now(), operator="op", reason="")
        self.store.add(LIFTS, one).result()

    def rows(self, by: str, only: Filter | None = None):
        self.cube.refresh(self.store)
        return measured(self.cube.counts, dimensions_of(by), only)


@pytest.fixture
def world(tmp_path: Path):
    store = Store.open(StoreSettings(data_dir=tmp_path))
    yield World(store)
    store.close()


def test_the_latest_rating_of_each_rater_counts_and_anonymous_ones_as_one(world):
    turn = world.turn()
    world.rate(turn, rater="lin", verdict="up", task_completed=True)
    world.rate(turn, rater="lin", verdict="down")
    for stars in (5, 5, 2):
        world.rate(turn, verdict=None, stars=stars)
    (row,) = world.rows("version")
    assert (row.alias, row.version, row.turns) == ("assistant", "1.0.0", 1)
    assert (row.satisfaction.value, row.satisfaction.count) == (0, 2)
    assert (row.completion.value, row.completion.count) == (1, 1), "said once, and not taken back"


def test_what_is_said_late_counts_in_the_turns_week_and_touches_no_other(world):
    old, new = world.turn(MAY), world.turn(MAY + dt.timedelta(weeks=3))
    world.rate(new)
    assert [row.week for row in world.rows("week")] == ["2026-05-18", "2026-06-08"]
    kept = world.cube.counts.weeks[week_at(MAY + dt.timedelta(weeks=3))]
    world.rate(old, verdict="down")
    rows = world.rows("week")
    assert [row.satisfaction.value for row in rows] == [0, 1]
    assert world.cube.counts.weeks[week_at(MAY + dt.timedelta(weeks=3))] is kept
    assert monday(week_at(MAY)) == dt.date(2026, 5, 18) == monday(week_at(dt.date(2026, 5, 24)))


def test_what_is_quarantined_counts_again_once_it_is_lifted(world):
    turn = world.turn()
    bad = world.rate(turn, rater="troll", verdict="down")
    world.rate(turn, rater="lin")
    assert world.rows("version")[0].satisfaction.count == 2
    held = world.quarantine("rater", "troll")
    assert world.rows("version")[0].satisfaction.count == 1
    world.lift(held)
    assert world.rows("version")[0].satisfaction.count == 2
    world.quarantine("rating", bad)
    assert world.rows("version")[0].satisfaction.value == 1
    grade = world.grade(turn, 4)
    assert world.rows("version")[0].accuracy.count == 1
    world.quarantine("annotation", grade)
    assert world.rows("version")[0].accuracy is None


def test_what_was_erased_counts_no_longer(world):
    turns = [world.turn(subject="lin"), world.turn()]
    for turn in turns:
        world.rate(turn)
    assert world.rows("version")[0].satisfaction.count == 2
    world.store.remove_turns(turns[:1])
    world.rate(world.turn())
    (row,) = world.rows("version")
    assert (row.turns, row.satisfaction.count) == (2, 2)
    world.store.remove_turns(turns[1:])
    assert world.store.compact() and world.rows("version")[0].turns == 1


def test_the_highest_tiers_latest_grade_decides(world):
    turn = world.turn()
    world.grade(turn, 1, tier="reviewer")
    world.grade(turn, 4, tier="expert")
    world.grade(turn, 2, tier="annotator")
    (row,) = world.rows("version")
    assert (row.accuracy.value, row.accuracy.count, row.fluency.value) == (4, 1, 3)


def test_drawn_turns_stand_for_those_that_were_not(world):
    often, seldom = world.turn(), world.turn()
    world.item(often, probability=1.0)
    world.item(seldom, probability=0.1)
    world.grade(often, 1)
    world.grade(seldom, 4)
    (row,) = world.rows("version")
    assert row.accuracy.value == pytest.approx((1 * 1 + 10 * 4) / 11)


def test_weights_are_those_of_the_estimates(world):
    turns = [world.turn(MAY + dt.timedelta(hours=6 * at)) for at in range(12)]
    choices = ["random", "asked", "disputed"]
    items = [
        world.item(
            turn, choice=choices[at % 3], probability=0.1 + 0.05 * at, created_at=MAY + dt.timedelta(days=1 + at % 4)
        )
        for at, turn in enumerate(turns)
    ]  # fmt: skip
    for turn in turns:
        world.grade(turn, 3)
    world.rows("version")
    counts, wanted = world.cube.counts, weights_of(items)
    (week, *rest) = counts.weeks.values()
    assert not rest
    order = np.argsort(week.graded[:, -1])
    assert weights(week.graded, counts.rounds)[order] == pytest.approx([wanted[item.turn_id] for item in items])


def test_preferences_count_for_both_versions_and_else_for_the_newer(world):
    old, new = world.turn(version="1.9.0"), world.turn(version="1.10.0")
    world.prefer(old, new, "first", rater="lin")
    world.prefer(new, old, "first", rater="lin")  # the same pair, and the latest word on it
    world.prefer(new, old, "tie", rater="mei")
    found = {row.version: (row.preference.value, row.preference.count) for row in world.rows("version")}
    assert found == {"1.9.0": (0.25, 2), "1.10.0": (0.75, 2)}
    assert world.rows("week")[0].preference.value == 0.75
    world.prefer(old, world.turn(version="1.9.0"), "second")
    assert world.rows("week")[0].preference.count == 2, "one version's two drafts compare nothing"


def test_rows_are_filtered_and_versions_sorted_as_numbers(world):
    for version in ("1.10.0", "1.9.0", ""):
        world.turn(version=version)
    world.turn(version="1.9.0", alias="other")
    world.turn(MAY + dt.timedelta(weeks=1), version="1.9.0")
    rows = world.rows("version")
    assert [(row.alias, row.version, row.turns) for row in rows] == [
        ("assistant", "", 1), ("assistant", "1.9.0", 2), ("assistant", "1.10.0", 1), ("other", "1.9.0", 1),
    ]  # fmt: skip
    day = dt.date(2026, 5, 23)
    assert sum(row.turns for row in world.rows("week", Filter(alias="assistant", until=day))) == 3
    assert [row.turns for row in world.rows("week", Filter(since=day + dt.timedelta(days=2)))] == [1]
    assert sorted(["2.0.0", "", "1.10.0", "1.9.0"], key=version_key) == ["", "1.9.0", "1.10.0", "2.0.0"]


def test_counting_can_stop_and_go_on(world):
    for weeks in range(3):
        world.turn(MAY + dt.timedelta(weeks=weeks))
    world.cube.refresh(world.store, lambda seconds: False)
    assert len(world.cube.counts.weeks) == 1 and world.cube.as_of is None
    world.cube.refresh(world.store)
    assert len(world.cube.counts.weeks) == 3 and world.cube.as_of is not None


@pytest.mark.parametrize("by", ["", "colour", "week,colour", "alias,version,week,topic"])
def test_dimensions_that_are_none_are_refused(by):
    with pytest.raises(InvalidInput, match="Name one to three"):
        dimensions_of(by)
