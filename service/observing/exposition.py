"""The page that Prometheus reads, made when it is asked for; the one part that asks the store is kept for a minute."""

from __future__ import annotations

import asyncio
import logging
import time

from prometheus_client import generate_latest

from feedback.errors import RatchetError
from feedback.satisfaction import VersionRatings, satisfaction
from feedback.store.database import Store
from service.observing.meters import Meters, registry_of
from service.upstream.client import Upstream
from service.words.book import WordBook

log = logging.getLogger(__name__)

SATISFACTION_S = 60.0
"""How old the satisfaction may be: it is a question over all ratings."""


class Exposition:
    """The page, made when it is asked for."""

    def __init__(self, meters: Meters, store: Store, words: WordBook, upstream: Upstream) -> None:
        self._meters, self._store = meters, store
        self._registry = registry_of(meters, store, words, upstream)
        self._asked_at = float("-inf")
        self._asking = asyncio.Lock()

    async def page(self) -> bytes:
        """Everything, as it now stands. A store that can't be read leaves the satisfaction as it was."""
        async with self._asking:
            if time.monotonic() - self._asked_at >= SATISFACTION_S:
                try:
                    self._meters.satisfaction = await asyncio.to_thread(self._satisfaction)
                    self._asked_at = time.monotonic()
                except RatchetError as error:  # the rest is what an operator looks at just then
                    log.warning("satisfaction-unknown", extra={"fields": {"code": error.code}})
        return await asyncio.to_thread(generate_latest, self._registry)

    def _satisfaction(self) -> list[VersionRatings]:
        with self._store.reader() as cursor:
            return satisfaction(cursor)
