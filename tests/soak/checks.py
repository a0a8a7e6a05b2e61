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


def rise(values: list[float]) -> float:
    """From the lowest of the middle third to the lowest of the last: what DuckDB holds until its log is folded in, some
    30 MiB, comes and goes, and is no leak."""
    third = len(values) // 3
    return min(values[-third:]) - min(values[third : 2 * third]) if third else 0.0
