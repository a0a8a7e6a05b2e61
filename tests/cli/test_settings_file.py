"""The settings file as the command line reads it: precedence, refusals with the nearest valid key, OLLAMA_HOST."""

from __future__ import annotations

from pathlib import Path

import pytest

from feedback.errors import InvalidSettings
from service.cli.settings import load, ollama_url, settings_path


def test_the_environment_wins_over_the_file_and_the_file_over_the_default(tmp_path: Path) -> None:
    file = tmp_path / "ratchet.toml"
    file.write_text("[gateway]\nport = 9001\nbody_limit_bytes = 7\n\n[learner]\nadapter_scales = [0.5]\n", "utf-8")
    settings = load(file, {"RATCHET_GATEWAY_PORT": "9002"})
    assert settings.gateway.port == 9002
    assert settings.gateway.body_limit_bytes == 7
    assert settings.gateway.stall_timeout_s == 60.0
    assert settings.learner.adapter_scales == [0.5]


def test_a_path_and_a_list_come_from_the_environment_too(tmp_path: Path) -> None:
    settings = load(None, {"RATCHET_STORE_DATA_DIR": str(tmp_path), "RATCHET_LEARNER_ADAPTER_SCALES": "[1.0, 0.5]"})
    assert settings.store.data_dir == tmp_path
    assert settings.learner.adapter_scales == [1.0, 0.5]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[gatewy]\nport = 1\n", "'gateway'"),
        ("[gateway]\nprot = 1\n", "gateway.prot.*'port'"),
        ('[gateway]\nport = "many"\n', r"\[gateway\].*port"),
        ("[gateway\n", "is not TOML"),
        ("gateway = 3\n", "not a table"),
    ],
)
def test_a_bad_file_is_refused_by_name_with_a_mend(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "ratchet.toml"
    file.write_text(text, "utf-8")
    with pytest.raises(InvalidSettings, match=said):
        load(file, {})


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="can't be read"):
        load(tmp_path / "none.toml", {})


def test_the_file_is_found_in_this_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert settings_path(None, {}) is None
    (tmp_path / "ratchet.toml").touch()
    assert settings_path(None, {}) == tmp_path / "ratchet.toml"
    assert settings_path(None, {"RATCHET_SETTINGS": "b.toml"}) == tmp_path / "b.toml"
    assert settings_path("a.toml", {"RATCHET_SETTINGS": "b.toml"}) == tmp_path / "a.toml"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1:4567", "http://127.0.0.1:4567"),
        ("0.0.0.0", "http://127.0.0.1:11434"),
        ("ollama.lan", "http://ollama.lan:11434"),
        ("https://ollama.lan", "https://ollama.lan:443"),
        ("http://[::1]:11434", "http://[::1]:11434"),
    ],
)
def test_ollama_host_in_ollamas_own_forms(host: str, url: str) -> None:
    assert ollama_url(host) == url
    assert load(None, {"OLLAMA_HOST": host}).gateway.upstream_url == url
    assert load(None, {"OLLAMA_HOST": host}).learner.upstream_url == url


def test_a_named_upstream_wins_over_ollama_host(tmp_path: Path) -> None:
    named = {"OLLAMA_HOST": "a:1", "RATCHET_GATEWAY_UPSTREAM_URL": "http://b:2"}
    assert load(None, named).gateway.upstream_url == "http://b:2"
    file = tmp_path / "ratchet.toml"
    file.write_text('[gateway]\nupstream_url = "http://c:3"\n', "utf-8")
    assert load(file, {"OLLAMA_HOST": "a:1"}).gateway.upstream_url == "http://c:3"


def test_a_broken_ollama_host_is_refused() -> None:
    with pytest.raises(InvalidSettings, match="OLLAMA_HOST"):
        load(None, {"OLLAMA_HOST": "host:port"})
