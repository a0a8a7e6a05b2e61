"""Whatever text people send: it comes back as it was, or is refused by name, and never harms its neighbours."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from feedback.annotations import TIERS
from feedback.errors import InvalidInput
from feedback.settings import StoreSettings
from feedback.store.database import Store
from feedback.turns import Message
from tests.fakes.rows import a_hit, a_rating, a_turn, an_annotation

WHOLE = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
ANY = st.one_of(
    st.text(st.characters(), max_size=40),
    st.sampled_from(["", "\0", "a\0b", "\ud800", "x\udc00", "😀", "汉字，标点。", "\u202e\ufeff", "'; --", "\\ud83d"]),
)  # fmt: skip
TIMES = st.datetimes(timezones=st.just(dt.UTC), min_value=dt.datetime(1, 1, 2), max_value=dt.datetime(9999, 12, 30))
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=True) | ANY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ANY, inner, max_size=3),
    max_leaves=6,
)
COUNT = st.none() | st.integers(-(2**40), 2**40)


def is_whole(value: Any) -> bool:
    """Whether every text in it is Unicode and every number JSON."""
    match value:
        case str():
            return not any(0xD800 <= ord(character) < 0xE000 for character in value)
        case float():
            return value == value and abs(value) != float("inf")
        case dict():
            return all(is_whole(key) and is_whole(inner) for key, inner in value.items())
        case list():
            return all(map(is_whole, value))
        case Message():
            return is_whole(value.content) and is_whole(value.role)
    return True


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = Store.open(StoreSettings(data_dir=tmp_path_factory.mktemp("odd-text")))
    yield store
    store.close()


QUICK = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@QUICK
@given(reply=ANY, content=ANY, subject=ANY, options=st.dictionaries(ANY, JSON, max_size=3), tokens=COUNT, at=TIMES)
def test_a_turn_comes_back_or_is_refused_alone(
    shared: Store, reply: str, content: str, subject: str, options: dict[str, Any], tokens: int | None, at: dt.datetime
) -> None:
    odd = a_turn(
        reply=reply, messages=[Message(role="user", content=content)], subject=subject, options=options,
        prompt_tokens=tokens, created_at=at, filter_hits=[a_hit(rule=subject)],
    )  # fmt: skip
    neighbours = [a_turn(), a_turn()]
    before = shared.add_turn(neighbours[0])
    try:
        shared.add_turn(odd).result(20)
    except InvalidInput as refusal:
        fits = tokens is None or -(2**31) <= tokens < 2**31
        assert not (all(map(is_whole, (reply, content, subject, options))) and fits), refusal
    else:
        assert shared.turn(odd.turn_id) == odd
    after = shared.add_turn(neighbours[1])
    for future, turn in zip((before, after), neighbours, strict=True):
        future.result(20)
        assert shared.turn(turn.turn_id) == turn


@QUICK
@given(text=ANY, reasons=st.lists(ANY, max_size=3), stars=st.none() | st.integers(1, 5), done=st.none() | st.booleans())
def test_a_rating_and_an_annotation_come_back_or_are_refused(
    shared: Store, text: str, reasons: list[str], stars: int | None, done: bool | None
) -> None:
    turn = a_turn()
    shared.add_turn(turn).result(20)
    rating = a_rating(
        turn.turn_id, comment=text, reasons=reasons, stars=stars, task_completed=done, corrected_reply=text or None
    )
    annotation = an_annotation(turn.turn_id, note=text, accept=reasons, annotator=text, tier=TIERS[len(reasons) % 3])
    whole = is_whole(text) and is_whole(reasons)
    if not whole:
        with pytest.raises(InvalidInput):
            shared.add_rating(rating)
        with pytest.raises(InvalidInput):
            shared.add_annotation(annotation)
        return
    shared.add_rating(rating).result(20)
    shared.add_annotation(annotation).result(20)
    assert shared.ratings(turn.turn_id) == [rating]
    assert shared.annotations(turn.turn_id) == [annotation]


def test_a_megabyte_of_text_comes_back_among_small_neighbours(shared: Store) -> None:
    turns = [a_turn(reply="长" * 350_000), a_turn(messages=[Message(role="user", content="\0😀" * 200_000)]), a_turn()]
    for future in [shared.add_turn(turn) for turn in turns]:
        future.result(30)
    for turn in turns:
        assert shared.turn(turn.turn_id) == turn


def test_options_that_json_would_change_are_refused(shared: Store) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    for options in ({"a": (1, 2)}, {"a": float("nan")}, {"a": object()}, {"a": deep}, {1: "a"}):
        with pytest.raises(InvalidInput, match="options"):
            shared.add_turn(a_turn(options=options))


def test_a_time_without_a_zone_is_refused(shared: Store) -> None:
    with pytest.raises(InvalidInput, match="created_at has no time zone"):
        shared.add_turn(a_turn(created_at=dt.datetime(2026, 1, 1)))


def test_a_refusal_quotes_nobodys_text(shared: Store, caplog: pytest.LogCaptureFixture) -> None:
    said = []
    for odd in (
        {"reply": "my secret \ud800"},
        {"options": {"my secret": {1}}},
        {"reply": "my secret", "total_ms": "mine"},
    ):
        with pytest.raises(InvalidInput) as refusal:
            shared.add_turn(a_turn(**odd)).result(20)
        said.append(str(refusal.value))
    assert not any("secret" in text for text in (*said, caplog.text)), said
