"""The one thread that writes, and how it makes many writes durable with one fsync.

Group commit: the writer takes whatever has queued up, commits it as one transaction, and what arrives during that
commit's fsync is the next batch (`batches`). A lone write pays one fsync and waits for nobody.

A future is resolved only after its COMMIT is on disk. The writer must outlive everything that a client can do: a
cancelled future, a row that DuckDB refuses, a disk that fails for a while. A bad row fails its own future only: the
batch is halved until the bad row stands alone.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import TypeVar

import duckdb

from feedback.errors import InvalidInput, RatchetError, StoreBusy, StoreUnavailable
from feedback.settings import StoreSettings
from feedback.store.admission import Admission, fail
from feedback.store.batches import Batch, Batches
from feedback.store.connection import Connection
from feedback.store.session import Act, Session, Write
from feedback.store.space import probe

log = logging.getLogger(__name__)

Kind = TypeVar("Kind")

PROBE_S = 1.0
"""Seconds between looks whether a disk that failed takes writes again."""
STALL_S = 10.0
"""How long one commit may take before the disk counts as one that takes no writes."""


class Writer:
    """Owns the queue and the thread that empties it."""

    def __init__(self, connection: Connection, settings: StoreSettings) -> None:
        self._connection = connection
        self._held = contextlib.ExitStack()
        self._session: Session | None = None
        self._batches = Batches(settings.queue_limit)
        self._idle_s = settings.idle_checkpoint_s
        self._log_limit = self._checkpoint_at = settings.wal_autocheckpoint_mib * 1024 * 1024
        self._admission = Admission()
        self._trouble: StoreUnavailable | None = None
        self._committing_since: float | None = None
        self.on_commit: Callable[[int, float], None] | None = None
        """Told of each commit, in the writer's thread: how many rows, and how many seconds. Must not raise."""
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def submit(self, write: Write) -> Future[None]:
        """Queue a write. Raises StoreBusy where the queue is full, StoreUnavailable after `close`."""
        self._batches.put(write)
        return write.future

    def act(self, run: Callable[[Connection], Kind]) -> Future[Kind]:
        """Run something in the writer's thread, after what is queued and before what comes; whatever ids the writer
        remembers, it then forgets. Raises StoreUnavailable after `close`."""
        act = Act(run)
        self._batches.put(act)
        return act.future

    @property
    def waiting(self) -> int:
        """Writes in the queue, not counting those being committed."""
        return len(self._batches)

    @property
    def trouble(self) -> RatchetError | None:
        """Why the next write would most likely fail; none while the disk takes them. Ends by itself once it does."""
        since = self._committing_since
        if since is not None and time.monotonic() - since > STALL_S:
            return StoreBusy(f"The disk has not taken one write in {STALL_S:g} s.", "Look at its health and its load.")
        return self._trouble

    def close(self) -> None:
        """Refuse new writes, commit those that were queued, fold the log in, end the thread."""
        self._batches.close()
        self._thread.join()

    def _run(self) -> None:
        while (batch := self._next()) is not None:
            if isinstance(batch, Act):
                self._do(batch)
                continue
            # Cancelled ones drop out; the rest can't be cancelled any more, so that resolving them can't raise.
            live = [write for write in batch if write.future.set_running_or_notify_cancel()]
            self._committing_since = time.monotonic()
            try:
                self._commit(self._hold(), live)
                if self._trouble is not None:
                    self._look_again()  # a few bytes fitted, which says nothing of the next ones
            except Exception as error:
                # Whatever it was (the disk, memory, a bug): every future must be answered, the next batch be tried.
                self._connection.note(error)
                self._let_go()
                log.error("a batch of %d could not be made durable: %s", len(live), _what(error))
                failure = error if isinstance(error, RatchetError) else _disk_trouble(error)
                if isinstance(failure, StoreUnavailable):
                    self._trouble = failure
                fail(live, failure)
            self._committing_since = None
            if self._connection.log_bytes >= self._checkpoint_at:
                self._checkpoint()
        self._checkpoint()

    def _do(self, act: Act) -> None:
        """Run an act, and answer its future whatever becomes of it."""
        if not act.future.set_running_or_notify_cancel():
            return
        self._let_go()
        self._admission.forget()
        try:
            result = act.run(self._connection)
        except Exception as error:  # as for a batch: its future must be answered, the next one be tried
            self._connection.note(error)
            log.error("what the store was asked to do failed: %s", _what(error))
            act.future.set_exception(error if isinstance(error, RatchetError) else _disk_trouble(error))
        else:
            act.future.set_result(result)

    def _hold(self) -> Session:
        """The session that is kept from batch to batch, or a new one."""
        if self._connection.broken:
            self._let_go()
        if self._session is None:
            self._session = Session(self._held.enter_context(self._connection.cursor()))
        return self._session

    def _let_go(self) -> None:
        self._session = None
        self._held.close()

    def _next(self) -> Batch:
        """The next batch. While nobody writes, the disk is looked after."""
        while self._trouble is not None:
            try:
                return self._batches.next(PROBE_S)
            except queue.Empty:
                self._look_again()
        try:
            return self._batches.next(None if self._session is None else self._idle_s)
        except queue.Empty:
            self._checkpoint()
            return self._batches.next()

    def _look_again(self) -> None:
        """Nobody writes while the store is known to fail, so the writer finds out by itself whether it still does."""
        try:
            probe(self._connection.file.with_name(f"{self._connection.file.name}.probe"))
            self._hold()
        except (OSError, duckdb.Error, StoreUnavailable):
            return
        self._trouble = None
        log.info("the disk takes writes again")

    def _commit(self, session: Session, batch: Sequence[Write]) -> None:
        """Commit the batch and resolve its futures. On a row that DuckDB refuses, halve until it stands alone."""
        batch = self._admission.admit(session, batch)
        if not batch:
            return
        began = time.perf_counter()
        try:
            session.commit(batch)
        except (duckdb.DataError, duckdb.IntegrityError, duckdb.ProgrammingError) as error:
            if len(batch) == 1:
                fail(batch, _refusal(batch[0], error))
                return
            middle = len(batch) // 2
            self._commit(session, batch[:middle])
            self._commit(session, batch[middle:])
        else:
            if self.on_commit is not None:
                self.on_commit(len(batch), time.perf_counter() - began)
            self._admission.remember(batch)
            for write in batch:
                write.future.set_result(None)

    def _checkpoint(self) -> None:
        """Fold the log into the file, and let the session go, so that readers alone can reopen a broken database.

        Not being able to is no loss, as the log is durable too: try again when the store is idle, or once the log has
        doubled.
        """
        try:
            self._hold().checkpoint()
            self._checkpoint_at = self._log_limit
        except (duckdb.Error, StoreUnavailable) as error:
            self._connection.note(error)
            self._checkpoint_at = 2 * self._connection.log_bytes
            log.warning("the store's log could not be folded in, and is kept: %s", error)
        self._let_go()


def _refusal(write: Write, error: Exception) -> InvalidInput:
    """DuckDB's own message may quote the value, so only its kind is passed on."""
    kind = type(error).__name__.removesuffix("Exception").lower()
    return InvalidInput(f"{write.item_id} can't be stored in {write.table.name}: {kind} error.", "Check its numbers.")


def _what(error: Exception) -> str:
    """The error for the log: DuckDB's words on files and transactions, else only its kind and place, for a message may
    quote somebody's text."""
    if isinstance(error, duckdb.OperationalError | duckdb.FatalException | RatchetError):
        return str(error)
    place = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} in {place.name}, line {place.lineno}"


def _disk_trouble(error: Exception) -> StoreUnavailable:
    return StoreUnavailable(
        f"The write could not be made durable ({type(error).__name__}).",
        "Look at the disk's space and health; try again.",
    )
