"""`ratchet keys`: make, list and revoke API keys. By the gateway where one runs, else by opening the store here.

A token is printed once, on standard output and nowhere else, so that it can be piped into a secret store.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import msgspec
from rich.console import Console
from rich.table import Table

from feedback.errors import UpstreamDown
from feedback.mint import now
from feedback.operator_key import write_operator_key
from service.cli.operations import ask_gateway
from service.cli.settings import Settings
from service.keys.inputs import KeyInput, KeyShown, check_key
from service.keys.ring import KeyRing
from service.keys.routes import shown
from service.paging import Page

Result = TypeVar("Result")


def create_key(settings: Settings, given: KeyInput, *, days: float, keep: bool) -> int:
    """`ratchet keys create`. `days` until it expires, 0: never. `keep`: also as the operator's key of this machine."""
    if days:
        given = msgspec.structs.replace(given, expires_at=now() + dt.timedelta(days=days))
    check_key(given)
    try:
        made = ask_gateway(settings, "POST", "/keys", msgspec.to_builtins(given))
        token, key_id = made["token"], made["key"]["key_id"]
    except UpstreamDown:
        key, token = _at_the_store(settings, lambda ring: ring.create(given))
        key_id = key.made.key_id
    if keep:
        write_operator_key(settings.store.data_dir, token)
    Console(stderr=True, highlight=False).print(f"{key_id}: keep its token well, it is not told again.")
    print(token)
    return 0


def list_keys(settings: Settings) -> int:
    """`ratchet keys list`."""
    table = Table("key", "name", "role", "state", "subject", "scopes", "aliases", "a minute", "expires", "recorded")
    for key in _all(settings):
        limits = [f"{count} {what}" for count, what in _limits(key) if count]
        table.add_row(
            key.key_id,
            key.name,
            key.role,
            key.state,
            key.subject,
            ", ".join(key.scopes) or "all",
            ", ".join(key.aliases) or "all",
            ", ".join(limits) or "no limit",
            f"{key.expires_at:%Y-%m-%d}" if key.expires_at else "never",
            "yes" if key.store else "no",
        )
    Console().print(table)
    return 0


def revoke_key(settings: Settings, key_id: str) -> int:
    """`ratchet keys revoke ID`."""
    try:
        ask_gateway(settings, "DELETE", f"/keys/{key_id}")
    except UpstreamDown:
        _at_the_store(settings, lambda ring: ring.revoke(key_id))
    print(f"{key_id} opens nothing any more.")
    return 0


def _all(settings: Settings) -> list[KeyShown]:
    try:
        found: list[KeyShown] = []
        cursor: str | None = ""
        while cursor is not None:
            page = msgspec.convert(ask_gateway(settings, "GET", f"/keys?cursor={cursor}"), Page[KeyShown])
            found += page.items
            cursor = page.next_cursor
        return found
    except UpstreamDown:
        return _at_the_store(settings, _shown)


async def _shown(ring: KeyRing) -> list[KeyShown]:
    return [shown(key) for key in ring.all()]


def _limits(key: KeyShown) -> list[tuple[int, str]]:
    return [(key.requests_per_minute, "requests"), (key.tokens_per_minute, "tokens")]


def _at_the_store(settings: Settings, act: Callable[[KeyRing], Awaitable[Result]]) -> Result:
    """Do it here, since no gateway runs. Raises StoreLocked where one does that could not be reached."""
    from feedback.store.database import Store

    async def run(ring: KeyRing) -> Result:
        return await act(ring)

    store = Store.open(settings.store)
    try:
        ring = KeyRing(store)
        try:
            return asyncio.run(run(ring))
        finally:
            ring.close()
    finally:
        store.close()


def key_input(given: Any) -> KeyInput:
    """The parsed command line's options as what the API takes. Raises InvalidInput."""
    from feedback.errors import InvalidInput

    try:
        return msgspec.convert(
            {
                "name": given.name,
                "role": given.role,
                "subject": given.subject,
                "store": not given.no_store,
                "requests_per_minute": given.requests_per_minute,
                "tokens_per_minute": given.tokens_per_minute,
                "scopes": given.scope,
                "aliases": given.alias,
            },
            KeyInput,
        )
    except msgspec.ValidationError as error:
        raise InvalidInput(f"The key can't be made: {error}.", "See `ratchet keys create --help`.") from error
