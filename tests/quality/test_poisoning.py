"""Signs of poisoning, in a real store: floods, bursts, one comment from many mouths; and what a lift does."""

from __future__ import annotations

import datetime as dt

import pytest

from feedback.mint import new_id
from feedback.quality.looking import look
from feedback.quality.poisoning import Comment, bursts, near_identical, over_quota, read_comments
from feedback.quality.quarantine import AlreadyLifted, Book, Finding, UnknownQuarantine
from feedback.quality.records import Quarantine
from feedback.ratings import Rating
from feedback.settings import QualitySettings
from feedback.store.database import Store
from feedback.store.tables import ANNOTATIONS, QUARANTINES, RATINGS, TURNS
from feedback.turns import Turn
from tests.fakes.rows import a_rating, a_turn, an_annotation

NOW = dt.datetime(2026, 11, 24, 12, tzinfo=dt.UTC)
SINCE = NOW - dt.timedelta(days=10)
RULES = QualitySettings(ratings_per_day=3, subject_ratings_per_day=8, burst_ratings=5, burst_seconds=60)
PRAISE = "This is the very best answer of them all"
CHINESE = "这个回答完全正确，非常有帮助，推荐大家参考"


def after(seconds: float) -> dt.datetime:
    return NOW - dt.timedelta(days=2) + dt.timedelta(seconds=seconds)


def turns(store: Store, count: int, **fields: str) -> list[Turn]:
    made = [a_turn(**fields) for _ in range(count)]
    for one in [store.add(TURNS, turn) for turn in made]:
        one.result()
    return made


def rate(store: Store, made: list[Turn], gap_s: float, rater: str = "eve", start_s: float = 0) -> list[Rating]:
    given = [
        a_rating(turn.turn_id, rater=rater, created_at=after(start_s + at * gap_s)) for at, turn in enumerate(made)
    ]
    for one in [store.add(RATINGS, rating) for rating in given]:
        one.result()
    return given


def test_a_burst_is_nobody_reading(store: Store) -> None:
    rate(store, turns(store, 5), 10)
    rate(store, turns(store, 5), 20, "ann")
    with store.reader() as cursor:
        (found,) = bursts(cursor, RULES, SINCE, {})
    assert (found.kind, found.target, found.reason) == ("rater", "eve", "burst")
    assert found.evidence == "5 verdicts within 60 s; 5 are many."


def test_an_annotator_may_burst_as_well(store: Store) -> None:
    for at, turn in enumerate(turns(store, 5)):
        store.add(
            ANNOTATIONS, an_annotation(turn.turn_id, annotator="mei", tier="annotator", created_at=after(at))
        ).result()
    with store.reader() as cursor:
        assert [one.target for one in bursts(cursor, RULES, SINCE, {})] == ["mei"]


def test_what_was_imported_came_at_once_and_who_gives_no_name_is_no_one(store: Store) -> None:
    rate(store, turns(store, 5, model_tag="imported:argilla"), 1)
    rate(store, turns(store, 40), 1, "")
    with store.reader() as cursor:
        assert bursts(cursor, RULES, SINCE, {}) == []
        assert over_quota(cursor, RULES, SINCE, {}) == []


def test_only_what_is_beyond_the_days_quota_is_doubted(store: Store) -> None:
    given = rate(store, turns(store, 5), 600)
    rate(store, turns(store, 3), 600, "ann")
    rate(store, turns(store, 3), 600, "eve", start_s=86_400)
    with store.reader() as cursor:
        found = over_quota(cursor, RULES, SINCE, {})
    assert [(one.kind, one.target) for one in found] == [("rating", one.rating_id) for one in given[3:]]
    assert {one.evidence for one in found} == {"5 verdicts by one rater in a day; 3 count."}


def test_a_flood_is_the_raters(store: Store) -> None:
    rate(store, turns(store, 16), 600)
    with store.reader() as cursor:
        (found,) = over_quota(cursor, RULES, SINCE, {})
    assert (found.kind, found.target) == ("rater", "eve")


def test_many_names_about_one_persons_turns_have_a_quota_too(store: Store) -> None:
    mine = turns(store, 10, subject="li")
    for at, turn in enumerate(mine):
        rate(store, [turn], 0, f"name-{at}", start_s=at * 60)
    with store.reader() as cursor:
        found = over_quota(cursor, RULES, SINCE, {})
    assert len(found) == 2 and {one.kind for one in found} == {"rating"}


