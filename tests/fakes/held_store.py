"""A store whose commits a test can hold back or let fail, as a slow or broken disk would. The one behind is real."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any

from feedback.store.database import Store
from feedback.turns import Turn


class HeldStore:
    """Holds every turn's acknowledgement until `release`; `failing` makes them fail. All else is the real store."""

    def __init__(self, real: Store) -> None:
        self._real = real
        self._gate = threading.Event()
        self.failing: Exception | None = None
        self.refusing: Exception | None = None
        """Raised at once by `add_turn`, as a full queue is."""
        self.held: list[Turn] = []

    def release(self) -> None:
        """Let every commit through, those held and those to come."""
        self._gate.set()

    def add_turn(self, turn: Turn, keyed: Any = None) -> Future[None]:
        if self.refusing is not None:
            raise self.refusing
        self.held.append(turn)
        acknowledged: Future[None] = Future()

        def commit() -> None:
            self._gate.wait(30)
            if not acknowledged.set_running_or_notify_cancel():
                return
            try:
                if self.failing is not None:
                    raise self.failing
                self._real.add_turn(turn, keyed).result(10)
                acknowledged.set_result(None)
            except Exception as error:  # whatever it is, the waiting request must be told
                acknowledged.set_exception(error)

        threading.Thread(target=commit, daemon=True).start()
        return acknowledged

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)
