"""Freezing: what becomes of turns, what is counted, and the same content giving the same snapshot."""

from __future__ import annotations

import datetime as dt
import random
from pathlib import Path

import pytest

from feedback.errors import InvalidSettings, NothingToLearn
from feedback.freeze import freeze, pool_counts
from feedback.mint import now
from feedback.settings import PoolSettings, StoreSettings
from feedback.snapshot import Snapshot, SnapshotManifest, load_snapshot
from feedback.split import Side, split_of
from feedback.store.database import Store
from feedback.turns import Message, Turn
from tests.fakes.rows import a_rating, a_turn, an_annotation


def openings(side: Side, rules: PoolSettings, count: int) -> list[str]:
    """Openings of one side, far apart from each other."""
    rng = random.Random(1)
    found: list[str] = []
    while len(found) < count:
        text = "".join(rng.choices("abcdefghijklmnopqrstuvwxyz ", k=40)).strip()
        if split_of(text, rules) == side:
            found.append(text)
    return found


def asked(prompt: str, reply: str = "A reply.", **fields: object) -> Turn:
    return a_turn(messages=[Message(role="user", content=prompt)], reply=reply, **{"conversation_id": prompt, **fields})


def put(store: Store, *items: object) -> None:
    """Store turns, ratings and annotations, and wait until they are."""
    kinds = {"turn": store.add_turn, "rating": store.add_rating, "annotation": store.add_annotation}
    for write in [kinds[type(item).__name__.lower()](item) for item in items]:  # type: ignore[operator]
        write.result()


def frozen(store: Store, rules: PoolSettings, folder: Path, guard: tuple[str, ...] = ()) -> Snapshot:
    with store.reader() as cursor:
        manifest = freeze(cursor, rules, folder, None, guard)
    return load_snapshot(folder / manifest.id)


def reasons(manifest: SnapshotManifest) -> dict[str, int]:
    return {reason: count for step in manifest.steps for reason, count in step.reasons.items()}


def test_replies_and_corrections_become_rows_and_corrections_preferences(
    store: Store, rules: PoolSettings, tmp_path: Path
) -> None:
    first, second, third = (asked(text, version="2.0.0") for text in openings("train", rules, 3))
    put(store, first, a_rating(first.turn_id))
    put(store, second, an_annotation(second.turn_id, accuracy=1, corrected_reply="Better."))
    put(store, third, a_rating(third.turn_id, verdict="down", corrected_reply="Mine."))
    snapshot = frozen(store, rules, tmp_path / "snapshots")
    rows = {row.turn_id: row for row in snapshot.sft("train")}
    assert {turn: (row.reply, row.source, row.judged_by, row.weight) for turn, row in rows.items()} == {
        first.turn_id: ("A reply.", "reply", "user", 0.7),
        second.turn_id: ("Better.", "correction", "expert", 1.0),
        third.turn_id: ("Mine.", "correction", "user", 0.7),
    }
    assert {row.version for row in rows.values()} == {"2.0.0"}
    assert rows[first.turn_id].messages == first.messages
    assert {(row.turn_id, row.chosen, row.rejected) for row in snapshot.preferences("train")} == {
        (second.turn_id, "Better.", "A reply."),
        (third.turn_id, "Mine.", "A reply."),
    }


def test_users_make_no_held_out_items_and_annotators_do(store: Store, rules: PoolSettings, tmp_path: Path) -> None:
    learnt = asked(openings("train", rules, 1)[0])
    liked, corrected, graded = (asked(text) for text in openings("heldout", rules, 3))
    put(store, learnt, a_rating(learnt.turn_id))
    put(store, liked, a_rating(liked.turn_id))
    put(store, corrected, a_rating(corrected.turn_id, verdict="down", corrected_reply="banana"))
    put(
        store,
        graded,
        an_annotation(graded.turn_id, tier="annotator", accuracy=1, corrected_reply="Paris.", accept=["Paris"]),
    )
    snapshot = frozen(store, rules, tmp_path / "snapshots")
    (item,) = snapshot.heldout()
    assert (item.turn_id, item.reference, item.accept) == (graded.turn_id, "Paris.", ["Paris"])
    assert (item.judged_by, item.reply, item.version) == ("annotator", "A reply.", graded.version)
    assert [row.turn_id for row in snapshot.sft("train")] == [learnt.turn_id]
    assert reasons(snapshot.manifest)["out:heldout-judged-by-users-only"] == 2