@pytest.mark.parametrize("text", [PRAISE, CHINESE])
def test_one_comment_from_many_mouths_is_a_campaign(text: str) -> None:
    said = [comment(f"r{at}", f"{text}{'!' * at}") for at in range(5)]
    others = [comment("ann", "The second paragraph forgets the date."), comment("bob", "很好"), comment("cem", "很好")]
    found = near_identical([*said, *others], QualitySettings())
    assert {one.target for one in found} == {one.verdict_id for one in said}
    assert {one.evidence for one in found} == {"One of 5 near-identical comments by 5 raters."}


def test_a_campaigner_is_doubted_whole() -> None:
    said = [comment(rater, PRAISE) for rater in ("eve", "eve", "eve", "eve", "eve", "bob", "cem")]
    found = near_identical(said, QualitySettings())
    assert [(one.kind, one.target) for one in found][:1] == [("rater", "eve")]
    assert {one.target for one in found[1:]} == {one.verdict_id for one in said[5:]}


def test_one_person_of_few_words_is_no_campaign() -> None:
    assert near_identical([comment("ann", PRAISE) for _ in range(14)], QualitySettings()) == []
    assert near_identical([comment("ann", PRAISE) for _ in range(15)], QualitySettings()) != []
    assert near_identical([comment(f"r{at}", "thanks a lot") for at in range(9)], QualitySettings(copies_least=0)) == []


def test_evidence_never_holds_anybodys_text(store: Store) -> None:
    for at, turn in enumerate(turns(store, 6)):
        store.add(RATINGS, a_rating(turn.turn_id, rater=f"r{at}", comment=PRAISE, created_at=after(at))).result()
    with store.reader() as cursor:
        assert len(read_comments(cursor, SINCE)) == 6
        fresh = look(cursor, QualitySettings(), NOW).fresh
    assert len(fresh) == 6
    assert not any("best" in one.evidence for one in fresh)


def test_a_later_look_leaves_old_floods_to_the_one_before(store: Store) -> None:
    rate(store, turns(store, 16), 600)
    with store.reader() as cursor:
        assert [one.target for one in look(cursor, RULES, NOW, after(86_000)).fresh] == ["eve"]
        assert look(cursor, RULES, NOW, after(4 * 86_400)).fresh == []


def test_what_was_lifted_is_not_raised_again_on_the_same_evidence(store: Store) -> None:
    made = turns(store, 5)
    rate(store, made, 1)
    with store.reader() as cursor:
        (first,) = look(cursor, RULES, NOW).fresh[:1]
    store.add(QUARANTINES, first).result()
    with store.reader() as cursor:
        book = Book.read(cursor)
        assert [one.target for one in look(cursor, RULES, NOW).fresh if one.kind == "rater"] == []
    lift = book.lift(first.quarantine_id, "ada", "a demonstration", after(3600))
    lifted = Book(book.held, [lift])
    with store.reader() as cursor:
        assert bursts(cursor, RULES, SINCE, lifted.forgiven()) == []
    rate(store, turns(store, 5), 1, start_s=7200)
    with store.reader() as cursor:
        assert [one.target for one in bursts(cursor, RULES, SINCE, lifted.forgiven())] == ["eve"]


def test_a_verdict_that_was_lifted_stays_lifted() -> None:
    finding = Finding(kind="rating", target="rating-1", reason="over-quota", evidence="many")
    (row,) = Book([], []).new([finding, finding], NOW)
    assert Book([row], []).new([finding], NOW) == []
    lift = Book([row], []).lift(row.quarantine_id, "ada", "", NOW)
    assert Book([row], [lift]).new([finding], NOW) == []
    with pytest.raises(AlreadyLifted):
        Book([row], [lift]).lift(row.quarantine_id, "ada", "", NOW)
    with pytest.raises(UnknownQuarantine):
        Book([], []).lift(new_id("quarantine"), "ada", "", NOW)


def test_a_book_shows_the_newest_first_and_what_holds() -> None:
    rows = [
        Quarantine(
            quarantine_id=f"quarantine-{at}", created_at=NOW, kind="rater", target=f"r{at}", reason="burst", evidence=""
        )
        for at in range(3)
    ]
    book = Book(rows, [Book(rows, []).lift("quarantine-1", "ada", "", NOW)])
    assert [one.quarantine.target for one in book.shown] == ["r2", "r1", "r0"]
    assert book.raters == frozenset({"r0", "r2"}) and book.verdicts == frozenset()


def comment(rater: str, text: str) -> Comment:
    return Comment(kind="rating", verdict_id=new_id("rating"), rater=rater, text=text)
