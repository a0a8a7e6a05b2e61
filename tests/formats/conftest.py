"""A gateway with no upstream to speak of: what comes in and goes out here is never asked of a model."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.gateway import RunningGateway


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder: Path = tmp_path_factory.mktemp("data")
    words = folder / "words.csv"
    words.write_text("word,category,action\nfudge,insult,block\n笨蛋,insult,mask\n", "utf-8")
    with RunningGateway(folder, "http://127.0.0.1:9", words_file=str(words)) as running:
        yield running
