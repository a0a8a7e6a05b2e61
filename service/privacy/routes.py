"""Erasing and exporting, for operators. An erasure is answered once it is done, or says what it still waits for."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec
from litestar import Response, delete, get, post
from litestar.params import FromPath, FromQuery
from litestar.response import Stream

from feedback.erasure import Erasure, Kind
from feedback.errors import InvalidInput
from service.paging import Page, page_behind
from service.parts import AnyRequest, Parts, parts_of
from service.privacy.export import chunks, write_export
from service.turns import decode

ZIP = "application/zip"


class ErasureInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose data is to go: one of the three."""

    subject: str = ""
    conversation: str = ""
    turn: str = ""
    note: str = ""
    """For the record, which is kept: write no name here."""


class ExportInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose data is wanted."""

    subject: str


@delete("/subjects/{subject:str}", status_code=200, summary="Erase a person", allow="operator")
async def erase_subject(request: AnyRequest, subject: FromPath[str], note: FromQuery[str] = "") -> Response[Erasure]:
    """Their turns, ratings, annotations and attachments, in the store, in snapshots and in the learner's runs.

    200 with what went; 202 where something keeps it waiting, and it goes on by itself: see GET /erasures/{erasure_id}.
    """
    return await _erase(parts_of(request), "subject", subject, note)


@post("/erasures", status_code=200, summary="Erase a person, a conversation or a turn", allow="operator")
async def erase(request: AnyRequest) -> Response[Erasure]:
    """As DELETE /subjects/{subject}, also for names with a slash and for turns without a subject."""
    given = decode(await request.body(), ErasureInput, InvalidInput)
    wanted: dict[Kind, str] = {"subject": given.subject, "conversation": given.conversation, "turn": given.turn}
    named = [(kind, whose) for kind, whose in wanted.items() if whose]
    if len(named) != 1:
        raise InvalidInput(f"{len(named)} of subject, conversation and turn are given.", "Name exactly one.")
    return await _erase(parts_of(request), *named[0], given.note)


@get("/erasures", summary="Erasures, newest first", allow="operator")
async def read_erasures(request: AnyRequest, cursor: FromQuery[str] = "", limit: FromQuery[int] = 50) -> Page[Erasure]:
    """What was erased and when; no names. Up to `limit` (1 to 500); pass `next_cursor` as `cursor` to go on."""
    found = await asyncio.to_thread(parts_of(request).eraser.book.all)
    return page_behind("erasures", found, cursor, limit, lambda one: one.erasure_id, newest=True)


@get("/erasures/{erasure_id:str}", summary="One erasure", allow="operator")
async def read_erasure(request: AnyRequest, erasure_id: FromPath[str]) -> Erasure:
    """How far it is, and what went."""
    return await asyncio.to_thread(parts_of(request).eraser.book.read, erasure_id)


@get("/subjects/{subject:str}/export", summary="A person's data", media_type=ZIP, allow="operator")
async def export_subject(request: AnyRequest, subject: FromPath[str]) -> Stream:
    """A ZIP file with their turns, the ratings and annotations of these turns or by them, and their attachments."""
    return await _export(parts_of(request), subject)


@post("/exports", status_code=200, summary="A person's data, by any name", media_type=ZIP, allow="operator")
async def export(request: AnyRequest) -> Stream:
    """As GET /subjects/{subject}/export, also for names with a slash."""
    return await _export(parts_of(request), decode(await request.body(), ExportInput, InvalidInput).subject)


async def _erase(parts: Parts, kind: Kind, whose: str, note: str) -> Response[Erasure]:
    erasure = await asyncio.to_thread(parts.eraser.begin, kind, whose, note)
    # Shielded: an operator who hangs up does not stop it.
    await asyncio.shield(asyncio.to_thread(parts.eraser.go_on))
    found = await asyncio.to_thread(parts.eraser.book.read, erasure.erasure_id)
    status: Literal[200, 202] = 200 if found.state == "done" else 202
    return Response(found, status_code=status)


async def _export(parts: Parts, subject: str) -> Stream:
    if not subject.strip():
        raise InvalidInput("No subject is named.", "Say whose data is wanted.")
    file = await asyncio.to_thread(write_export, parts.store, parts.data_dir, subject)
    headers = {"content-disposition": 'attachment; filename="export.zip"', "cache-control": "no-store"}
    return Stream(chunks(file), media_type=ZIP, headers=headers)