def test_blocked_cut_and_bad_turns_teach_nothing(store: Store, rules: PoolSettings, tmp_path: Path) -> None:
    texts = openings("train", rules, 4)
    good, blocked, cut, bad = (
        asked(texts[0]),
        asked(texts[1], status="blocked"),
        asked(texts[2], status="cut"),
        asked(texts[3]),
    )
    for turn in (good, blocked, cut, bad):
        put(store, turn, a_rating(turn.turn_id, verdict="down" if turn is bad else "up"))
    snapshot = frozen(store, rules, tmp_path / "snapshots")
    assert [row.turn_id for row in snapshot.sft("train")] == [good.turn_id]
    found = reasons(snapshot.manifest)
    assert (found["out:blocked"], found["out:cut"], found["out:rated-bad-no-correction"]) == (1, 1, 1)


def test_of_exact_copies_the_best_judged_is_kept_and_of_those_the_latest(
    store: Store, rules: PoolSettings, tmp_path: Path
) -> None:
    prompt = openings("train", rules, 1)[0]
    early, late = now(), now() + dt.timedelta(hours=1)
    by_user, by_expert_early, by_expert, other = (
        asked(text, reply)
        for text, reply in (
            (f"{prompt}?", "Yes, it is."), (prompt.upper(), "Yes,  it is"), (f"\n{prompt}", "yes, it is!"),
            (prompt, "No."),
        )
    )  # fmt: skip
    put(store, by_expert, by_user, by_expert_early, other, a_rating(other.turn_id))
    put(store, a_rating(by_user.turn_id, created_at=late + dt.timedelta(hours=1)))
    put(
        store,
        an_annotation(by_expert_early.turn_id, created_at=early),
        an_annotation(by_expert.turn_id, created_at=late),
    )
    snapshot = frozen(store, rules, tmp_path / "snapshots")
    assert {row.turn_id for row in snapshot.sft("train")} == {by_expert.turn_id, other.turn_id}
    assert reasons(snapshot.manifest)["out:exact-copy"] == 2


def test_what_differs_in_its_history_is_no_copy(store: Store, rules: PoolSettings, tmp_path: Path) -> None:
    opening = openings("train", rules, 1)[0]
    for middle in ("It is red.", "It is blue."):
        messages = [
            Message(role="user", content=opening),
            Message(role="assistant", content=middle),
            Message(role="user", content="Are you sure?"),
        ]
        turn = a_turn(messages=messages, reply="Yes.")
        put(store, turn, a_rating(turn.turn_id))
    assert len(frozen(store, rules, tmp_path / "snapshots").sft("train")) == 2


def test_nothing_near_a_guarded_text_is_trained_or_validated_on(
    store: Store, rules: PoolSettings, tmp_path: Path
) -> None:
    train, validation = openings("train", rules, 3), openings("validation", rules, 2)
    for text in train + validation:
        turn = asked(text)
        put(store, turn, a_rating(turn.turn_id))
    guard = (f"  {train[0].upper()}??", validation[0], "something else entirely")
    snapshot = frozen(store, rules, tmp_path / "snapshots", guard)
    assert {row.messages[0].content for row in snapshot.sft("train")} == set(train[1:])
    assert {row.messages[0].content for row in snapshot.sft("validation")} == {validation[1]}
    assert reasons(snapshot.manifest)["out:near-guarded"] == 2


