"""Is the process up, and can it answer a chat? Two questions for two different mends: restart it, or wait."""

from __future__ import annotations

import asyncio

import msgspec
from litestar import Response, get

from feedback.errors import UnknownAlias, UpstreamRefused
from service.errors import failure_of
from service.parts import AnyRequest, Parts, parts_of
from service.upstream import faults
from service.upstream.host import full_name


class PartHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One part, and what is wrong with it."""

    ready: bool
    code: str = ""
    message: str = ""
    mend: str = ""


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    ready: bool
    parts: dict[str, PartHealth]


@get("/health", summary="Is the process up?", allow="anybody")
async def health() -> dict[str, str]:
    """Always, if it answers at all."""
    return {"status": "up"}


@get("/ready", summary="Can it answer a chat?", allow="anybody")
async def ready(request: AnyRequest) -> Response[Readiness]:
    """200 where the store, the upstream and the aliases are fit to serve, else 503; each part says why."""
    parts = parts_of(request)
    names = ("store", "upstream", "alias")
    checks = await asyncio.gather(
        _check_store(parts), _check_upstream(parts), _check_alias(parts), return_exceptions=True
    )
    found = {name: _health(result) for name, result in zip(names, checks, strict=True)}
    fit = all(part.ready for part in found.values())
    return Response(Readiness(ready=fit, parts=found), status_code=200 if fit else 503)


def _health(result: str | BaseException | None) -> PartHealth:
    """How a check went: it raised, or has something to tell, or nothing."""
    if not isinstance(result, BaseException):
        return PartHealth(ready=True, message=result or "")
    failure = failure_of(result)
    return PartHealth(ready=False, code=failure.code, message=failure.message, mend=failure.mend)


async def _check_store(parts: Parts) -> str:
    """It can be read, and takes writes; where it doesn't, and chats go on all the same, that is told."""

    def read() -> None:
        with parts.store.reader() as cursor:
            cursor.execute("SELECT 1").fetchall()

    await asyncio.to_thread(read)
    trouble = parts.store.trouble
    if trouble is None:
        return ""
    if parts.gateway.on_store_failure == "serve":
        return f"Chats are answered and not recorded. {trouble}"
    raise trouble


async def _check_upstream(parts: Parts) -> str:
    """One host is enough; how many there are is told, and which they are stands in the log."""
    upstream = parts.upstream
    await upstream.looks.look_again()
    answering = sum(host.answered for host in upstream.hosts)
    if not answering:
        raise faults.down(upstream.hosts[0].name if len(upstream.hosts) == 1 else f"any of {len(upstream.hosts)} hosts")
    return f"{answering} of {len(upstream.hosts)} hosts answer." if len(upstream.hosts) > 1 else ""


async def _check_alias(parts: Parts) -> str:
    """There is a name to chat with, and some host that answers has every champion."""
    aliases = parts.aliases.all()
    if not aliases:
        raise UnknownAlias("There is no name to chat with yet.", "Register a version, for example by `ratchet up`.")
    await parts.upstream.looks.look_again()
    answering = [host for host in parts.upstream.hosts if host.answered]
    if not answering:
        return ""  # that is the upstream's part to say
    serving = {
        alias.champion.tag: sum(host.has(full_name(alias.champion.tag)) for host in answering)
        for alias in aliases.values()
    }
    missing = [tag for tag, hosts in serving.items() if not hosts]
    if missing:
        raise UpstreamRefused(f"The upstream lacks {', '.join(missing)}.", "`ratchet promote` pushes a version again.")
    partly = [f"{tag} on {hosts} of {len(answering)} hosts" for tag, hosts in serving.items() if hosts < len(answering)]
    return f"{', '.join(partly)}: `ratchet promote` pushes it to the others." if partly else ""
