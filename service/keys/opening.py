"""Opening the door at start: the keys are read, and where some are needed and nobody could make any, one is made."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from feedback.operator_key import FILE_NAME, write_operator_key
from feedback.store.database import Store
from service.keys.guard import Door
from service.keys.hosts import OwnNames, keys_required
from service.keys.inputs import KeyInput
from service.keys.limits import Limits
from service.keys.ring import KeyRing
from service.keys.sessions import Sessions
from service.settings import GatewaySettings

log = logging.getLogger(__name__)


@contextlib.asynccontextmanager
async def opened_door(gateway: GatewaySettings, store: Store, data_dir: Path) -> AsyncIterator[Door]:
    """The guard's knowledge, for as long as the app is up. Raises Forbidden, StoreUnavailable."""
    required = keys_required(gateway)
    ring = await asyncio.to_thread(KeyRing, store)
    try:
        if required and not ring.has_operator():
            await first_key(ring, data_dir)
        yield Door(
            required=required,
            names=OwnNames(gateway.allowed_hosts),
            ring=ring,
            sessions=Sessions(gateway.session_hours),
            limits=Limits(),
        )
    finally:
        ring.close()


async def first_key(ring: KeyRing, data_dir: Path) -> Path:
    """Make an operator's key and write it where only the folder's owner reads it. Says where, never what."""
    given = KeyInput(name="first operator", role="operator")
    key, _ = await ring.create(given, keep=functools.partial(write_operator_key, data_dir))
    path = data_dir / FILE_NAME
    log.warning("operator-key-made", extra={"fields": {"key": key.made.key_id, "file": str(path)}})
    return path
