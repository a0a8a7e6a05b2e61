"""The same answer to the same request, sent twice with one Idempotency-Key: nothing is asked, counted or stored twice.

    key seen before, same request ─► the stored answer     key seen before, another request ─► 422
    key under way right now ─► 409                          else ─► answered, and its row carries the key

A key is its caller's own and holds for a day, also over a restart: it is stored in the transaction that stores what it
stands for. An answer that failed or was cut is no answer; the next attempt is a new one. Nothing of this is paid by a
request without the header.
"""

from __future__ import annotations

import asyncio
import hashlib
from concurrent.futures import Future
from types import TracebackType
from typing import Any, Self

from litestar import Request

from feedback.errors import IdempotencyBusy, IdempotencyMismatch, InvalidInput
from feedback.keyed import KEPT, KeyedAnswer
from feedback.mint import now
from feedback.store.database import Store
from service.callers import caller_of

AnyRequest = Request[Any, Any, Any]
HEADER = "idempotency-key"
RAW_HEADER = HEADER.encode()
REPLAYED = {"Idempotency-Replayed": "true"}
"""Headers of an answer that is given again."""
KEY_LIMIT = 255
"""Most characters of a key."""


class Once:
    """One request's claim on its key: `with` it, the key is held until the request has been answered or has failed."""

    def __init__(self, under_way: dict[str, str], key_hash: str, request_hash: str) -> None:
        self.known: KeyedAnswer | None = None
        """What was answered before; then nothing may be done again."""
        self._under_way = under_way
        self._key_hash = key_hash
        self._request_hash = request_hash
        self._handed_on = False

    def row(self, answer_id: str, turn_id: str, said: str = "") -> KeyedAnswer | None:
        """What to store with the answer, in one transaction; none where there is no key."""
        if not self._key_hash:
            return None
        return KeyedAnswer(
            key_hash=self._key_hash,
            turn_id=turn_id,
            answer_id=answer_id,
            created_at=now(),
            request_hash=self._request_hash,
            said=said,
        )

    def until(self, stored: Future[Any]) -> Future[Any]:
        """Hold the key until this write has ended, even if nobody waits for it any more."""
        if self._key_hash:
            self._handed_on = True
            stored.add_done_callback(lambda _: self._release())
        return stored

    def let_go(self) -> None:
        """It will not be answered: another attempt may begin."""
        self.__exit__(None, None, None)

    def _release(self) -> None:
        self._under_way.pop(self._key_hash, None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._handed_on and self._key_hash and self.known is None:
            self._release()


class Replays:
    """The keys that are under way, and those that were answered."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._under_way: dict[str, str] = {}

    async def claim(self, request: AnyRequest, body: bytes) -> Once:
        """The request's claim on its key, or on nothing where it has none; `with` it at once.

        Raises InvalidInput for a key that is none, IdempotencyMismatch, IdempotencyBusy, StoreUnavailable.
        """
        key = request.headers.get(HEADER)
        if key is None:
            return NO_KEY
        if not 1 <= len(key) <= KEY_LIMIT or not key.isascii() or not key.isprintable():
            raise InvalidInput("Idempotency-Key is no key.", f"Send 1 to {KEY_LIMIT} printable ASCII characters.")
        caller = caller_of(request)
        key_hash = _sha256(caller.key_id, caller.subject, key)
        request_hash = _sha256(request.method, request.url.path, body)
        if (other := self._under_way.get(key_hash)) is not None:
            _same(other, request_hash)
            raise IdempotencyBusy("A request with this Idempotency-Key is under way.", "Ask again in a moment.")
        self._under_way[key_hash] = request_hash
        once = Once(self._under_way, key_hash, request_hash)
        try:
            known = await asyncio.to_thread(self._store.keyed, key_hash, now() - KEPT)
            if known is not None:
                _same(known.request_hash, request_hash)
        except BaseException:  # a request that is cancelled, too, must not keep the key
            once.let_go()
            raise
        if known is not None:
            once.let_go()
            once.known = known
        return once


NO_KEY = Once({}, "", "")


def has_key(request: AnyRequest) -> bool:
    """Whether it came with one."""
    return RAW_HEADER in dict(request.scope["headers"])


def _same(known: str, asked: str) -> None:
    if known != asked:
        raise IdempotencyMismatch(
            "This Idempotency-Key came with another request before.", "Use a fresh key for each request."
        )


def _sha256(*parts: str | bytes) -> str:
    """Of several parts, none of which can run into the next."""
    found = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "big") + data)
    return found.hexdigest()
