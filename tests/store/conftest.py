"""A store on the disk, in the test's own folder: DuckDB is always real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback.settings import StoreSettings
from feedback.store.database import Store


@pytest.fixture
def settings(tmp_path: Path) -> StoreSettings:
    return StoreSettings(data_dir=tmp_path / "data", idle_checkpoint_s=0.05)


@pytest.fixture
def store(settings: StoreSettings) -> Iterator[Store]:
    opened = Store.open(settings)
    yield opened
    opened.close()
