"""A real store in the test's own folder, and a way to fill it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback.settings import PoolSettings, StoreSettings
from feedback.store.database import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(StoreSettings(data_dir=tmp_path / "data"))
    yield opened
    opened.close()


@pytest.fixture
def rules() -> PoolSettings:
    """Rules under which short texts and few rows are enough."""
    return PoolSettings(min_tokens=1, max_tokens=400, min_train_rows=1)
