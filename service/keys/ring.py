"""Every key in memory, and who holds it: found in a microsecond once it has been proved, proved by scrypt before.

A token that was proved is remembered by a digest under a random key of this process, never as itself. Since a key has
one secret only, any other token for a proved key is wrong without a second look: a stream of wrong ones costs no scrypt
but for keys that nobody has used since the start, and there one thread and a short queue bound it. What is made or
revoked here holds at once, since one gateway owns the store. Must never happen: a key handed out before its row is
durable, a revoked one let in.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec

from feedback.errors import Conflict, NotFound, RateLimited, Unauthorized
from feedback.keys import KeyCreated, KeyRevoked
from feedback.mint import new_id, now
from feedback.store.database import Store
from service.callers import Caller
from service.commits import committed
from service.keys import tokens
from service.keys.inputs import KeyInput

WAITING_LIMIT = 64
"""Tokens that may wait to be proved; a further one is told to come again."""
UNKNOWN = ("This key is not known here.", "Ask the operator for one: `ratchet keys create`.")


class UnknownKey(NotFound):
    code = "unknown-key"


class Key(msgspec.Struct, kw_only=True):
    """One key as it stands."""

    made: KeyCreated
    caller: Caller
    expires_at: float
    """Seconds since 1970; infinite where it does not expire."""
    revoked: KeyRevoked | None = None
    proved: bytes | None = None
    """Digest of its token, once it was seen."""

    @property
    def live(self) -> bool:
        """Whether it holds now."""
        return self.revoked is None and time.time() < self.expires_at

    @property
    def whole(self) -> bool:
        """Whether it is an operator's and narrowed in nothing."""
        return self.caller.role == "operator" and not self.caller.scopes and not self.caller.aliases

    def check(self) -> Caller:
        """Whose it is. Raises Unauthorized where it holds no longer."""
        if self.revoked is not None:
            raise Unauthorized("This key was revoked.", "Ask the operator for another: `ratchet keys create`.")
        if time.time() >= self.expires_at:
            raise Unauthorized("This key has expired.", "Ask the operator for another: `ratchet keys create`.")
        return self.caller


