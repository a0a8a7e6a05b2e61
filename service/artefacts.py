"""The learner's window into the store, and the operator's into the learner: snapshots, versions, cycles, requests.

The learner never opens the database: it asks here for a snapshot. The gateway never trains: what an operator wants of
the learner is written as a request file, which the learner takes up. Everything else here only reads what they wrote.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from pathlib import Path
from typing import Any, Literal

import msgspec
from litestar import Response, get, post, put
from litestar.params import FromPath, FromQuery

from feedback.errors import (
    InvalidInput,
    UnknownCycle,
    UnknownRequest,
    UnknownSnapshot,
    UnknownTokenizer,
    UnknownVersion,
)
from feedback.files import replace_file
from feedback.mint import new_id, now
from feedback.quality.trust import standing_of
from learner.alias import Alias
from learner.records import (
    CycleState,
    ErasedTraining,
    Request,
    RequestResult,
    VersionManifest,
    erased_trainings,
    journal_files,
    parse_semver,
    read_cycle,
)
from service.paging import Page, page_behind
from service.parts import AnyRequest, Parts, parts_of
from service.turns import decode

SHA256 = re.compile(r"^[0-9a-f]{64}$")
NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$")
"""Names that may become part of a path."""
ARTEFACT_LIMIT_BYTES = 64 * 1024 * 1024
"""Largest tokenizer or list of guarded texts; the limit of ordinary bodies is far below."""


class SnapshotInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to freeze the pool with."""

    tokenizer: str | None = None
    """SHA-256 of a tokenizer that was put here; none estimates lengths."""
    guard: list[str] = []
    """Texts that nothing near is trained on, for example the retention suite's questions."""
    base_model: str = ""


class RequestInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an operator wants of the learner."""

    kind: Literal["cycle", "promote", "rollback"]
    alias: str = "assistant"
    version: str = ""
    """For promote: which version."""
    reason: str = ""


class Versions(msgspec.Struct, frozen=True, kw_only=True):
    aliases: dict[str, Alias]
    versions: list[VersionManifest]
    """By model, then oldest first."""
    next_cursor: str | None = None
    """Send it as `cursor` for the next versions; null where there are no more."""
    trained_on_erased_data: dict[str, list[ErasedTraining]] = {}
    """`<model>:<version>` → what was erased of its training data since; only versions that lost some."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A request and what came of it."""

    state: Literal["waiting", "done"]
    result: RequestResult | None = None


@put(
    "/tokenizers/{sha256:str}",
    status_code=201,
    summary="Put a tokenizer",
    request_max_body_size=ARTEFACT_LIMIT_BYTES,
    allow="operator",
)
async def put_tokenizer(request: AnyRequest, sha256: FromPath[str]) -> dict[str, str]:
    """Keep a base model's tokenizer.json under its hash, so that snapshots count in its tokens."""
    data = await request.body()
    found = hashlib.sha256(data).hexdigest()
    if not SHA256.match(sha256) or found != sha256:
        raise InvalidInput(f"The body's SHA-256 is {found}, not the one in the path.", "Put it under its own hash.")
    await asyncio.to_thread(replace_file, _tokenizer_file(parts_of(request), sha256), data)
    return {"sha256": sha256}


@post("/snapshots", summary="Freeze the pool", request_max_body_size=ARTEFACT_LIMIT_BYTES, allow="operator")
async def freeze_pool(request: AnyRequest) -> Response[bytes]:
    """Freeze what can be learnt now and answer with the snapshot's manifest; the same content gives the same one."""
    parts = parts_of(request)
    given = decode(await request.body() or b"{}", SnapshotInput, InvalidInput)
    async with parts.freezing:
        manifest = await asyncio.to_thread(_freeze, parts, given)
    return Response(msgspec.json.encode(manifest), media_type="application/json")


@get("/snapshots/{snapshot_id:str}", summary="One snapshot's manifest", allow="operator")
async def read_snapshot(request: AnyRequest, snapshot_id: FromPath[str]) -> Response[bytes]:
    """The manifest as it was written."""
    file = parts_of(request).data_dir / "snapshots" / snapshot_id / "manifest.json"
    if not NAME.match(snapshot_id) or not file.is_file():
        raise UnknownSnapshot(f"There is no snapshot {snapshot_id[:100]!r}.", "POST /snapshots makes one.")
    return Response(await asyncio.to_thread(file.read_bytes), media_type="application/json")


@get("/pool", summary="What could be learnt from now", allow="operator")
async def read_pool(request: AnyRequest) -> dict[str, int]:
    """Counts by reason; lengths are estimated."""
    return await asyncio.to_thread(_pool_counts, parts_of(request))


@get("/versions", summary="Aliases and registered versions", allow="operator")
async def read_versions(request: AnyRequest, cursor: FromQuery[str] = "", limit: FromQuery[int] = 50) -> Versions:
    """What serves, and a page of `limit` (1 to 500) of the registry's versions."""
    parts = parts_of(request)
    registry = parts.data_dir / "registry"
    page = page_behind("versions", await asyncio.to_thread(_manifests, registry), cursor, limit, _in_order)
    return Versions(
        aliases=parts.aliases.all(),
        versions=page.items,
        next_cursor=page.next_cursor,
        trained_on_erased_data=await asyncio.to_thread(erased_trainings, registry),
    )


