"""What is on disk after a gateway has ended, and whether memory stayed flat."""

from __future__ import annotations

from pathlib import Path

from feedback.settings import StoreSettings
from feedback.store.database import Store


def stored(data_dir: Path) -> tuple[dict[str, str], set[str]]:
    """The status of each turn by its id, and the ids of the ratings. No gateway may have the store open."""
    store = Store.open(StoreSettings(data_dir=data_dir))
    try:
        with store.reader() as cursor:
            turns = dict(cursor.execute("SELECT turn_id, status FROM turns").fetchall())
            return turns, {row[0] for row in cursor.execute("SELECT rating_id FROM ratings").fetchall()}
    finally:
        store.close()


def slope(values: list[float]) -> float:
    """Least squares: by how much the values rise from one to the next."""
    middle, mean = (len(values) - 1) / 2, sum(values) / len(values)
    spread = sum((at - middle) ** 2 for at in range(len(values)))
    return sum((at - middle) * (value - mean) for at, value in enumerate(values)) / spread if spread else 0.0