def test_a_held_out_question_that_was_pasted_in_is_known_again_without_its_markup(
    store: Store, rules: PoolSettings, tmp_path: Path
) -> None:
    """Sides are decided by the stored text, copies are looked for in the cleaned one."""
    other, *plain = openings("train", rules, 30)
    pasted, same = next(
        (text, question)
        for question in plain
        for text in [f"<!--StartFragment--><p class=MsoNormal>{question}<o:p></o:p></p><!--EndFragment-->"]
        if split_of(text, rules) == "heldout"
    )
    for turn in (asked(pasted), asked(same), asked(other)):
        put(store, turn, an_annotation(turn.turn_id))
    snapshot = frozen(store, rules, tmp_path / "snapshots")
    assert [item.messages[0].content for item in snapshot.heldout()] == [same]
    assert [row.messages[0].content for row in snapshot.sft("train")] == [other]


def test_a_conversation_whose_client_forgets_its_opening_stays_held_out(
    store: Store, rules: PoolSettings, tmp_path: Path
) -> None:
    """A client that names its conversations and sends only the last messages: the opening moves to another side."""
    heldout, later, other = openings("heldout", rules, 1)[0], *openings("train", rules, 2)
    turns = [asked(heldout, conversation_id="talk-1"), asked(later, conversation_id="talk-1"), asked(other)]
    for turn in turns:
        put(store, turn, an_annotation(turn.turn_id))
    snapshot = frozen(store, rules, tmp_path / "snapshots")
    assert [row.turn_id for row in snapshot.sft("train")] == [turns[2].turn_id]
    assert reasons(snapshot.manifest)["out:conversation-held-out"] == 1


def test_a_held_out_question_that_users_alone_asked_does_not_keep_it_from_being_learnt(
    store: Store, rules: PoolSettings, tmp_path: Path
) -> None:
    question = openings("train", rules, 1)[0]
    hostile = a_turn(
        conversation_id="hostile",
        messages=[
            Message(role="user", content=openings("heldout", rules, 1)[0]),
            Message(role="assistant", content="Yes?"),
            Message(role="user", content=question),
        ],
    )
    honest = asked(question)
    put(store, hostile, a_rating(hostile.turn_id), honest, a_rating(honest.turn_id))
    assert [row.turn_id for row in frozen(store, rules, tmp_path / "snapshots").sft("train")] == [honest.turn_id]
    put(store, an_annotation(hostile.turn_id, accuracy=1))  # judged bad: no item, but part of the yardstick's side
    with pytest.raises(NothingToLearn, match="near-heldout 1"):
        frozen(store, rules, tmp_path / "snapshots")


def test_too_few_rows_say_how_many_were_lost_where(store: Store, tmp_path: Path) -> None:
    rules = PoolSettings(min_tokens=30, min_train_rows=2)
    turns = [asked(text) for text in openings("train", rules, 5)]
    put(store, *turns, *(a_rating(turn.turn_id) for turn in turns[:3]))
    with pytest.raises(NothingToLearn) as caught:
        frozen(store, rules, tmp_path / "snapshots")
    assert caught.value.message == (
        "0 training rows from 5 turns, fewer than pool.min_train_rows = 2 (too-short 3, no-verdict 2)."
    )
    assert "pool.min_tokens" in caught.value.mend
    assert not (tmp_path / "snapshots").exists()


def test_an_empty_store_has_nothing_to_learn(store: Store, rules: PoolSettings, tmp_path: Path) -> None:
    with pytest.raises(NothingToLearn, match="0 training rows from 0 turns"):
        frozen(store, rules, tmp_path / "snapshots")
    with store.reader() as cursor:
        assert pool_counts(cursor, rules)["turns"] == 0


def test_the_pool_is_counted_by_reason(store: Store, rules: PoolSettings) -> None:
    train, validation, heldout = (openings(side, rules, 3) for side in ("train", "validation", "heldout"))
    liked = [asked(text) for text in [*train, *validation[:1], *heldout[:1]]]
    graded = [asked(text) for text in heldout[1:]]
    put(store, *liked, *(a_rating(turn.turn_id) for turn in liked))
    put(store, *graded, *(an_annotation(turn.turn_id) for turn in graded), a_turn(), a_turn(status="cut"))
    with store.reader() as cursor:
        assert pool_counts(cursor, rules) == {
            "turns": 9, "in": 6, "out": 3,
            "in:good-by-expert": 2, "in:good-by-user": 5,
            "out:cut": 1, "out:heldout-judged-by-users-only": 1, "out:no-verdict": 2,
            "side:train": 3, "side:validation": 1, "side:heldout": 2,
        }  # fmt: skip


