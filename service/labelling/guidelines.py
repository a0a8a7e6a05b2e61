"""Guidelines: what a project's annotators hold to, version by version. All are kept: annotations name theirs."""

from __future__ import annotations

import asyncio

import msgspec
from litestar import get, put
from litestar.params import FromPath, FromQuery
from litestar.types import ControllerRouterHandler

from feedback.errors import Conflict, InvalidInput, NotFound
from feedback.labelling.records import Guideline
from feedback.mint import new_id, now
from feedback.store.database import Store
from feedback.store.tables import GUIDELINES
from service.commits import committed
from service.labelling.people import name_of
from service.paging import Page, check_limit, key_of, page_of
from service.parts import AnyRequest, parts_of
from service.turns import decode

TEXT_LIMIT = 100_000
"""Characters of a guideline."""
PROJECT_LIMIT = 200


class UnknownGuideline(NotFound):
    code = "unknown-guideline"


class GuidelineInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an expert sends to write the next version."""

    text: str
    """Markdown."""
    based_on: int | None = None
    """The version that it was written from: refused where another one holds by now. Left out: written anyway."""


@get("/guidelines/{project:str}", summary="A project's guideline", allow="annotator", scope="annotate")
async def read_guideline(request: AnyRequest, project: FromPath[str], version: FromQuery[int] = 0) -> Guideline:
    """The version that holds, or the one that is named."""
    found = await asyncio.to_thread(_one, parts_of(request).store, project, version)
    if found is None:
        raise UnknownGuideline("This project has no such guideline.", "PUT /guidelines/{project} writes one.")
    return found


@get(
    "/guidelines/{project:str}/versions",
    summary="All versions of a guideline, newest first",
    allow="annotator",
    scope="annotate",
)
async def read_guideline_versions(
    request: AnyRequest, project: FromPath[str], cursor: FromQuery[str] = "", limit: FromQuery[int] = 50
) -> Page[Guideline]:
    """A page of `limit` (1 to 500) versions; none for a project that has no guideline."""
    before, count = key_of("guidelines", cursor) or "0", check_limit(limit) + 1
    if not (before.isascii() and before.isdecimal() and len(before) < 10):
        raise InvalidInput("cursor is none of this list's.", "Send next_cursor as it came, or leave cursor out.")
    found = await asyncio.to_thread(_versions, parts_of(request).store, project, int(before), count)
    return page_of("guidelines", found, limit, lambda one: str(one.version))


@put("/guidelines/{project:str}", summary="Write the next version of a guideline", allow="expert")
async def put_guideline(request: AnyRequest, project: FromPath[str]) -> Guideline:
    """It holds from now on. The text that holds already, sent again, is no new version."""
    given, parts = decode(await request.body(), GuidelineInput, InvalidInput), parts_of(request)
    _check(given, project)
    async with parts.deciding:
        latest = await asyncio.to_thread(_one, parts.store, project, 0)
        if latest is not None and latest.text == given.text:
            return latest
        holds = 0 if latest is None else latest.version
        if given.based_on not in (None, holds):
            raise Conflict(f"Version {holds} holds by now.", "Read it, and write what you want from there.")
        guideline = Guideline(
            guideline_id=new_id("guideline"),
            created_at=now(),
            project=project,
            version=holds + 1,
            author=name_of(request),
            text=given.text,
        )
        await committed(parts.store.add(GUIDELINES, guideline))
    return guideline


def _check(given: GuidelineInput, project: str) -> None:
    if not given.text.strip():
        raise InvalidInput("text is empty.", "Write what annotators are to hold to.")
    if len(given.text) > TEXT_LIMIT:
        raise InvalidInput(f"text has {len(given.text)} characters.", f"Write at most {TEXT_LIMIT}.")
    if len(project) > PROJECT_LIMIT or not project.isprintable():
        raise InvalidInput("The project's name is none.", "A project is the alias that people chat with.")


def _one(store: Store, project: str, version: int) -> Guideline | None:
    """That version; for 0 the latest."""
    where, values = ("AND version = ?", [project, version]) if version else ("ORDER BY version DESC LIMIT 1", [project])
    found = store.rows(GUIDELINES, f"WHERE project = ? {where}", values)
    return found[0] if found else None


def _versions(store: Store, project: str, before: int, count: int) -> list[Guideline]:
    where = "WHERE project = ? AND (? = 0 OR version < ?) ORDER BY version DESC LIMIT ?"
    return store.rows(GUIDELINES, where, [project, before, before, count])


ROUTES: list[ControllerRouterHandler] = [read_guideline, read_guideline_versions, put_guideline]
