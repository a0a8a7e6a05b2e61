"""The routes of this room: files in and out for operators, ratings in bulk for whoever may rate."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from typing import cast, get_args

from litestar import get, post
from litestar.params import FromQuery
from litestar.response import Stream
from litestar.types import ControllerRouterHandler

from feedback.annotations import TIERS
from feedback.errors import InvalidInput
from feedback.formats.entries import Which, moment
from feedback.formats.registry import format_of
from service.callers import Caller, caller_of
from service.idempotency import HEADER, KEY_LIMIT
from service.parts import AnyRequest, parts_of
from service.transfer.exporting import Wanted, exported
from service.transfer.importing import Importer, ImportReport
from service.transfer.making import Origin
from service.transfer.ratings import RatingAnswers, RatingIntake
from service.transfer.webhooks import check_signature, secrets_of

SENDER = Caller(role="annotator")
"""Whoever signed a webhook: rates in the names that it says, and has no key."""


@post(
    "/imports", status_code=200, summary="Import feedback", allow="operator", request_max_body_size=None
)  # read as it comes, a record at a time, each with a limit of its own
async def import_feedback(
    request: AnyRequest,
    format: FromQuery[str] = "",
    project: FromQuery[str] = "",
    tier: FromQuery[str] = "annotator",
    dry_run: FromQuery[bool] = False,
) -> ImportReport:
    """The body is a file in that `format`: JSON lines, or one JSON array. The same file twice adds nothing."""
    parts = parts_of(request)
    if tier not in TIERS:
        raise InvalidInput("tier is none.", f"It is one of {', '.join(TIERS)}.")
    origin = Origin(format=format, project=project)
    importer = Importer(parts.store, parts.words, parts.importing, origin, tier, dry_run=dry_run)
    return await importer.run(request.stream())


@get("/exports/feedback", summary="Export feedback", allow="operator")
async def export_feedback(
    request: AnyRequest,
    format: FromQuery[str] = "jsonl",
    which: FromQuery[str] = "",
    project: FromQuery[str] = "",
    version: FromQuery[str] = "",
    since: FromQuery[str] = "",
    until: FromQuery[str] = "",
) -> Stream:
    """A file in that `format`, streamed: `which` of all, judged and good turns, begun from `since` until `until`."""
    form = format_of(format)
    if which and which not in get_args(Which):
        raise InvalidInput("which is none.", f"It is one of {', '.join(get_args(Which))}.")
    wanted = Wanted(
        which=cast(Which, which or form.which),
        project=project,
        version=version,
        since=_time("since", since),
        until=_time("until", until),
    )
    name = f"feedback-{form.name}.{'json' if form.array else 'jsonl'}"
    headers = {"content-disposition": f'attachment; filename="{name}"', "cache-control": "no-store"}
    kind = "application/json" if form.array else "application/x-ndjson"
    return Stream(exported(parts_of(request).store, form, wanted), media_type=kind, headers=headers)


@post("/ratings", status_code=200, summary="Rate many turns", allow="user", scope="rate")
async def rate_many(request: AnyRequest) -> RatingAnswers:
    """Up to 1,000 ratings, each answered by itself. With an Idempotency-Key the same ones are stored once."""
    parts, caller, key = parts_of(request), caller_of(request), request.headers.get(HEADER)
    if key is not None and (not 1 <= len(key) <= KEY_LIMIT or not key.isascii() or not key.isprintable()):
        raise InvalidInput("Idempotency-Key is no key.", f"Send 1 to {KEY_LIMIT} printable ASCII characters.")
    known_by = (caller.key_id, caller.subject, key) if key else ()
    body = await request.body()
    intake = RatingIntake(parts.store, parts.words, caller, key=known_by)
    if not known_by:
        return await intake.take(body)
    async with parts.importing:  # the same key at the same time must not be looked up twice before it is stored
        return await intake.take(body)


@post("/webhooks/ratings", status_code=200, summary="Ratings by webhook", allow="anybody")
async def rate_by_webhook(request: AnyRequest) -> RatingAnswers:
    """As POST /ratings, signed as Standard Webhooks has it, instead of with a key."""
    parts, body = parts_of(request), await request.body()
    secrets = await asyncio.to_thread(secrets_of, parts.gateway.webhook_secrets, parts.data_dir)
    webhook = check_signature(request.headers, body, secrets, at=time.time(), window_s=parts.gateway.webhook_window_s)
    async with parts.importing:
        return await RatingIntake(parts.store, parts.words, SENDER, key=("webhook", webhook)).take(body)


def _time(name: str, given: str) -> dt.datetime | None:
    found = moment(given) if given else None
    if given and found is None:
        raise InvalidInput(f"{name} is no time.", "Write 2026-11-24, or 2026-11-24T08:00:00Z.")
    return found


ROUTES: list[ControllerRouterHandler] = [import_feedback, export_feedback, rate_many, rate_by_webhook]