class KeyRing:
    """The keys of one store. `close` it when done."""

    def __init__(self, store: Store) -> None:
        """Reads every key; blocks for some milliseconds."""
        self._store = store
        self._pepper = secrets.token_bytes(32)
        self._keys = {made.key_id: _key(made) for made in store.api_keys()}
        for revocation in store.revocations():
            if revocation.key_id in self._keys:
                self._keys[revocation.key_id].revoked = revocation
        self._proved: dict[bytes, Key] = {}
        self._prover = ThreadPoolExecutor(max_workers=1, thread_name_prefix="key-prover")
        self._waiting = 0
        self._revoking = asyncio.Lock()
        self._deciding = threading.Lock()
        """While it is looked whether another operator's key is left: erasing ends keys in a thread of its own."""

    def close(self) -> None:
        """End the thread that proves."""
        self._prover.shutdown(wait=True, cancel_futures=True)

    def all(self) -> list[Key]:
        """Every key, oldest first; also those that hold no longer."""
        return list(self._keys.values())

    def get(self, key_id: str) -> Key:
        """One key. Raises UnknownKey."""
        if key_id not in self._keys:
            raise UnknownKey("There is no key of that id.", "GET /keys lists them: an id is `key-` and 32 hex digits.")
        return self._keys[key_id]

    def has_operator(self) -> bool:
        """Whether any key that holds is an operator's with all rights: without one nobody could make further ones."""
        return any(key.live and key.whole for key in self.all())

    def recall(self, token: bytes) -> Key | None:
        """The key of a token that was proved before; none says nothing yet. It may hold no longer: see `Key.check`."""
        return self._proved.get(self._digest(token))

    async def prove(self, token: bytes) -> Key:
        """The key of a token. Raises Unauthorized, RateLimited where too many wait to be proved."""
        digest = self._digest(token)
        if (known := self._proved.get(digest)) is not None:
            return known
        claimed = tokens.parse(token)
        key = self._keys.get(claimed[0]) if claimed else None
        if claimed is None or key is None:
            raise Unauthorized(*UNKNOWN)
        if key.proved is None and key.revoked is None:
            await self._prove(key, claimed[1], digest)
        if key.proved is None or not hmac.compare_digest(key.proved, digest):
            raise Unauthorized(*UNKNOWN)
        return key

    async def create(self, given: KeyInput, keep: Callable[[str], object] | None = None) -> tuple[Key, str]:
        """Make a key: (the key, its token, which nobody can be told again). Durable when it returns.

        `keep` is given the token, in a thread, before the key is stored: a crash in between must not leave a key that
        nobody was told.
        """
        key_id = new_id("key")
        token = tokens.new_token(key_id)
        claimed = tokens.parse(token.encode())
        assert claimed is not None
        made = KeyCreated(
            key_id=key_id,
            created_at=now(),
            secret_hash=await asyncio.to_thread(tokens.hash_secret, claimed[1]),
            **_fields(given),
        )
        if keep is not None:
            await asyncio.to_thread(keep, token)
        await committed(self._store.add_key(made))
        key = _key(made)
        self._keys[key_id] = key
        self._remember(key, self._digest(token.encode()))
        return key, token

    async def revoke(self, key_id: str) -> Key:
        """End a key at once; durable when it returns. Raises UnknownKey, Conflict for the last operator's."""
        key = self.get(key_id)
        async with self._revoking:
            if key.revoked is None:
                await self._revoke(key)
        return key

    def end(self, key_ids: Sequence[str]) -> None:
        """Revoke these keys and forget whose they are, name included, durably; the last operator's is only forgotten.

        For erasing a person: blocks, so call it in a thread. Harmless when done again. Raises StoreUnavailable.
        """
        keys = [self._keys[key_id] for key_id in key_ids if key_id in self._keys]
        ended = [key for key in keys if key.revoked is None and self._decide(key)]
        try:
            self._store.end_keys(key_ids, [key.revoked for key in ended if key.revoked is not None])
        except Exception:  # raised on, as in `_revoke`
            for key in ended:
                key.revoked = None
            raise
        for key in keys:
            key.made = msgspec.structs.replace(key.made, name="", subject="")
            key.caller = msgspec.structs.replace(key.caller, subject="")

    def _decide(self, key: Key) -> bool:
        """Revoke a key here, unless it is the last operator's; whether it was. Nothing is stored yet."""
        with self._deciding:
            was_live = key.live
            key.revoked = KeyRevoked(revocation_id=new_id("revocation"), key_id=key.made.key_id, created_at=now())
            if was_live and key.whole and not self.has_operator():
                key.revoked = None
            return key.revoked is not None

    async def _revoke(self, key: Key) -> None:
        if not self._decide(key):
            raise Conflict(
                "This is the last operator's key: without it nobody could make another.", "Make another one first."
            )
        assert key.revoked is not None
        try:
            await committed(self._store.add_revocation(key.revoked))
        except Exception:  # raised on; it was not made durable, and must not look as if it were
            key.revoked = None
            raise

    async def _prove(self, key: Key, secret: bytes, digest: bytes) -> None:
        if self._waiting >= WAITING_LIMIT:
            raise RateLimited("Too many keys wait to be looked at.", "Try again in a moment.", retry_after_s=1)
        self._waiting += 1
        try:
            await asyncio.get_running_loop().run_in_executor(self._prover, self._look_at, key, secret, digest)
        finally:
            self._waiting -= 1

    def _look_at(self, key: Key, secret: bytes, digest: bytes) -> None:
        """In the prover's thread. A key that was proved while this one waited needs no second look: digests decide."""
        if key.proved is None and tokens.matches(secret, key.made.secret_hash):
            self._remember(key, digest)

    def _remember(self, key: Key, digest: bytes) -> None:
        key.proved = digest
        self._proved[digest] = key

    def _digest(self, token: bytes) -> bytes:
        return hashlib.blake2b(token, key=self._pepper, digest_size=32).digest()


def _fields(given: KeyInput) -> dict[str, Any]:
    return msgspec.structs.asdict(given)


def _key(made: KeyCreated) -> Key:
    caller = msgspec.convert({field: getattr(made, field) for field in Caller.__struct_fields__}, Caller)
    return Key(made=made, caller=caller, expires_at=made.expires_at.timestamp() if made.expires_at else math.inf)
