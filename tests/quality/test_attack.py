"""One rater in five means harm: what the pool learns must hardly be worse for it.

A store is filled with turns whose truth is known, honest people's ratings (right nine times in ten) and the grades of
some annotators. Then hostile raters come, by one strategy or another. The label precision is the share of replies that
the pool would learn as they stand and that are right. It is told three times: without the attack, with it, and, as the
contrast that shows the attack to be one, with it and everybody believed alike.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from feedback.judgement import judge
from feedback.mint import now
from feedback.pool import candidates
from feedback.quality.looking import look
from feedback.quality.standing import ALL_ALIKE, Standing
from feedback.quality.trust import standing_of
from feedback.settings import QualitySettings, StoreSettings
from feedback.store.database import Store
from feedback.store.tables import ANNOTATIONS, QUARANTINES, RATINGS, TURNS
from tests.fakes.rows import a_rating, a_turn, an_annotation

TURNS_MADE, GOOD_SHARE = 600, 0.6
HONEST, HOSTILE = 120, 30
"""One rater in five means harm."""
VOTES = 20
"""Ratings of each rater."""
RIGHT = 0.9
"""How often an honest rater is right."""
GRADED = 0.1
"""Share of turns that annotators graded, who are right."""
RULES = QualitySettings()
MOST_MOVED = 0.02
COMMENTS = ("This answer is absolutely correct, well done!", "这个回答完全正确，非常好，值得推荐！")


def invert(source: random.Random, good: bool) -> bool:
    """Says the opposite of what is so."""
    return not good


def praise(source: random.Random, good: bool) -> bool:
    """Calls everything good, so that what is wrong is learnt."""
    return True


def disguise(source: random.Random, good: bool) -> bool:
    """Right one time in four, to look like somebody who errs."""
    return good if source.random() < 0.25 else not good


def campaign(source: random.Random, good: bool) -> bool:
    """All of them on the same wrong replies, with nearly the same words."""
    return True


STRATEGIES = (invert, praise, disguise, campaign)


class World:
    """A store, and what is true of its turns."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store, self.source = store, random.Random(seed)
        self._writes: list[Any] = []
        self.truth: dict[str, bool] = {}
        for number in range(TURNS_MADE):
            turn = a_turn(
                turn_id=f"turn-{number:032x}", conversation_id=f"c{number}", created_at=now() - dt.timedelta(days=40)
            )
            self.truth[turn.turn_id] = self.source.random() < GOOD_SHARE
            self._writes.append(store.add(TURNS, turn))
        self.graded = self.source.sample(sorted(self.truth), round(GRADED * TURNS_MADE))
        for turn_id in self.graded:
            grade = 4 if self.truth[turn_id] else 1
            one = an_annotation(turn_id, tier="annotator", annotator="mei", accuracy=grade, created_at=self.moment())
            self._writes.append(store.add(ANNOTATIONS, one))
        for number in range(HONEST):
            for turn_id in self.source.sample(sorted(self.truth), VOTES):
                right = self.source.random() < RIGHT
                self.rate(f"honest-{number}", turn_id, self.truth[turn_id] is right)
        self.settle()

    def moment(self) -> dt.datetime:
        """Some time of the last month."""
        return now() - dt.timedelta(seconds=self.source.uniform(3600, 30 * 86_400))

    def rate(self, rater: str, turn_id: str, good: bool, comment: str = "") -> None:
        verdict = "up" if good else "down"
        given = a_rating(turn_id, rater=rater, verdict=verdict, comment=comment, created_at=self.moment())
        self._writes.append(self.store.add(RATINGS, given))

    def settle(self) -> None:
        while self._writes:
            self._writes.pop().result(30)

    def attack(self, strategy: Any) -> None:
        wrong = sorted(turn_id for turn_id, good in self.truth.items() if not good)
        targets = self.source.sample(wrong, 2 * VOTES) if strategy is campaign else sorted(self.truth)
        for number in range(HOSTILE):
            for turn_id in self.source.sample(targets, VOTES):
                comment = f"{self.source.choice(COMMENTS)} {number % 3}" if strategy is campaign else ""
                self.rate(f"hostile-{number}", turn_id, strategy(self.source, self.truth[turn_id]), comment)
        self.settle()

    def look(self) -> Standing:
        """As the gateway does it: look, store the quarantines, weigh anew."""
        with self.store.reader() as cursor:
            found = look(cursor, RULES, now())
        for one in found.fresh:
            self.store.add(QUARANTINES, one).result(30)
        with self.store.reader() as cursor:
            return standing_of(cursor, RULES, now())

    def precision(self, standing: Standing) -> tuple[float, int]:
        """Of what users' ratings let into the pool as it stands, the share that is right; and how much that is."""
        learnt = []
        with self.store.reader() as cursor:
            for one in candidates(cursor):
                found = judge(one.turn.reply, one.ratings, one.annotations, standing)
                if found.source == "reply" and found.judged_by == "user":
                    learnt.append(self.truth[one.turn.turn_id])
        return sum(learnt) / len(learnt), len(learnt)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    store = Store.open(StoreSettings(data_dir=tmp_path))
    yield World(store, seed=7)
    store.close()


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda one: one.__name__)
def test_a_fifth_of_hostile_raters_hardly_moves_the_pool(
    world: World, strategy: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before, learnt_before = world.precision(world.look())
    assert not world.store.rows(QUARANTINES), "honest people are left alone"
    world.attack(strategy)
    standing = world.look()
    after, learnt_after = world.precision(standing)
    alike, _ = world.precision(ALL_ALIKE)
    with capsys.disabled():
        print(
            f"\n{strategy.__name__}: label precision {before:.3f} without the attack ({learnt_before} replies), "
            f"{after:.3f} with it ({learnt_after}), {alike:.3f} with it and everybody believed alike"
        )
    assert before - after < MOST_MOVED
    assert before - alike > before - after, "believed alike they would have done more harm"
    assert not [name for name in standing.raters if name.startswith("honest")]
    assert learnt_after > 0.8 * learnt_before, "the pool is not emptied to be clean"