@post("/requests", status_code=202, summary="Ask the learner for a cycle, a promotion or a rollback", allow="operator")
async def ask_learner(request: AnyRequest) -> Request:
    """Write a request file, which the learner takes up."""
    parts = parts_of(request)
    given = decode(await request.body(), RequestInput, InvalidInput)
    _check_request(parts, given)
    wish = Request(request_id=new_id("request"), at=now(), **msgspec.structs.asdict(given))
    file = parts.data_dir / "requests" / f"{wish.request_id}.json"
    await asyncio.to_thread(replace_file, file, msgspec.json.encode(wish))
    return wish


@get("/requests/{request_id:str}", summary="What came of a request", allow="operator")
async def read_request(request: AnyRequest, request_id: FromPath[str]) -> Asked:
    """`waiting` until the learner has done it, then `done` with its result."""
    folder = parts_of(request).data_dir / "requests"
    result = folder / "done" / f"{request_id}.result.json"
    if NAME.match(request_id):
        # Looked for in this order, one that is done in between is found by its result.
        waits = await asyncio.to_thread((folder / f"{request_id}.json").is_file)
        if await asyncio.to_thread(result.is_file):
            data = await asyncio.to_thread(result.read_bytes)
            return Asked(state="done", result=msgspec.json.decode(data, type=RequestResult))
        if waits:
            return Asked(state="waiting")
    raise UnknownRequest(f"There is no request {request_id[:100]!r}.", "POST /requests makes one.")


@get("/cycles", summary="Cycles, newest first", allow="operator")
async def read_cycles(request: AnyRequest, cursor: FromQuery[str] = "", limit: FromQuery[int] = 50) -> Page[CycleState]:
    """A page of `limit` (1 to 500) cycles, each as its journal tells it."""
    journal = parts_of(request).data_dir / "journal"
    files = await asyncio.to_thread(lambda: journal_files(journal)[::-1])
    page = page_behind("cycles", files, cursor, limit, lambda file: file.stem, newest=True)
    states = await asyncio.to_thread(lambda: [read_cycle(file) for file in page.items])
    return Page(items=states, next_cursor=page.next_cursor)


@get("/cycles/{cycle_id:str}", summary="One cycle", allow="operator")
async def read_one_cycle(request: AnyRequest, cycle_id: FromPath[str]) -> CycleState:
    """The cycle as its journal tells it."""
    file = parts_of(request).data_dir / "journal" / f"{cycle_id}.jsonl"
    if not NAME.match(cycle_id) or not file.is_file():
        raise UnknownCycle(f"There is no cycle {cycle_id[:100]!r}.", "GET /cycles lists them.")
    return await asyncio.to_thread(read_cycle, file)


@post("/backups", summary="Back the store up", allow="operator")
async def back_up(request: AnyRequest) -> dict[str, Any]:
    """Copy the whole store while it serves."""
    parts = parts_of(request)
    return await asyncio.to_thread(_back_up, parts)


def _tokenizer_file(parts: Parts, sha256: str) -> Path:
    return parts.data_dir / "tokenizers" / f"{sha256}.json"


def _freeze(parts: Parts, given: SnapshotInput) -> msgspec.Struct:
    from feedback.freeze import freeze  # pyarrow and tokenizers take a second to import, and start-up must be quick

    tokenizer = None
    if given.tokenizer is not None:
        tokenizer = _tokenizer_file(parts, given.tokenizer)
        if not SHA256.match(given.tokenizer) or not tokenizer.is_file():
            raise UnknownTokenizer(
                f"There is no tokenizer {given.tokenizer[:64]!r} here.", "PUT /tokenizers/<sha256> first."
            )
    with parts.eraser.freezing, parts.store.reader() as cursor:
        at = now()
        return freeze(
            cursor, parts.pool, parts.data_dir / "snapshots", tokenizer, given.guard, at,
            base_model=given.base_model, standing=standing_of(cursor, parts.quality, at),
        )  # fmt: skip


def _pool_counts(parts: Parts) -> dict[str, int]:
    from feedback.freeze import pool_counts  # as above

    with parts.store.reader() as cursor:
        at = now()
        return pool_counts(cursor, parts.pool, at, standing_of(cursor, parts.quality, at))


def _manifests(registry: Path) -> list[VersionManifest]:
    found = [
        msgspec.json.decode(file.read_bytes(), type=VersionManifest) for file in registry.glob("*/*/manifest.json")
    ]
    return sorted(found, key=_in_order)


def _in_order(manifest: VersionManifest) -> str:
    """Sorts by model, then by version; as a text, so that a cursor can hold it."""
    return " ".join([manifest.model, *(f"{number:010}" for number in parse_semver(manifest.version))])


def _check_request(parts: Parts, given: RequestInput) -> None:
    if not NAME.match(given.alias):
        raise InvalidInput("alias is no name.", "Name an alias that GET /versions lists.")
    if given.kind != "promote":
        return
    parse_semver(given.version)
    if not (parts.data_dir / "registry" / given.alias / given.version / "manifest.json").is_file():
        raise UnknownVersion(f"There is no version {given.version} of {given.alias}.", "GET /versions lists them.")


def _back_up(parts: Parts) -> dict[str, Any]:
    folder = parts.data_dir / "backups"
    folder.mkdir(parents=True, exist_ok=True)
    file = parts.store.backup(folder)
    return {"file": str(file), "bytes": file.stat().st_size}
