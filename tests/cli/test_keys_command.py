"""`ratchet keys`, with a gateway and without one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from feedback.operator_key import FILE_NAME
from service.cli.main import main
from tests.fakes.gateway import RunningGateway
from tests.fakes.keys import bearer
from tests.fakes.ollama import FakeOllama


@pytest.fixture
def gateway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[RunningGateway]:
    """One that needs keys, and is the one of this environment's settings."""
    with FakeOllama(models=["assistant:1.0.0"]) as fake, RunningGateway(tmp_path, fake.url, keys="required") as running:
        monkeypatch.setenv("RATCHET_GATEWAY_PORT", running.url.rsplit(":", 1)[1])
        monkeypatch.setenv("RATCHET_STORE_DATA_DIR", str(tmp_path))
        yield running


def test_a_key_is_made_listed_and_revoked_through_the_gateway(
    gateway: RunningGateway, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["keys", "create", "--name", "mei", "--scope", "chat", "--alias", "assistant", "--days", "30"]) == 0
    told = capsys.readouterr()
    token = told.out.strip()
    key_id = told.err.split(":")[0]
    assert token.startswith("rk_") and "\n" not in token and token not in told.err
    assert httpx.get(gateway.url + "/v1/models", headers=bearer(token)).status_code == 200
    assert main(["keys", "list"]) == 0
    listed = capsys.readouterr().out
    assert key_id in listed and "mei" in listed and "first operator" in listed and token[-48:] not in listed
    assert main(["keys", "revoke", key_id]) == 0
    assert httpx.get(gateway.url + "/v1/models", headers=bearer(token)).status_code == 401
    assert main(["keys", "revoke", "key-none"]) == 1
    assert "unknown-key" in capsys.readouterr().err


def test_an_operators_key_can_take_the_place_of_the_first_one(
    gateway: RunningGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    file = gateway.data_dir / FILE_NAME
    first = file.read_text()
    assert main(["keys", "create", "--role", "operator", "--keep"]) == 0
    assert file.read_text() == capsys.readouterr().out != first
    first_id = "key-" + first.split("_")[1]
    assert main(["keys", "revoke", first_id]) == 0
    assert main(["versions"]) == 0


def test_without_a_key_the_command_line_is_told_so(gateway: RunningGateway, capsys: pytest.CaptureFixture[str]) -> None:
    (gateway.data_dir / FILE_NAME).unlink()
    assert main(["keys", "list"]) == 1
    assert "[unauthorized]" in capsys.readouterr().err


def test_where_no_gateway_runs_the_store_is_opened_here(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RATCHET_GATEWAY_PORT", "1")
    monkeypatch.setenv("RATCHET_STORE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    assert main(["keys", "create", "--role", "operator", "--requests-per-minute", "9", "--no-store"]) == 0
    token = capsys.readouterr().out.strip()
    assert main(["keys", "list"]) == 0
    assert "9 requests" in capsys.readouterr().out
    assert main(["keys", "revoke", "key-" + token.split("_")[1]]) == 1  # the last operator's
    assert main(["keys", "create", "--requests-per-minute", "-1"]) == 1
    assert main(["keys", "create", "--days", "-1"]) == 1
    with FakeOllama(models=["assistant:1.0.0"]) as fake, RunningGateway(tmp_path, fake.url, keys="required") as gateway:
        assert not (tmp_path / FILE_NAME).exists()  # there is an operator already
        assert httpx.get(gateway.url + "/keys", headers=bearer(token)).status_code == 200
