"""Models for the engine's tests: a tiny one that loads in a blink, and the real SmolLM2 where answers matter."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback.base_model import bundled_gguf
from service.engine.quantize import quantize_q8_0
from tests.fakes.engine_models import put_model
from tests.fakes.engine_process import EngineProcess, engine_process
from tests.fakes.tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A llama of 70,000 random weights in F16, with a chat template."""
    return write_tiny_gguf(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest.fixture(scope="session")
def tiny_q8(tiny: Path) -> Path:
    """The same, quantised."""
    target = tiny.with_name("tiny-q8.gguf")
    quantize_q8_0(tiny, target)
    return target


@pytest.fixture(scope="session")
def smollm2() -> Path:
    return bundled_gguf()


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory, smollm2: Path, tiny: Path) -> Path:
    """A data folder with `smol`, which takes a while to answer, and `tiny`, which does not.

    One for all tests, because 98 MB are copied and hashed; one engine at a time may use it, and what a test adds it
    gives names of its own.
    """
    folder = tmp_path_factory.mktemp("models")
    put_model(folder / "engine", "smol", smollm2)
    put_model(folder / "engine", "tiny", tiny)
    return folder


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """An engine of the module's own."""
    with engine_process(tmp_path_factory.mktemp("engine")) as running:
        yield running
