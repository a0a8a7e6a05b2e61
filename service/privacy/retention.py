"""What the gateway does about privacy by itself: going on with erasures, and removing what is older than wanted.

Erasures that were begun before a restart, or that wait for something, are gone on with every minute; once a day turns
older than `store.retention_days` are really removed, with what was said of them and their attachments. Snapshots are no
matter of age: what a version was trained on stays with it, until somebody is erased from it or the folder is deleted.
Answers kept for Idempotency-Keys go a day after their keys hold no more, whatever the setting says.
Must never end the gateway: what fails is logged, and tried again.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import duckdb
import msgspec

from feedback.errors import RatchetError
from feedback.files import replace_file
from feedback.keyed import KEPT
from feedback.mint import now
from feedback.store.database import Store
from feedback.store.removal import Doomed, Whose
from service.labelling.drafts import clear_drafts
from service.privacy.erasing import Eraser
from service.privacy.logged import blank_logs
from service.privacy.versions import mark_versions

log = logging.getLogger(__name__)

LOOK_EVERY_S = 60.0
DAY_S = 86_400.0
LONGEST_PAUSE_S = 900.0
COMPACTION_DUE = "compaction-due"
"""A file in `erasures/`, there as long as text of removed turns may be in the database file."""


def expire(store: Store, eraser: Eraser, data_dir: Path, days: int) -> int:
    """Remove the turns that are older than so many days, from the file's bytes too; gives how many. 0 days: keeps all.

    Raises StoreUnavailable.
    """
    if days <= 0:
        return 0
    due = eraser.book.folder / COMPACTION_DUE
    with eraser.alone():

        def note(batch: Sequence[Doomed]) -> None:
            judged = [one for one in batch if one.subject and (one.ratings or one.annotations)]
            eraser.expired.note((one.turn_id, one.subject) for one in judged)
            if not due.exists():
                replace_file(due, b"")

        gone = eraser.remove(Whose(before=now() - dt.timedelta(days=days)), note)
        eraser.sweep_attachments()
        clear_drafts(data_dir, {one.turn_id for one in gone})
        blank_logs(data_dir / "logs", {one.turn_id for one in gone})
        if due.exists():  # since now, or since a time when the process died on the way
            if store.compact():
                due.unlink()
            else:
                log.warning("retention-not-compacted")  # tomorrow's is as good
    return len(gone)


@contextlib.asynccontextmanager
async def housekeeping(store: Store, eraser: Eraser, data_dir: Path, days: int) -> AsyncIterator[None]:
    """`async with`: do both, beside the gateway's requests; what is under way at the end is waited for."""
    stop = asyncio.Event()
    task = asyncio.create_task(_keep_house(stop, store, eraser, data_dir, days))
    try:
        yield
    finally:
        stop.set()
        await task


async def _keep_house(stop: asyncio.Event, store: Store, eraser: Eraser, data_dir: Path, days: int) -> None:
    clock = asyncio.get_running_loop().time
    expire_at, pause = clock(), LOOK_EVERY_S
    while not stop.is_set():
        try:
            waiting = [one for one in await asyncio.to_thread(eraser.go_on) if one.state != "done"]
            # What waits is asked less and less often: each try may write the whole file anew.
            pause = min(2 * pause, LONGEST_PAUSE_S) if waiting else LOOK_EVERY_S
            if clock() >= expire_at:
                await asyncio.to_thread(store.remove_keyed, now() - KEPT)
                await asyncio.to_thread(_mark_late, data_dir)
                removed = await asyncio.to_thread(expire, store, eraser, data_dir, days)
                if removed:
                    log.info("expired", extra={"fields": {"turns": removed}})
                expire_at = clock() + DAY_S
        except (RatchetError, OSError, duckdb.Error) as error:  # DuckDB's own: no room to spill, for example
            log.error("housekeeping-failed", extra={"fields": {"reason": getattr(error, "code", "disk")}})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), pause)


def _mark_late(data_dir: Path) -> None:
    """Versions that were registered after an erasure, by a cycle that had begun before it."""
    try:
        mark_versions(data_dir)
    except msgspec.DecodeError:
        log.error("versions-not-marked")  # a damaged manifest; whoever reads it says which
