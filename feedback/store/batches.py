"""The queue before the writer, and what of it makes one batch.

A lone write waits for nobody. Where several came together, the next batch is given up to 25 ms to fill: a statement
costs DuckDB 1 to 2 ms of CPU whatever it carries, more than the rest of a chat where it carries one turn. Must never:
lose what was queued before it closed, or let an act overtake a write.
"""

from __future__ import annotations

import contextlib
import queue
import threading
import time

from feedback.errors import StoreBusy, StoreUnavailable
from feedback.store.session import Act, Write

BATCH_ROWS = 1024
"""Most rows in one transaction: tens of milliseconds, so that behind a long queue no ack waits for all of it."""
BATCH_CHARACTERS = 16 * 1024 * 1024
"""Most text in one transaction, in characters: what DuckDB holds in memory until the commit."""
GATHER_S = 0.025
"""While several clients write at a time, a commit waits for more of them, at most for so long."""
QUIET = 3
"""And no longer once none has come for so many times as long as they are apart."""

Batch = list[Write] | Act | None
"""Writes for one transaction; an act, which goes alone; None: closed, and nothing is left."""


class Batches:
    """Filled from any thread, emptied by the writer's."""

    def __init__(self, limit: int) -> None:
        """`limit`: how many may wait."""
        self._limit = limit
        self._queue: queue.SimpleQueue[Write | Act | None] = queue.SimpleQueue()
        self._act_next: Act | None = None
        self._gate = threading.Lock()
        self._closed = False
        self.busy = False
        """Whether writes come thick enough for several to have waited together."""
        self._batched_at = time.monotonic()
        self._apart_s = 0.0
        """How far apart writes came of late, on average."""

    def __len__(self) -> int:
        """How many wait."""
        return self._queue.qsize()

    def put(self, one: Write | Act) -> None:
        """Queue it. Raises StoreBusy where too many writes wait, StoreUnavailable after `close`."""
        with self._gate:
            if self._closed:
                raise StoreUnavailable("The store is closed.", "Start the gateway again.")
            if isinstance(one, Write) and self._queue.qsize() >= self._limit:
                raise StoreBusy(f"{self._limit} writes wait for the disk already.", "Try again in a moment.")
            self._queue.put(one)

    def close(self) -> None:
        """Take nothing more. Harmless when done again."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._queue.put(None)

    def next(self, wait_s: float | None = None) -> Batch:
        """What has queued up, at least one write, or an act alone. Raises queue.Empty where nothing comes in time."""
        first, self._act_next = self._act_next or self._queue.get(timeout=wait_s), None
        if first is None or isinstance(first, Act):
            return first
        if self.busy:
            self._gather()
        batch, characters = [first], first.characters
        with contextlib.suppress(queue.Empty):
            while len(batch) < BATCH_ROWS and characters < BATCH_CHARACTERS:
                write = self._queue.get_nowait()
                if write is None:
                    self._queue.put(None)  # nothing can follow it: `put` refuses once closed
                    break
                if isinstance(write, Act):
                    self._act_next = write
                    break
                batch.append(write)
                characters += write.characters
        now = time.monotonic()
        self._apart_s, self._batched_at = (now - self._batched_at) / len(batch), now
        self.busy = len(batch) > 1
        return batch

    def _gather(self) -> None:
        """Let more writes come, as long as they do: a commit costs as much CPU for fifty as for one."""
        began = time.monotonic()
        quiet_s = min(QUIET * self._apart_s, GATHER_S / 3)
        while time.monotonic() - began < GATHER_S:
            waiting = self._queue.qsize()
            time.sleep(quiet_s)
            if self._queue.qsize() == waiting:
                return
