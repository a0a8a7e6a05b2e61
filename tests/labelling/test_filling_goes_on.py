"""The queue's filling outlives what the disk refuses it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import duckdb
import pytest

from feedback.labelling.loading import load_board
from feedback.labelling.records import Item
from feedback.settings import LabellingSettings, StoreSettings
from feedback.store.database import Store
from service.labelling import filling
from tests.fakes.rows import a_turn


class FullDisk(filling.Filling):
    """Finds no room at its first look, as DuckDB does that can't spill."""

    looks = 0

    async def fill_queue(self) -> list[Item]:
        """Fails once, then does its work."""
        self.looks += 1
        if self.looks == 1:
            raise duckdb.OutOfMemoryException("failed to offload data block")
        return await super().fill_queue()


async def looked_twice(work: FullDisk) -> None:
    stop = asyncio.Event()
    task = asyncio.create_task(filling._keep_filled(stop, work))
    for _ in range(500):
        await asyncio.sleep(0.01)
        if work.looks > 2 or task.done():
            break
    stop.set()
    await task


def test_a_disk_without_room_ends_neither_the_filling_nor_the_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(filling, "FIRST_LOOK_S", 0.01)
    monkeypatch.setattr(filling, "LOOK_EVERY_S", 0.01)
    rules = LabellingSettings()
    store = Store.open(StoreSettings(data_dir=tmp_path))
    try:
        store.add_turn(a_turn()).result(10)
        work = FullDisk(store, rules, load_board(store, rules), tmp_path / "alias.json")
        asyncio.run(looked_twice(work))
    finally:
        store.close()
    assert [one.message for one in caplog.records if one.levelname == "ERROR"] == ["filling-failed"]
    assert work.looks > 1
