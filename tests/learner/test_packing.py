"""Order and packing: every row once an epoch, the same for whoever asks, and a pack that is its rows and no more."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from learner.packing import Pack, epoch_steps, pack_rows, steps_in_epoch, total_weight
from learner.settings import RecipeSettings
from learner.tokens import TokenRow

RECIPE = RecipeSettings(batch_rows=3, accumulate=2, seed=4)


@st.composite
def token_rows(draw: st.DrawFn) -> list[TokenRow]:
    """Rows of few different tokens, so that they often begin alike."""
    small = st.integers(0, 2)
    pairs = draw(
        st.lists(
            st.tuples(st.lists(small, min_size=1, max_size=9), st.lists(small, min_size=1, max_size=5)),
            min_size=1,
            max_size=9,
        )
    )
    return [
        TokenRow(row_id=str(number), ids=prompt + reply, prompt=len(prompt), weight=0.25 * (number + 1))
        for number, (prompt, reply) in enumerate(pairs)
    ]


def rows_of(pack: Pack) -> list[tuple[list[int], list[int], list[float]]]:
    """Take a pack apart again: each row's input, its targets and their weights."""
    found = []
    for segment in sorted(set(pack.segments) - {0}) or [1]:
        seen = [index for index, of in enumerate(pack.segments) if of in (0, segment)]
        assert [pack.positions[index] for index in seen] == list(range(len(seen)))
        mine = [number for number, source in enumerate(pack.sources) if pack.segments[source] == segment]
        sources = [seen.index(pack.sources[number]) for number in mine]
        assert sources == list(range(len(seen) - len(mine), len(seen))), "each target follows the token before it"
        found.append(
            ([pack.ids[index] for index in seen], [pack.targets[n] for n in mine], [pack.weights[n] for n in mine])
        )
    return found


@given(token_rows(), st.integers(1, 4), st.integers(4, 40))
def test_packs_hold_every_row_whole_and_in_order(rows: list[TokenRow], most: int, tokens: int) -> None:
    packs = pack_rows(rows, most, tokens)
    found = [row for pack in packs for row in rows_of(pack)]
    wanted = [(row.ids[:-1], row.ids[row.prompt :], [row.weight] * (len(row.ids) - row.prompt)) for row in rows]
    assert found == wanted
    assert sum(pack.row_tokens for pack in packs) == sum(len(row.ids) for row in rows)
    for pack in packs:
        count = len(set(pack.segments) - {0})
        assert count <= most and (len(pack.ids) <= tokens or count == 1)


def test_what_all_rows_begin_with_stands_in_a_pack_once() -> None:
    system = list(range(100, 130))
    rows = [TokenRow(row_id=str(n), ids=[*system, n, 50, 60 + n, 2], prompt=32) for n in range(5)]
    [pack] = pack_rows(rows, 8, 512)
    assert len(pack.ids) == 30 + 5 * 3
    assert pack.row_tokens == 5 * 34


def test_an_epoch_holds_every_row_once_in_an_order_of_its_own() -> None:
    for workers in (1, 2):
        steps = epoch_steps(40, RECIPE, epoch=1, workers=workers)
        assert len(steps) == steps_in_epoch(40, RECIPE, workers)
        assert sorted(number for step in steps for number in step) == list(range(40))
        shares = [number for step in steps for rank in range(workers) for number in step[rank::workers]]
        assert sorted(shares) == list(range(40)), "the workers' shares are the step"
    assert epoch_steps(40, RECIPE, 1, 1) == epoch_steps(40, RECIPE, 1, 1)
    assert epoch_steps(40, RECIPE, 1, 1) != epoch_steps(40, RECIPE, 2, 1)


def test_a_row_weighs_as_its_reply_tokens_do() -> None:
    rows = [TokenRow(row_id="a", ids=[1, 2, 3, 4], prompt=2, weight=0.5), TokenRow(row_id="b", ids=[1, 2], prompt=1)]
    assert total_weight(rows) == 2 * 0.5 + 1
