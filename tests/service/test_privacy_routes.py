"""Erasing and exporting over HTTP and on the command line; what is older than wanted goes by itself."""

from __future__ import annotations

import asyncio
import datetime as dt
import io
import os
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import pytest

from feedback.annotations import Annotation
from feedback.keyed import KEPT, KeyedAnswer
from feedback.mint import now
from feedback.ratings import Rating
from feedback.settings import StoreSettings
from feedback.snapshot import load_snapshot
from feedback.store.database import Store
from feedback.turns import Turn
from service.cli.main import main
from service.privacy import retention
from service.privacy.erasing import Eraser
from service.privacy.export import write_export
from service.privacy.retention import expire, housekeeping
from tests.fakes.gateway import RunningGateway
from tests.fakes.ollama import FakeOllama
from tests.fakes.privacy_world import HERS, SECRETS, SHARED, WHO, sha
from tests.fakes.rows import a_rating, a_turn, an_annotation
from tests.service.test_bad_requests import told


@pytest.fixture
def served(data: Path) -> Iterator[RunningGateway]:
    with FakeOllama(models=["assistant:1.0.0"]) as fake, RunningGateway(data, fake.url) as gateway:
        yield gateway


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(StoreSettings(data_dir=tmp_path / "store"))
    yield opened
    opened.close()


def lines(archive: zipfile.ZipFile, name: str, kind: type[Any]) -> list[Any]:
    return [msgspec.json.decode(line, type=kind) for line in archive.read(name).splitlines()]


def test_a_person_is_erased_over_http(served: RunningGateway, built: tuple[Path, dict[str, Any]]):
    answer = httpx.post(f"{served.url}/erasures", json={"subject": WHO, "note": "letter of 1 March"})
    assert answer.status_code == 200
    said = answer.json()
    assert (said["state"], said["turns"], said["versions"]) == ("done", 20, ["assistant:1.1.0"])
    assert WHO not in answer.text and said["note"] == "letter of 1 March"
    assert httpx.get(f"{served.url}/erasures/{said['erasure_id']}").json() == said
    assert httpx.get(f"{served.url}/erasures").json() == {"items": [said], "next_cursor": None}
    gone = httpx.get(f"{served.url}/turns/{built[1]['hers'][0]}")
    assert told("ours", gone) == (404, "unknown-turn")
    rated = httpx.post(f"{served.url}/turns/{built[1]['hers'][0]}/ratings", json={"verdict": "up"})
    assert told("ours", rated) == (404, "unknown-turn")
    assert httpx.get(f"{served.url}/turns/{built[1]['others'][0]}").status_code == 200
    marks = httpx.get(f"{served.url}/versions").json()["trained_on_erased_data"]
    assert marks["assistant:1.1.0"][0]["erasure_id"] == said["erasure_id"]


def test_delete_a_subject_and_chat_goes_on(served: RunningGateway):
    ask = {"model": "assistant", "messages": [{"role": "user", "content": "Hi"}], "stream": False, "user": "user-1"}
    stop, wrong = threading.Event(), []

    def chat() -> None:
        while not stop.is_set():
            answer = httpx.post(f"{served.url}/v1/chat/completions", json=ask)
            if answer.status_code != 200:
                wrong.append(answer.text)

    talking = threading.Thread(target=chat)
    talking.start()
    try:
        answer = httpx.delete(f"{served.url}/subjects/{quote('user-2')}", params={"note": "x"}, timeout=30)
    finally:
        stop.set()
        talking.join()
    assert not wrong and answer.status_code == 200 and answer.json()["turns"] > 0


@pytest.mark.parametrize("body", [{}, {"subject": " "}, {"subject": "a", "turn": "b"}, {"person": "a"}])
def test_what_names_nobody_erases_nothing(served: RunningGateway, body: dict[str, str]):
    assert told("ours", httpx.post(f"{served.url}/erasures", json=body)) == (400, "invalid-input")
    assert served.store.counts()["turns"] == 60


def test_unknown_erasures(served: RunningGateway):
    assert told("ours", httpx.get(f"{served.url}/erasures/erasure-nosuch")) == (404, "unknown-erasure")


