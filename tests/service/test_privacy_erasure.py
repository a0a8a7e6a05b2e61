"""Whoever is erased is gone: from every table, file and byte, also when the process dies on the way."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from feedback.erasure import Erasure, hash_of
from feedback.errors import InvalidInput, Unauthorized, UnknownTurn
from feedback.settings import StoreSettings
from feedback.snapshot import load_snapshot
from feedback.store.database import Store
from learner.evaluate import read_answers
from learner.records import read_erased
from learner.report import read_report
from service.keys.inputs import KeyInput
from service.keys.ring import KeyRing
from service.privacy.erasing import Eraser
from service.privacy.versions import mark_versions
from tests.fakes.privacy_world import HERS, SECRETS, SHARED, WHO, sha
from tests.fakes.rows import a_rating, a_turn

ROOT = Path(__file__).parents[2]


@pytest.fixture
def ids(built: tuple[Path, dict[str, Any]]) -> dict[str, Any]:
    return built[1]


@pytest.fixture
def store(data: Path) -> Iterator[Store]:
    opened = Store.open(StoreSettings(data_dir=data))
    yield opened
    opened.close()


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item)


def traces(data: Path, store: Store | None) -> set[str]:
    """Where her name or her words are still found: by bytes in every file, and by reading what is compressed."""
    marks = (*SECRETS, WHO)
    found = set()
    for file in data.rglob("*"):
        if not file.is_file():
            continue
        content = file.read_bytes() if not (store and file.suffix in (".duckdb", ".wal")) else b""
        read = [pq.read_table(file).to_pylist()] if file.suffix == ".parquet" else []
        if any(mark.encode() in content for mark in marks) or any(
            mark in text for text in texts(read) for mark in marks
        ):
            found.add(str(file.relative_to(data)))
    if store is not None:
        with store.reader() as cursor:
            tables = cursor.execute(
                "SELECT table_name FROM duckdb_tables() WHERE database_name = current_database()"
            ).fetchall()
            for (table,) in tables:
                rows = cursor.execute(f'SELECT * FROM "{table}"').fetchall()
                if any(mark in text for text in texts(rows) for mark in marks):
                    found.add(f"table {table}")
    return found


def erased(store: Store, data: Path, kind: Any = "subject", whose: str = WHO) -> Erasure:
    eraser = Eraser(store, data)
    erasure = eraser.begin(kind, whose, note="asked by letter")
    eraser.go_on()
    return eraser.book.read(erasure.erasure_id)


def test_her_words_lie_everywhere_before(data: Path, store: Store):
    found = traces(data, store)
    assert {
        "table turns",
        "table ratings",
        "table annotations",
        "table api_keys",
        "runs/run-1/answers.jsonl",
        "logs/gateway.log",
    } <= found
    assert "registry/assistant/1.1.0/report.md" in found and f"attachments/{sha(HERS)}" in found
    assert sum("parquet" in name for name in found) >= 3  # train, validation and held out


def test_she_is_gone_and_the_others_are_as_they_were(data: Path, store: Store, ids: dict[str, Any]):
    kept = [(store.turn(one), store.ratings(one), store.annotations(one)) for one in ids["others"]]
    before = load_snapshot(data / "snapshots" / ids["snapshot"])
    rows = (before.sft("train"), before.sft("validation"), before.heldout())
    erasure = erased(store, data)
    assert traces(data, store) == set()
    assert erasure.state == "done" and erasure.finished_at is not None
    assert (erasure.turns, erasure.ratings, erasure.annotations, erasure.attachments) == (20, 21, 21, 1)
    for turn, rated, annotated in kept:
        assert store.turn(turn.turn_id) == turn
        assert store.ratings(turn.turn_id) == [one for one in rated if one.rater != WHO]
        assert store.annotations(turn.turn_id) == [one for one in annotated if one.annotator != WHO]
    gone = {*ids["hers"], ids["others"][3]}  # what she corrected is her words, too
    after = load_snapshot(data / "snapshots" / ids["snapshot"])
    assert (after.sft("train"), after.sft("validation"), after.heldout()) == tuple(
        [row for row in part if row.turn_id not in gone] for part in rows
    )
    assert erasure.snapshots == {ids["snapshot"]: sum(sum(one.rows.values()) for one in after.manifest.redactions)}
    assert (data / "attachments" / sha(SHARED)).exists()


def test_runs_and_reports_lose_her_examples_only_and_can_be_read(data: Path, store: Store, ids: dict[str, Any]):
    erasure = erased(store, data)
    left = {one.item for one in read_answers(data / "runs/run-1/answers.jsonl")}
    assert left == set(ids["others"]) - {ids["others"][3]}
    assert len(read_report(data / "runs/run-1").examples) == 2 and erasure.answers == 21 + 2
    for page in (data / "runs/run-1/report.md", data / "registry/assistant/1.1.0/report.md"):
        text = page.read_text("utf-8")
        assert text.count("- before (0.00): no") == 2 and "*An example was erased.*" in text
        assert "## Where it comes from" in text
    lines = (data / "logs/gateway.log").read_bytes().splitlines()
    assert [msgspec.json.decode(line)["text"].strip("-") for line in lines] == ["", "other"]


def test_the_version_that_was_trained_on_it_is_marked(data: Path, store: Store, ids: dict[str, Any]):
    erasure = erased(store, data)
    assert erasure.versions == ["assistant:1.1.0"]
    (mark,) = read_erased(data / "registry/assistant/1.1.0")
    assert (mark.erasure_id, mark.snapshot) == (erasure.erasure_id, ids["snapshot"])
    assert 0 < mark.rows < erasure.snapshots[ids["snapshot"]]  # held-out rows are not trained on


def test_a_version_that_a_cycle_registers_later_is_marked_as_well(data: Path, store: Store, ids: dict[str, Any]):
    erased(store, data)
    folder = Path(shutil.copytree(data / "registry/assistant/1.1.0", data / "registry/assistant/1.2.0"))
    (folder / "trained_on_erased_data.jsonl").unlink()
    assert set(mark_versions(data)) == set(mark_versions(data)) == {"assistant:1.1.0", "assistant:1.2.0"}
    assert [line.snapshot for line in read_erased(folder)] == [ids["snapshot"]]


def test_who_has_nothing_here_costs_no_writing_anew(data: Path, store: Store, monkeypatch):
    monkeypatch.setattr(store, "compact", lambda: pytest.fail("nothing was removed"))
    erasure = erased(store, data, whose="nobody")
    assert (erasure.state, erasure.turns, erasure.snapshots, erasure.versions) == ("done", 0, {}, [])


def test_the_record_holds_a_salted_hash_and_no_name(data: Path, store: Store):
    erasure = erased(store, data)
    (file,) = [one for one in (data / "erasures").iterdir()]
    assert file.name == f"{erasure.erasure_id}.json"
    assert erasure.whose_sha256 == hash_of(erasure.salt, WHO) and erasure.note == "asked by letter"
    again = erased(store, data)
    assert again.whose_sha256 != erasure.whose_sha256 and (again.turns, again.snapshots) == (0, {})
    assert len(read_erased(data / "registry/assistant/1.1.0")) == 1


def test_one_conversation_and_one_turn(data: Path, store: Store, ids: dict[str, Any]):
    assert erased(store, data, "conversation", "conversation-1").turns == 1
    with pytest.raises(UnknownTurn):
        store.turn(ids["hers"][0])
    assert erased(store, data, "turn", ids["hers"][1]).turns == 1
    assert store.counts()["turns"] == 58


def keys_left(store: Store) -> dict[str, tuple[str, str]]:
    return {key.key_id: (key.subject, key.name) for key in store.api_keys()}


def test_her_keys_open_nothing_at_once_and_nobody_reads_whose_they_were(data: Path, store: Store):
    ring = KeyRing(store)
    eraser = Eraser(store, data, ring)
    erasure = eraser.begin("subject", WHO)
    eraser.go_on()
    assert eraser.book.read(erasure.erasure_id).keys == 2
    for key_id in ("key-1", "key-2"):
        key = ring.get(key_id)
        assert (key.made.subject, key.made.name, key.caller.subject) == ("", "", "")
        with pytest.raises(Unauthorized):
            key.check()
    assert ring.get("key-3").check().subject == "user-1"
    assert keys_left(store) == {"key-1": ("", ""), "key-2": ("", ""), "key-3": ("user-1", "other")}
    assert not KeyRing(store).get("key-1").live, "and after a restart"
    assert erased(store, data).keys == 0 and len(store.revocations()) == 2, "again it finds nothing"


def test_keys_go_though_nothing_was_ever_asked_with_them(data: Path, store: Store):
    made = msgspec.structs.replace(store.api_keys()[0], key_id="key-4", subject="karl", name="karl's phone")
    store.add_key(made).result()
    assert (erased(store, data, whose="karl").state, keys_left(store)["key-4"]) == ("done", ("", ""))
    assert b"karl" not in (data / "ratchet.duckdb").read_bytes()


async def test_the_last_operators_key_stays_and_is_nobodys(data: Path, store: Store):
    ring = KeyRing(store)
    keys = [(await ring.create(KeyInput(name="boss", role="operator", subject="boss")))[0] for _ in range(2)]
    eraser = Eraser(store, data, ring)
    eraser.begin("subject", "boss")
    await asyncio.to_thread(eraser.go_on)
    assert sorted(key.live for key in keys) == [False, True] and ring.has_operator()
    assert {(key.made.subject, key.made.name) for key in keys} == {("", "")}
    ring.close()


@pytest.mark.parametrize("whose", ["", "  "])
def test_turns_of_nobody_are_not_erased_by_an_empty_name(data: Path, store: Store, whose: str):
    with pytest.raises(InvalidInput):
        Eraser(store, data).begin("subject", whose)
    assert store.counts()["turns"] == 60


def test_copies_of_the_database_are_told(data: Path, store: Store):
    (data / "backups").mkdir()
    copy = store.backup(data / "backups")
    assert erased(store, data).copies_not_reached == [f"backups/{copy.name}"]


def test_while_a_cycle_runs_rows_go_and_copies_wait(data: Path, store: Store, ids: dict[str, Any]):
    eraser = Eraser(store, data)
    (data / "journal").mkdir()
    with (data / "journal" / "cycle.lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        eraser.begin("subject", WHO)
        (waits,) = eraser.go_on()
        assert waits.state == "waiting" and "cycle" in waits.waits_for and waits.turns == 20
        assert "table turns" not in traces(data, store) and "runs/run-1/answers.jsonl" in traces(data, store)
        late = a_turn(subject=WHO, reply=SECRETS[0])  # whose reply was under way
        store.add_turn(late).result()
    (done,) = eraser.go_on()
    assert (done.state, done.waits_for, done.turns) == ("done", "", 21)
    assert traces(data, store) == set()


def test_readers_that_stay_make_it_wait_and_are_not_disturbed(data: Path, store: Store, monkeypatch):
    monkeypatch.setattr("feedback.store.rewrite.READERS_PATIENCE_S", 0.02)
    eraser = Eraser(store, data)
    eraser.begin("subject", WHO)
    with store.reader() as cursor:
        assert cursor.execute("SELECT count(*) FROM turns").fetchall() == [(60,)]
        assert [one.state for one in eraser.go_on()] == ["waiting"]
    assert [one.state for one in eraser.go_on()] == ["done"]
    assert traces(data, store) == set()


def child(data: Path, step: int) -> tuple[int, str]:
    command = [sys.executable, "-m", "tests.fakes.privacy_world", str(data), str(step)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert "Traceback" not in done.stderr, done.stderr[-2000:]
    return done.returncode, done.stdout.strip()


def test_killed_anywhere_a_restart_finishes_it(built: tuple[Path, dict[str, Any]], tmp_path: Path):
    template, ids = built
    whole = Path(shutil.copytree(template, tmp_path / "whole"))
    status, steps = child(whole, 0)
    assert status == 0 and int(steps) > 40
    assert traces(whole, None) == set()
    for at in [3, 5, 8, *range(12, int(steps), 11), int(steps)]:  # before the third step nothing is wanted yet
        data = Path(shutil.copytree(template, tmp_path / f"killed-{at}"))
        assert child(data, at)[0] == -9
        store = Store.open(StoreSettings(data_dir=data))
        Eraser(store, data).go_on()
        (erasure,) = Eraser(store, data).book.all()
        assert (erasure.state, erasure.turns, erasure.ratings, erasure.annotations) == ("done", 20, 21, 21), at
        assert traces(data, store) == set(), at
        assert (erasure.keys, sorted(one.key_id for one in store.revocations())) == (2, ["key-1", "key-2"]), at
        assert store.counts()["turns"] == 40
        assert load_snapshot(data / "snapshots" / ids["snapshot"]).manifest.redactions[0].rows
        assert len(read_erased(data / "registry/assistant/1.1.0")) == 1
        assert [one.name for one in (data / "snapshots").iterdir()] == [ids["snapshot"]]
        assert [one.name for one in (data / "erasures").iterdir()] == [f"{erasure.erasure_id}.json"]
        store.add_rating(a_rating(ids["others"][0])).result()
        store.close()
        shutil.rmtree(data)
