"""A fake Ollama and a real gateway before it: one pair a module, since most tests only ask. And one data folder with a
person's words everywhere in it, built once."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.gateway import RunningGateway
from tests.fakes.ollama import FakeOllama
from tests.fakes.privacy_world import build

PATIENCE = {"stall_timeout_s": 0.5, "first_token_timeout_s": 1.0, "circuit_failures": 1000}
"""An upstream that fails in one test after another is still asked in the next."""


@pytest.fixture(scope="module")
def fake() -> Iterator[FakeOllama]:
    with FakeOllama(models=["assistant:1.0.0", "assistant:1.1.0"]) as server:
        yield server


@pytest.fixture(scope="module")
def gateway(fake: FakeOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder: Path = tmp_path_factory.mktemp("data")
    with RunningGateway(folder, fake.url, **PATIENCE) as running:
        yield running


@pytest.fixture(autouse=True)
def forget(request: pytest.FixtureRequest) -> None:
    """A script or a history that one test left behind is no business of the next."""
    if "fake" in request.fixturenames:
        fake = request.getfixturevalue("fake")
        fake.history.clear()
        fake.forget_scripts()


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder, not to be touched, and the ids in it."""
    folder = tmp_path_factory.mktemp("built") / "data"
    return folder, build(folder)


@pytest.fixture
def data(built: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(built[0], tmp_path / "data"))
