"""What the tests of training share: a tiny base, converted once for the whole session (a few seconds)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from learner.base import Base, prepare_base
from tests.fakes.tiny_gguf import write_tiny_gguf


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A tiny base of the llama architecture, ready to train on."""
    folder = tmp_path_factory.mktemp("tiny")
    return prepare_base(write_tiny_gguf(folder / "tiny.gguf"), folder / "cache")


@pytest.fixture(scope="session")
def tiny_qwen_base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """The same of the qwen2 architecture: other row order, biases on q, k and v."""
    folder = tmp_path_factory.mktemp("tiny-qwen")
    return prepare_base(write_tiny_gguf(folder / "tiny.gguf", architecture="qwen2"), folder / "cache")


@pytest.fixture(scope="session")
def tiny_cache(tiny_base: Base) -> Path:
    """The cache folder of `tiny_base`."""
    return tiny_base.folder.parents[1]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Threads that wait for one another on a busy machine take twenty times as long for sums as small as a test's."""
    import torch  # not for the learner's other tests

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