def test_the_manifest_accounts_for_every_turn(store: Store, rules: PoolSettings, tmp_path: Path) -> None:
    train = openings("train", rules, 4)
    turns = [asked(text, turn_id=f"turn-{number}") for number, text in enumerate([*train, train[0]])]
    put(store, *turns, *(a_rating(turn.turn_id) for turn in turns[1:]))
    manifest = frozen(store, rules, tmp_path / "snapshots", (train[1],)).manifest
    assert [(step.step, step.rows_in, step.rows_out) for step in manifest.steps] == [
        ("admission", 5, 4), ("cleaning", 4, 4), ("split", 4, 4), ("exact-copies", 4, 4), ("near-copies", 4, 3),
    ]  # fmt: skip
    assert manifest.files["sft-train.parquet"].rows == 3
    parents = manifest.parents
    assert (parents.turns, parents.ratings, parents.annotations) == (5, 4, 0)
    assert (parents.first_turn_id, parents.last_turn_id) == ("turn-0", "turn-4")


def test_the_same_content_in_another_order_or_after_a_reopen_is_the_same_snapshot(
    tmp_path: Path, rules: PoolSettings
) -> None:
    rng = random.Random(2)
    items: list[object] = []
    for side in ("train", "validation", "heldout"):
        for text in openings(side, rules, 12):
            turn = asked(text, reply=f"Reply {rng.random()}", created_at=now())
            said = [a_rating(turn.turn_id, rater=rater, verdict=rng.choice(["up", "down"])) for rater in "abc"]
            said.append(
                an_annotation(turn.turn_id, accuracy=rng.choice([1, 4]), corrected_reply=rng.choice([None, "Better."]))
            )
            items.append((turn, said))
    manifests = []
    for name in ("one", "other"):
        settings = StoreSettings(data_dir=tmp_path / name)
        for half in (items[: len(items) // 2], items[len(items) // 2 :]):  # reopened in between
            opened = Store.open(settings)
            put(opened, *(turn for turn, _ in half))  # type: ignore[misc]
            put(opened, *rng.sample([one for _, said in half for one in said], k=4 * len(half)))  # type: ignore[misc]
            opened.close()
        opened = Store.open(settings)
        with opened.reader() as cursor:
            manifests.append(freeze(cursor, rules, tmp_path / name / "snapshots", None))
            assert freeze(cursor, rules, tmp_path / name / "snapshots", None) == manifests[-1]
        opened.close()
        assert len(list((tmp_path / name / "snapshots").iterdir())) == 1
        rng.shuffle(items)
    assert manifests[0].id == manifests[1].id
    assert manifests[0].files == manifests[1].files


def test_a_new_verdict_is_a_new_snapshot_and_leaves_the_old_one(
    store: Store, rules: PoolSettings, tmp_path: Path
) -> None:
    first, second = (asked(text) for text in openings("train", rules, 2))
    put(store, first, second, a_rating(first.turn_id))
    old = frozen(store, rules, tmp_path / "snapshots")
    put(store, a_rating(second.turn_id))
    new = frozen(store, rules, tmp_path / "snapshots")
    assert old.manifest.id != new.manifest.id
    assert [row.turn_id for row in load_snapshot(old.folder).sft("train")] == [first.turn_id]


@pytest.mark.parametrize(
    "rules",
    [
        PoolSettings(near_copy_similarity=0.0),
        PoolSettings(near_copy_similarity=80),
        PoolSettings(heldout_percent=70, validation_percent=40),
        PoolSettings(validation_percent=-1),
    ],
)
def test_rules_out_of_range_are_refused_by_name(store: Store, rules: PoolSettings, tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match=r"pool\."):
        frozen(store, rules, tmp_path / "snapshots")
