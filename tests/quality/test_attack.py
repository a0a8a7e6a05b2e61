"""An attack: a fifth of all raters mean harm. What the pool then teaches must hardly get worse.

Each world is a real store, looked at as the gateway does and read as a freeze does. Label precision is the share of
what the pool would teach that is right: replies that are good in truth, and corrections that an honest person wrote
(the others all write the same one).
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from feedback.annotations import Annotation
from feedback.freeze import gather
from feedback.mint import new_id
from feedback.quality.looking import look
from feedback.quality.standing import ALL_ALIKE, Standing
from feedback.quality.trust import standing_of
from feedback.ratings import Rating
from feedback.settings import PoolSettings, QualitySettings, StoreSettings
from feedback.store.database import Store
from feedback.store.tables import ANNOTATIONS, QUARANTINES, RATINGS, TURNS
from feedback.tokens import TokenCounter
from feedback.turns import Message
from tests.fakes.rows import a_rating, a_turn, an_annotation

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
TURNS_MADE, RATERS, HOSTILE, VOTES = 900, 60, 12, 75
"""Raters give VOTES votes each: five a turn."""
GOOD_SHARE, HONEST_RIGHT, ANNOTATED = 0.6, 0.85, 0.08
RULES, POOL = QualitySettings(), PoolSettings(min_tokens=1, max_tokens=400, min_train_rows=1)
MOST_POINTS = 2.0
SEEDS = (1, 2, 3)
"""Worlds are taken together: one has some 740 rows, whose share of right ones is half a point of luck."""

Strategy = Callable[[random.Random, int, bool], bool | None]
"""A hostile rater's vote on a turn: its number, and whether its reply is good; none abstains."""


def upside_down(_: random.Random, turn: int, good: bool) -> bool:
    return not good


def always_up(_: random.Random, turn: int, good: bool) -> bool:
    return True


def by_lot(chance: random.Random, turn: int, good: bool) -> bool:
    return chance.random() < 0.5


def in_disguise(chance: random.Random, turn: int, good: bool) -> bool:
    """Honest three times in ten, so as not to be found."""
    return good if chance.random() < 0.3 else not good


def on_targets(_: random.Random, turn: int, good: bool) -> bool:
    """Honest but for a third of the turns, on which all of them lie together, with one comment."""
    return good if turn % 3 else not good


STRATEGIES: dict[str, Strategy] = {
    "upside down": upside_down, "always up": always_up, "by lot": by_lot, "in disguise": in_disguise,
    "on targets": on_targets,
}  # fmt: skip


class World:
    """A store with what people said in it, and the truth about it, which the store does not know."""

    def __init__(self, folder: Path, strategy: Strategy | None, seed: int) -> None:
        self.store = Store.open(StoreSettings(data_dir=folder))
        chance = random.Random(seed)
        self.good = {new_id("turn"): chance.random() < GOOD_SHARE for _ in range(TURNS_MADE)}
        ids = list(self.good)
        waiting = [
            self.store.add(
                TURNS,
                a_turn(
                    turn_id=turn_id,
                    conversation_id=f"conversation-{turn_id}",
                    created_at=NOW - dt.timedelta(days=40),
                    messages=[Message(role="user", content=f"Question {at}: 第 {at} 个问题？")],
                    reply=f"Reply {at}.",
                ),
            )
            for at, turn_id in enumerate(ids)
        ]
        for one in waiting:
            one.result()
        waiting = [self.store.add(ANNOTATIONS, one) for one in self._annotations(chance)]
        waiting += [self.store.add(RATINGS, one) for one in self._ratings(seed, ids, strategy)]
        for one in waiting:
            one.result()

    def _annotations(self, chance: random.Random) -> Iterator[Annotation]:
        for turn_id, good in self.good.items():
            if chance.random() < ANNOTATED:
                yield an_annotation(turn_id, accuracy=4 if good else 1, fluency=3, created_at=NOW, accept=[])

    def _ratings(self, seed: int, ids: list[str], strategy: Strategy | None) -> Iterator[Rating]:
        for rater in range(RATERS):
            hostile = strategy is not None and rater < HOSTILE
            own = random.Random(f"{seed} {rater} {hostile}")
            for turn in own.sample(range(TURNS_MADE), VOTES):
                good = self.good[ids[turn]]
                vote = strategy(own, turn, good) if hostile and strategy else (own.random() < HONEST_RIGHT) == good
                lie = hostile and vote != good
                mends = not vote and own.random() < 0.3
                yield a_rating(
                    ids[turn],
                    rater=f"rater-{rater}",
                    verdict="up" if vote else "down",
                    created_at=NOW - dt.timedelta(minutes=own.randrange(30 * 1440)),
                    comment="This answer is exactly what everybody needs" if lie and strategy is on_targets else "",
                    corrected_reply=("A lie." if lie else f"The right reply, {turn}.") if mends else None,
                )

    def look(self) -> int:
        """As the gateway: look, store what is suspicious, until nothing more is. Gives how many quarantines."""
        found = 0
        while True:
            with self.store.reader() as cursor:
                fresh = look(cursor, RULES, NOW).fresh
            if not fresh:
                return found
            for one in [self.store.add(QUARANTINES, one) for one in fresh]:
                one.result()
            found += len(fresh)

    def standing(self) -> Standing:
        with self.store.reader() as cursor:
            return standing_of(cursor, RULES, NOW)

    def taught(self, standing: Standing) -> list[bool]:
        """Of each row that the pool teaches, whether it is right."""
        with self.store.reader() as cursor:
            samples = gather(cursor, POOL, NOW, TokenCounter(), standing).samples
        return [self.good[one.turn_id] if one.source == "reply" else one.target != "A lie." for one in samples]


def precision(rows: list[bool]) -> float:
    """The share that is right, per cent."""
    return 100 * sum(rows) / len(rows)


@pytest.fixture(scope="module")
def peace(tmp_path_factory: pytest.TempPathFactory) -> list[bool]:
    """What the pool teaches where nobody means harm."""
    rows: list[bool] = []
    for seed in SEEDS:
        world = World(tmp_path_factory.mktemp("peace"), None, seed)
        assert world.look() == 0, "honest raters are left alone"
        rows += world.taught(world.standing())
        world.store.close()
    return rows


@pytest.mark.parametrize("name", STRATEGIES)
def test_a_fifth_of_hostile_raters_moves_the_pools_precision_by_less_than_two_points(
    name: str, peace: list[bool], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_us: list[bool] = []
    without_us: list[bool] = []
    caught = 0
    for seed in SEEDS:
        world = World(tmp_path / str(seed), STRATEGIES[name], seed)
        without_us += world.taught(ALL_ALIKE)
        caught += world.look()
        with_us += world.taught(world.standing())
        world.store.close()
    calm, defended, undefended = precision(peace), precision(with_us), precision(without_us)
    with capsys.disabled():
        print(
            f"\n{name}: {calm:.2f} % of the pool is right without the attack, {defended:.2f} % with it; "
            f"{undefended:.2f} % with it where all count alike. {len(peace)} rows without, {len(with_us)} with; "
            f"{caught} quarantines in {len(SEEDS)} worlds."
        )
    assert calm - defended < MOST_POINTS
    assert defended > undefended, "an attack that does nothing shows nothing"
    assert len(with_us) > 0.85 * len(peace), "nor is precision bought with an empty pool"
