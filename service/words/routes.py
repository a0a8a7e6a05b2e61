"""Moderators' window into the filter: what is loaded, what it hit, changing it while it serves, trying a text."""

from __future__ import annotations

import asyncio
from typing import Literal

import msgspec
from litestar import get, post, put
from litestar.params import FromPath, FromQuery

from feedback.errors import InvalidInput
from service.paging import Page, page_behind
from service.parts import AnyRequest, parts_of
from service.turns import decode
from service.words.book import WordState
from service.words.statistics import RuleCount

LIST_LIMIT_BYTES = 64 * 1024 * 1024
"""Largest list; the limit of ordinary bodies is far below."""
TOP_LIMIT = 1000
"""Most rules in the statistics."""


class WordLists(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Lists to put in place together: file name → content; null deletes."""

    lists: dict[str, str | None] = {}


class CheckInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text to try."""

    text: str
    direction: Literal["in", "out"] = "in"


class CheckedHit(msgspec.Struct, frozen=True, kw_only=True):
    rule: str
    category: str
    action: str
    start: int
    end: int
    """Half-open span in code points of the text that was sent."""
    severity: int


class CheckResult(msgspec.Struct, frozen=True, kw_only=True):
    """What the filter would do."""

    hits: list[CheckedHit]
    text: str
    """As it would go on, masked."""
    blocked: bool


@get("/words", summary="The word lists, the last load and what hit", allow="operator")
async def read_words(request: AnyRequest, top: FromQuery[int] = 100) -> WordState:
    """Lists with their counts and options, the last error, and the statistics since the start with `top` rules."""
    if not 0 <= top <= TOP_LIMIT:
        raise InvalidInput(f"top is {top}, outside 0 to {TOP_LIMIT}.", "Ask for fewer rules.")
    return parts_of(request).words.state(top)


@get("/words/hits", summary="Every rule that hit, by name", allow="operator")
async def read_hits(request: AnyRequest, cursor: FromQuery[str] = "", limit: FromQuery[int] = 50) -> Page[RuleCount]:
    """A page of `limit` (1 to 500) rules with their counts since the start."""
    counts = await asyncio.to_thread(parts_of(request).words.statistics.counts)
    return page_behind("hits", counts, cursor, limit, lambda one: f"{one.rule} {one.action} {one.direction}")


@put(
    "/words",
    summary="Load the lists again, or change several at once",
    request_max_body_size=LIST_LIMIT_BYTES,
    allow="operator",
)
async def put_words(request: AnyRequest) -> WordState:
    """No body: read the files again now. `{"lists": {name: content or null}}`: put them in place, all or none."""
    words = parts_of(request).words
    body = await request.body() or b"{}"
    lists = await asyncio.to_thread(_lists, body)  # as large as lists are, this would hold up everybody else
    if lists:
        await words.change(lists)
    else:
        await words.reload()
    return words.state(0)


@put("/words/{name:str}", summary="Replace one list", request_max_body_size=LIST_LIMIT_BYTES, allow="operator")
async def put_list(request: AnyRequest, name: FromPath[str]) -> WordState:
    """The body is the file's new content, whole; it serves once it was read, compiled and written."""
    words = parts_of(request).words
    await words.change({name: await request.body()})
    return words.state(0)


@post("/words/check", status_code=200, summary="What the filter would do with a text", allow="operator")
async def check_text(request: AnyRequest) -> CheckResult:
    """Nothing is stored, counted or logged."""
    given = decode(await request.body(), CheckInput, InvalidInput)
    checked = await asyncio.to_thread(parts_of(request).words.filter.check, given.text, given.direction)
    return CheckResult(
        hits=[
            CheckedHit(
                rule=hit.rule,
                category=hit.category,
                action=hit.action,
                start=hit.start,
                end=hit.end,
                severity=hit.severity,
            )
            for hit in checked.hits
        ],
        text=checked.text,
        blocked=checked.blocked,
    )


def _lists(body: bytes) -> dict[str, bytes | None]:
    given = decode(body, WordLists, InvalidInput)
    return {name: None if content is None else content.encode() for name, content in given.lists.items()}
