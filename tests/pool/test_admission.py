"""Admission: one turn, every reason; and the query that brings the turns."""

from __future__ import annotations

import datetime as dt
from collections import Counter

import pytest

from feedback.mint import now
from feedback.pool import Candidate, admit, candidates, unjudged
from feedback.settings import PoolSettings
from feedback.store.database import Store
from feedback.turns import Message, Turn
from tests.fakes.rows import a_rating, a_turn, an_annotation

NOW = now()


def praised(turn: Turn) -> Candidate:
    return Candidate(turn, [a_rating(turn.turn_id)], [])


def said(prompt: str, reply: str, **fields: object) -> Turn:
    return a_turn(messages=[Message(role="user", content=prompt)], reply=reply, **fields)


def test_a_good_turn_is_in_and_its_sample_is_clean(rules: PoolSettings) -> None:
    turn = said("How far\r\nis the moon? ", "About\u200b 384,400 km.\n", conversation_id="c-7", version="1.2.3")
    admission = admit(praised(turn), rules, NOW)
    assert admission.admitted and admission.reasons == ["in:good-by-user"]
    sample = admission.sample
    assert sample is not None
    assert sample.messages == [Message(role="user", content="How far\nis the moon?")]
    assert sample.target == sample.reply == "About 384,400 km."
    assert sample.opening == "How far\r\nis the moon? "  # as it was stored: the side must not move with the cleaning
    assert (sample.turn_id, sample.conversation_id, sample.version) == (turn.turn_id, "c-7", "1.2.3")
    assert (sample.source, sample.judged_by, sample.weight) == ("reply", "user", 0.7)
    assert sample.mended == {"line-ends": 1, "invisible": 1, "ends": 2}


def test_a_corrected_turn_keeps_what_the_model_said(rules: PoolSettings) -> None:
    turn = said("How far is the moon?", "3 km. ")
    admission = admit(
        Candidate(turn, [], [an_annotation(turn.turn_id, accuracy=1, corrected_reply="384,400 km. ")]), rules, NOW
    )
    assert admission.reasons == ["in:corrected-by-expert"]
    assert admission.sample is not None
    assert (admission.sample.target, admission.sample.reply) == ("384,400 km.", "3 km.")
    assert (admission.sample.source, admission.sample.weight) == ("correction", 1.0)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"status": "blocked"}, "out:blocked"),
        ({"status": "cut"}, "out:cut"),
        ({"version": "", "model_tag": "qwen3:4b", "alias": "qwen3:4b"}, "out:other-model"),
        ({"created_at": NOW - dt.timedelta(days=31)}, "out:too-old"),
        ({"reply": " \u200b\n"}, "out:empty-reply"),
        ({"reply": "word " * 1000}, "out:too-long"),
        ({"reply": "word " * 400}, "out:too-long"),
        ({"reply": "no", "messages": [Message(role="user", content="or?")]}, "out:too-short"),
        ({"messages": []}, "out:no-prompt"),
        ({"messages": [Message(role="user", content="hi"), Message(role="assistant", content="I")]}, "out:no-prompt"),
        ({"messages": [Message(role="user", content="\u200b")]}, "out:empty-prompt"),
    ],
)
def test_what_keeps_a_praised_turn_out(fields: dict[str, object], reason: str) -> None:
    rules = PoolSettings(min_tokens=10, max_tokens=300, max_age_days=30)
    turn = a_turn(**{"created_at": NOW, "reply": "A reply of a length that is quite usual for a reply.", **fields})
    admission = admit(praised(turn), rules, NOW)
    assert not admission.admitted
    assert reason in admission.reasons
    assert all(one.startswith("out:") for one in admission.reasons)


def test_every_reason_is_kept(rules: PoolSettings) -> None:
    turn = a_turn(status="cut", created_at=NOW - dt.timedelta(days=9), messages=[], reply="")
    bad = a_rating(turn.turn_id, verdict="down")
    strict = PoolSettings(min_tokens=5, max_age_days=8)
    assert admit(Candidate(turn, [bad], []), strict, NOW).reasons == [
        "out:rated-bad-no-correction", "out:cut", "out:too-old", "out:no-prompt",
    ]  # fmt: skip
    assert admit(praised(turn), strict, NOW).reasons == [
        "out:cut", "out:too-old", "out:no-prompt", "out:empty-reply", "out:too-short",
    ]  # fmt: skip
    assert admit(Candidate(turn, [], []), strict, NOW).reasons[0] == "out:no-verdict"


def test_a_corrected_reply_mends_an_empty_one_but_not_a_cut_one(rules: PoolSettings) -> None:
    for status, admitted in (("whole", True), ("cut", False), ("blocked", False)):
        turn = said("How far is the moon?", "", status=status)
        mended = Candidate(turn, [], [an_annotation(turn.turn_id, accuracy=1, corrected_reply="384,400 km.")])
        assert admit(mended, rules, NOW).admitted is admitted


def test_age_does_not_matter_unless_it_is_set(rules: PoolSettings) -> None:
    assert admit(praised(a_turn(created_at=NOW - dt.timedelta(days=9999))), rules, NOW).admitted


def test_candidates_come_by_id_each_with_what_was_said_of_it(store: Store) -> None:
    turns = [a_turn(turn_id=f"turn-{number}", reply=f"reply {number}") for number in range(5)]
    for turn in reversed(turns):
        store.add_turn(turn).result()
    ratings = [
        a_rating(turns[1].turn_id, rating_id=f"rating-{rater}", rater=rater, comment="好，“谢谢”") for rater in "ab"
    ]
    ratings.append(a_rating(turns[3].turn_id, verdict=None, stars=4, reasons=["clear"], task_completed=True))
    annotations = [an_annotation(turns[number].turn_id, accept=["巴黎"]) for number in (3, 4)]
    for rating in ratings:
        store.add_rating(rating).result()
    for annotation in annotations:
        store.add_annotation(annotation).result()
    with store.reader() as cursor:
        found = list(candidates(cursor))
    assert found == [
        Candidate(turns[1], ratings[:2], []),
        Candidate(turns[3], ratings[2:], annotations[:1]),
        Candidate(turns[4], [], annotations[1:]),
    ]


def test_candidates_cross_the_ends_of_batches(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("feedback.pool.BATCH_ROWS", 3)
    turns = [a_turn(turn_id=f"turn-{number}") for number in range(8)]
    for written in [store.add_turn(turn) for turn in turns] + [store.add_rating(a_rating(t.turn_id)) for t in turns]:
        written.result()
    with store.reader() as cursor:
        assert [one.turn.turn_id for one in candidates(cursor)] == [turn.turn_id for turn in turns]


def test_turns_that_nobody_judged_are_counted_with_their_reasons(store: Store) -> None:
    old = NOW - dt.timedelta(days=40)
    turns = [
        a_turn(created_at=NOW), a_turn(created_at=old), a_turn(created_at=old, status="cut"), a_turn(status="blocked"),
        a_turn(), a_turn(),
    ]  # fmt: skip
    for turn in turns:
        store.add_turn(turn).result()
    store.add_rating(a_rating(turns[4].turn_id)).result()
    store.add_annotation(an_annotation(turns[5].turn_id)).result()
    with store.reader() as cursor:
        assert unjudged(cursor, PoolSettings(max_age_days=30), NOW) == (
            4,
            Counter({"out:no-verdict": 4, "out:too-old": 2, "out:cut": 1, "out:blocked": 1}),
        )
        assert unjudged(cursor, PoolSettings(), NOW)[1]["out:too-old"] == 0
