"""A process whose disk fails and recovers, and what its store says meanwhile: one JSON object a step.

python failing_disk_child.py DATA_DIR full              files may not grow, as on a full disk
python failing_disk_child.py DATA_DIR fsync MARKER      fsync fails while the file MARKER exists (see broken_fsync)
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from feedback.errors import RatchetError
from feedback.settings import StoreSettings
from feedback.store.database import Store
from tests.fakes.rows import a_turn

REPLY_BYTES = {"full": 10_000, "fsync": 10_000, "fold": 1_000_000}
FILE_LIMIT = {"full": 30_000, "fold": 7_000_000}
"""Bytes: for `fold` above what the log reaches, 3 turns of 2 MB, and below what the database file then grows to."""


def outcome(action: Callable[[], object]) -> str:
    try:
        action()
    except RatchetError as error:
        return error.code
    return "ok"


def attempt(store: Store, kind: str, step: str, backups: Path) -> None:
    """Write three turns one after another, read each and make a backup: what each said."""
    writes, reads = [], []
    for _ in range(3):
        turn = a_turn(reply=os.urandom(REPLY_BYTES[kind]).hex())
        writes.append(outcome(lambda turn=turn: store.add_turn(turn).result(20)))  # type: ignore[misc]
        reads.append(outcome(lambda turn=turn: store.turn(turn.turn_id)))  # type: ignore[misc]
    backup = outcome(lambda: store.backup(backups / f"{step}.duckdb"))
    files = sorted(file.name for file in backups.iterdir())
    print(json.dumps({"step": step, "writes": writes, "reads": reads, "backup": backup, "files": files}), flush=True)


def fill_disk(kind: str) -> None:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT[kind], resource.RLIM_INFINITY))


def free_disk() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def main() -> None:
    data_dir, kind = Path(sys.argv[1]), sys.argv[2]
    backups = data_dir.with_name("backups")
    backups.mkdir()
    store = Store.open(StoreSettings(data_dir=data_dir, idle_checkpoint_s=60, wal_autocheckpoint_mib=1))
    attempt(store, kind, "before", backups)
    if kind == "fsync":
        Path(sys.argv[3]).touch()
    else:
        fill_disk(kind)
    attempt(store, kind, "broken", backups)
    if kind == "fsync":
        Path(sys.argv[3]).unlink()
    else:
        free_disk()
    attempt(store, kind, "after", backups)
    store.close()
    again = Store.open(StoreSettings(data_dir=data_dir))
    print(json.dumps({"step": "reopened", "turns": again.counts()["turns"]}), flush=True)
    again.close()


if __name__ == "__main__":
    main()
