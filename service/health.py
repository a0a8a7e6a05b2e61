"""Is the process up, and can it answer a chat? Two questions for two different mends: restart it, or wait."""

from __future__ import annotations

import asyncio

import msgspec
from litestar import Response, get

from feedback.errors import RatchetError, UnknownAlias, UpstreamRefused
from service.errors import failure_of
from service.parts import AnyRequest, Parts, parts_of


class PartHealth(msgspec.Struct, frozen=True, kw_only=True):
    """One part, and what is wrong with it."""

    ready: bool
    code: str = ""
    message: str = ""
    mend: str = ""


class Readiness(msgspec.Struct, frozen=True, kw_only=True):
    ready: bool
    parts: dict[str, PartHealth]


@get("/health", summary="Is the process up?", allow="anybody", security=[{}])
async def health() -> dict[str, str]:
    """Always, if it answers at all."""
    return {"status": "up"}


@get("/ready", summary="Can it answer a chat?", allow="anybody", security=[{}])
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


def _health(result: BaseException | None) -> PartHealth:
    if result is None:
        return PartHealth(ready=True)
    failure = failure_of(result)
    return PartHealth(ready=False, code=failure.code, message=failure.message, mend=failure.mend)


async def _check_store(parts: Parts) -> None:
    def read() -> None:
        with parts.store.reader() as cursor:
            cursor.execute("SELECT 1").fetchall()

    await asyncio.to_thread(read)


async def _check_upstream(parts: Parts) -> None:
    await parts.upstream.fetch("GET", "/api/version")


async def _check_alias(parts: Parts) -> None:
    """There is a name to chat with, and the upstream has every champion."""
    aliases = parts.aliases.all()
    if not aliases:
        raise UnknownAlias("There is no name to chat with yet.", "Register a version, for example by `ratchet up`.")
    try:
        models = (await parts.upstream.fetch("GET", "/api/tags")).get("models", [])
    except RatchetError:
        return  # that is the upstream's part to say
    here = {model.get("name") for model in models}
    missing = [alias.champion.tag for alias in aliases.values() if alias.champion.tag not in here]
    if missing:
        raise UpstreamRefused(f"The upstream lacks {', '.join(missing)}.", "`ratchet promote` pushes a version again.")
