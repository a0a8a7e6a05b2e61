"""A real store in the test's own folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from feedback.settings import StoreSettings
from feedback.store.database import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(StoreSettings(data_dir=tmp_path / "data"))
    yield opened
    opened.close()