def test_an_export_has_everything_of_hers_and_nothing_of_others(
    served: RunningGateway, built: tuple[Path, dict[str, Any]]
):
    answer = httpx.post(f"{served.url}/exports", json={"subject": WHO})
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        turns = lines(archive, "turns.jsonl", Turn)
        ratings, verdicts = lines(archive, "ratings.jsonl", Rating), lines(archive, "annotations.jsonl", Annotation)
        names = {name for name in archive.namelist() if name.startswith("attachments/")}
        assert archive.read(f"attachments/{sha(HERS)}") == HERS
        readme = archive.read("README.txt").decode()
    ids = built[1]
    assert {turn.turn_id for turn in turns} == set(ids["hers"]) and len(turns) == 20
    assert turns[0] == served.store.turn(turns[0].turn_id)
    assert {one.turn_id for one in ratings} == {*ids["hers"], ids["others"][4]} and len(ratings) == 21
    assert {one.turn_id for one in verdicts} == {*ids["hers"], ids["others"][3]} and len(verdicts) == 21
    assert names == {f"attachments/{sha(HERS)}", f"attachments/{sha(SHARED)}"}
    assert "20 turns" in readme and WHO in readme
    assert not [file for file in served.data_dir.iterdir() if "zip" in file.name or file.name.startswith("tmp")]


def test_an_export_by_path_of_somebody_unknown_is_empty(served: RunningGateway):
    answer = httpx.get(f"{served.url}/subjects/nobody/export")
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.read("turns.jsonl") == b""


