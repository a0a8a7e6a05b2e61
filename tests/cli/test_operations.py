"""What an operator asks on the command line, against a real gateway (and, for backups, without one)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from feedback.errors import InvalidInput, UpstreamDown
from feedback.mint import now
from feedback.store.database import Store
from learner.alias import Alias, AliasFile, Served, write_aliases
from learner.records import Request, RequestResult
from learner.requests import Requests
from service.cli import operations
from service.cli.main import main
from service.cli.settings import Settings, load
from tests.fakes.gateway import RunningGateway
from tests.fakes.ollama import FakeOllama
from tests.fakes.rows import a_turn


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Settings of a running gateway."""
    data = tmp_path / "data"
    alias = Alias(champion=Served(version="1.0.0", tag="assistant:1.0.0"), changed_at=now())
    write_aliases(data / "alias.json", AliasFile(aliases={"assistant": alias}))
    with FakeOllama(models=["assistant:1.0.0"]) as fake, RunningGateway(data, fake.url) as gateway:
        port = gateway.url.rsplit(":", 1)[1]
        yield load(None, {"RATCHET_GATEWAY_PORT": port, "RATCHET_STORE_DATA_DIR": str(data)})


def test_versions_without_any_registered(settings: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    assert operations.list_versions(settings) == 0
    assert "assistant" in capsys.readouterr().out


def test_a_rollback_waits_for_the_learners_answer_and_says_it(
    settings: Settings, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = Requests(settings.store.data_dir / "requests")

    def learner(_: float) -> None:
        """The learner at its work, in the pauses of whoever waits for it."""
        for waiting in requests.waiting():
            assert waiting.request is not None and waiting.request.kind == "rollback"
            requests.finish(waiting, ok=True, detail={"version": "1.0.0", "previous": "1.1.0"})

    monkeypatch.setattr("service.cli.operations.time.sleep", learner)
    assert operations.request(settings, kind="rollback", version="", reason="test") == 0
    assert capsys.readouterr().out == "1.0.0 serves now (was 1.1.0).\n"


def test_an_unknown_version_is_refused_with_its_own_code(settings: Settings) -> None:
    with pytest.raises(InvalidInput, match=r"9\.9\.9") as caught:
        operations.request(settings, kind="promote", version="9.9.9", reason="")
    assert caught.value.code == "unknown-version"


def test_a_backup_while_serving_goes_where_it_is_wanted(settings: Settings, tmp_path: Path) -> None:
    target = tmp_path / "elsewhere" / "copy.duckdb"
    assert operations.back_up(settings, str(target)) == 0
    assert target.stat().st_size > 0
    assert list((settings.store.data_dir / "backups").iterdir()) == []
    with pytest.raises(InvalidInput, match="never overwritten"):
        operations.back_up(settings, str(target))


def test_a_backup_without_a_gateway_holds_what_was_stored(tmp_path: Path) -> None:
    settings = load(None, {"RATCHET_GATEWAY_PORT": "1", "RATCHET_STORE_DATA_DIR": str(tmp_path / "data")})
    turn = a_turn()
    store = Store.open(settings.store)
    store.add_turn(turn).result(10)
    store.close()
    copy = tmp_path / "restored" / "ratchet.duckdb"
    assert operations.back_up(settings, str(copy)) == 0
    restored = Store.open(msgspec.structs.replace(settings.store, data_dir=copy.parent))
    try:
        assert restored.turn(turn.turn_id) == turn
    finally:
        restored.close()


def test_no_gateway_is_told_with_a_mend(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RATCHET_GATEWAY_PORT", "1")
    assert main(["versions"]) == 1
    said = capsys.readouterr().err
    assert "ratchet up" in said and "[upstream-down]" in said
    with pytest.raises(UpstreamDown):
        operations.list_cycles(load(None, {"RATCHET_GATEWAY_PORT": "1"}))


def test_words_says_what_the_list_would_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    words = tmp_path / "words.txt"
    words.write_text("毛毛虫\n", "utf-8")
    monkeypatch.setenv("RATCHET_GATEWAY_WORDS_FILE", str(words))
    assert main(["words", "check", "一只毛毛虫"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "一只***"
    assert main(["words", "check", "一只蝴蝶"]) == 0


def test_the_folder_of_requests_tells_done_from_waiting(settings: Settings) -> None:
    asked = operations.ask_gateway(settings, "POST", "/requests", {"kind": "cycle", "alias": "assistant"})
    request = msgspec.convert(asked, Request)
    assert operations.ask_gateway(settings, "GET", f"/requests/{request.request_id}")["state"] == "waiting"
    requests = Requests(settings.store.data_dir / "requests")
    requests.finish(requests.waiting()[0], ok=True, detail={"cycle": "cycle-1"})
    answer = operations.ask_gateway(settings, "GET", f"/requests/{request.request_id}")
    assert answer["state"] == "done"
    assert msgspec.convert(answer["result"], RequestResult).detail == {"cycle": "cycle-1"}
    with pytest.raises(InvalidInput) as caught:
        operations.ask_gateway(settings, "GET", "/requests/request-none")
    assert caught.value.code == "unknown-request"