def test_the_command_line_with_a_gateway_and_without(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RATCHET_STORE_DATA_DIR", str(data))
    with FakeOllama(models=["assistant:1.0.0"]) as fake, RunningGateway(data, fake.url) as gateway:
        monkeypatch.setenv("RATCHET_GATEWAY_PORT", gateway.url.rsplit(":", 1)[1])
        assert main(["export", "--subject", WHO, "--to", "with.zip"]) == 0
        assert main(["erase", "--turn", "turn-nosuch", "--yes"]) == 0
    assert main(["export", "--subject", WHO, "--to", "without.zip"]) == 0
    found = [zipfile.ZipFile(tmp_path / name).read("turns.jsonl") for name in ("with.zip", "without.zip")]
    assert found[0] == found[1] and SECRETS[0].encode() in found[0]
    assert main(["export", "--subject", WHO, "--to", "with.zip"]) == 1  # never overwritten
    capsys.readouterr()
    assert main(["erase", "--subject", WHO]) == 1  # nobody at the keyboard, and no --yes
    assert main(["erase", "--subject", " ", "--yes"]) == 1
    assert "--yes" in capsys.readouterr().err
    assert main(["erase", "--subject", WHO, "--yes", "--note", "letter"]) == 0
    out = capsys.readouterr().out
    assert "20 turns" in out and "assistant:1.1.0" in out and "train anew" in out and WHO not in out
    with FakeOllama(models=["assistant:1.0.0"]) as fake, RunningGateway(data, fake.url) as gateway:
        monkeypatch.setenv("RATCHET_GATEWAY_PORT", gateway.url.rsplit(":", 1)[1])
        monkeypatch.setenv("COLUMNS", "160")
        assert main(["versions"]) == 0
    assert f"rows, {now():%Y-%m-%d}" in capsys.readouterr().out


def aged(store: Store, days: float, **fields: Any) -> Turn:
    turn = a_turn(created_at=now() - dt.timedelta(days=days), **fields)
    store.add_turn(turn)
    store.add_rating(a_rating(turn.turn_id))
    store.add_annotation(an_annotation(turn.turn_id)).result()
    return turn


def test_what_is_older_than_wanted_goes_with_all_that_was_said_of_it(store: Store, tmp_path: Path):
    data = tmp_path / "store"
    old, young = aged(store, 31, attachments=[sha(HERS)]), aged(store, 29, attachments=[sha(SHARED)])
    (data / "attachments").mkdir()
    for content in (HERS, SHARED, b"of a turn that is under way"):
        file = data / "attachments" / sha(content)
        file.write_bytes(content)
        if content in (HERS, SHARED):
            os.utime(file, (0, time.time() - 30 * 86_400))
    assert expire(store, Eraser(store, data), data, 0) == 0
    assert store.counts()["turns"] == 2
    assert expire(store, Eraser(store, data), data, 30) == 1
    assert [store.counts()[name] for name in ("turns", "ratings", "annotations")] == [1, 1, 1]
    assert store.turns()[0] == young and store.ratings(old.turn_id) == []
    left = {file.name for file in (data / "attachments").iterdir()}
    assert left == {sha(SHARED), sha(b"of a turn that is under way")}


def test_whoever_is_erased_after_retention_is_still_found_in_snapshots(data: Path, built: tuple[Path, dict[str, Any]]):
    store = Store.open(StoreSettings(data_dir=data))
    eraser = Eraser(store, data)
    monthly = retention.Whose(before=now() + dt.timedelta(days=1))
    eraser.remove(monthly, lambda batch: eraser.expired.note((one.turn_id, one.subject) for one in batch))
    assert store.counts()["turns"] == 0 and WHO not in eraser.expired.file.read_text()
    eraser.begin("subject", WHO)
    (done,) = eraser.go_on()
    store.close()
    assert (done.state, done.turns, done.versions) == ("done", 0, ["assistant:1.1.0"])
    assert eraser.expired.of(WHO) == set() and eraser.expired.of("user-2")
    rows = [msgspec.to_builtins(row) for row in load_snapshot(data / "snapshots" / built[1]["snapshot"]).heldout()]
    assert rows and not {row["turn_id"] for row in rows} & set(built[1]["hers"])


def test_retention_that_died_before_the_file_was_written_anew_does_it_next_time(
    store: Store, tmp_path: Path, monkeypatch
):
    data = tmp_path / "store"
    aged(store, 31)
    compacted = []
    real = store.compact
    monkeypatch.setattr(store, "compact", lambda: False)
    assert expire(store, Eraser(store, data), data, 30) == 1
    monkeypatch.setattr(store, "compact", lambda: compacted.append(real()) or compacted[-1])
    assert expire(store, Eraser(store, data), data, 30) == 0 and compacted == [True]
    assert expire(store, Eraser(store, data), data, 30) == 0 and compacted == [True]


def test_a_picture_that_a_chat_under_way_has_too_is_kept_until_that_has_ended(store: Store, tmp_path: Path):
    class Exchange:
        """Whatever will name it."""

    data = tmp_path / "store"
    eraser = Eraser(store, data)
    aged(store, 0, subject="anna", attachments=[sha(SHARED)])
    (data / "attachments").mkdir()
    file = data / "attachments" / sha(SHARED)
    file.write_bytes(SHARED)
    exchange = Exchange()
    eraser.in_use.hold(exchange, [sha(SHARED)])
    eraser.begin("subject", "anna")
    (waits,) = eraser.go_on()
    assert (waits.state, waits.turns, waits.attachments) == ("waiting", 1, 0) and "pictures" in waits.waits_for
    assert file.exists()
    del exchange
    (done,) = eraser.go_on()
    assert (done.state, done.turns, done.attachments) == ("done", 1, 1) and not file.exists()


def test_answers_to_keys_go_when_they_are_given_no_more(store: Store):
    answers = [
        KeyedAnswer(
            key_hash=str(days), turn_id=turn.turn_id, answer_id=turn.turn_id, request_hash="r", said="thought",
            created_at=now() - dt.timedelta(days=days),
        )
        for days, turn in ((2, a_turn(turn_id="turn-1")), (0, a_turn(turn_id="turn-2")))
    ]  # fmt: skip
    for answer in answers:
        store.add_turn(a_turn(turn_id=answer.turn_id), answer).result()
    assert store.remove_keyed(now() - KEPT) == 1
    assert store.keyed("2", now() - dt.timedelta(days=9)) is None and store.keyed("0", now() - KEPT) is not None
    store.remove_turns(["turn-2"])
    assert store.keyed("0", now() - KEPT) is None


async def test_the_gateway_expires_and_goes_on_with_erasures_by_itself(store: Store, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(retention, "LOOK_EVERY_S", 0.02)
    data = tmp_path / "store"
    aged(store, 31)
    aged(store, 1, subject="anna")
    kept = aged(store, 1)
    eraser = Eraser(store, data)
    eraser.begin("subject", "anna")  # and nobody goes on with it, as after a kill
    async with housekeeping(store, eraser, data, 30):
        async with asyncio.timeout(20):
            while store.counts()["turns"] > 1 or eraser.book.all()[0].state != "done":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
    assert store.turns() == [kept]


def test_an_export_of_many_turns_takes_no_more_memory(store: Store, tmp_path: Path):
    def peak() -> int:
        tracemalloc.start()
        write_export(store, tmp_path, "anna").close()
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    def add(rows: int) -> None:
        for _ in range(rows):
            stored = store.add_turn(a_turn(subject="anna", reply="x" * 10_000))
        stored.result()

    add(500)
    first = peak()
    add(3000)
    assert peak() < 1.5 * first
