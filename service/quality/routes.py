"""Quality over HTTP, for operators: the figures, and the quarantines that they see and lift."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.params import FromPath, FromQuery
from litestar.types import ControllerRouterHandler

from feedback.errors import InvalidInput
from feedback.mint import now
from feedback.quality.agreement import Agreement
from feedback.quality.drift import Drift
from feedback.quality.grades import Question
from feedback.quality.quarantine import (
    Book,
    LiftInput,
    QuarantineInput,
    QuarantineShown,
    check_quarantine,
    quarantine_of,
)
from feedback.quality.records import Lift, Quarantine
from feedback.quality.trust import Trust
from feedback.store.database import Store
from feedback.store.tables import LIFTS, QUARANTINES
from service.callers import caller_of
from service.commits import committed
from service.pages.forms import form_of, text
from service.pages.render import PAGE, PAGE_OR_JSON, VARY, PageRequest, to_page, wants_page
from service.paging import Page, page_behind
from service.parts import AnyRequest, Parts, parts_of
from service.quality.page import quality_page
from service.turns import decode


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """What the last look found."""

    as_of: dt.datetime
    agreement: dict[Question, Agreement]
    annotators: dict[Question, dict[str, Agreement]]
    drifts: list[Drift]
    raters: int
    """How many there are; `GET /quality/raters` lists them."""
    quarantined: int
    """How many quarantines hold; `GET /quarantines` lists them."""


@get("/quality", summary="How far raters agree, and who moved", allow="operator", scope="read", **PAGE_OR_JSON)
async def read_quality(request: PageRequest) -> Response[Any]:
    """Looks at all verdicts if the last look is some seconds old; among millions it is the last one's, of up to
    `quality.check_minutes` ago. A browser is given the page."""
    parts = parts_of(request)
    found = await parts.watching.shown()
    book = await asyncio.to_thread(_book, parts.store)
    if wants_page(request):
        return quality_page(request, found, book)
    answer = Quality(
        as_of=found.at,
        agreement=found.agreement,
        annotators=found.annotators,
        drifts=found.drifts,
        raters=len(found.raters),
        quarantined=len(book.held),
    )
    return Response(answer, headers=VARY, media_type="application/json")


@get("/quality/raters", summary="How far each rater is believed", allow="operator", scope="read")
async def read_raters(request: AnyRequest, cursor: FromQuery[str] = "", limit: FromQuery[int] = 50) -> Page[Trust]:
    """Users and annotators by name, a page of `limit` (1 to 500)."""
    found = await parts_of(request).watching.shown()
    raters = sorted(found.raters, key=_name)
    return page_behind("raters", raters, cursor, limit, _name)


@get("/quarantines", summary="What is not believed until somebody has looked", allow="operator", scope="read")
async def read_quarantines(
    request: AnyRequest, held: FromQuery[bool] = False, cursor: FromQuery[str] = "", limit: FromQuery[int] = 50
) -> Page[QuarantineShown]:
    """Oldest first, those that were lifted as well; `held=true`: only those that hold."""
    book = await asyncio.to_thread(_book, parts_of(request).store)
    shown = [one for one in reversed(book.shown) if one.lift is None or not held]
    return page_behind("quarantines", shown, cursor, limit, lambda one: one.quarantine.quarantine_id)


@post("/quarantines", status_code=201, summary="Quarantine a rater or a verdict", allow="operator")
async def quarantine(request: AnyRequest) -> Quarantine:
    """By an operator's own word. What holds already is given as it is."""
    parts = parts_of(request)
    finding = check_quarantine(decode(await request.body(), QuarantineInput, InvalidInput))
    book = await asyncio.to_thread(_book, parts.store)
    same = (one for one in book.held if (one.kind, one.target) == (finding.kind, finding.target))
    if (known := next(same, None)) is not None:
        return known
    made = quarantine_of(finding, now())
    await committed(parts.store.add(QUARANTINES, made))
    parts.watching.stale()
    return made


@post("/quarantines/{quarantine_id:str}/lift", summary="Lift a quarantine", allow="operator")
async def lift(request: AnyRequest, quarantine_id: FromPath[str]) -> Lift:
    """It counts again, also for what was learnt since. Not raised again on the same evidence."""
    given = decode(await request.body() or b"{}", LiftInput, InvalidInput)
    return await _lifted(parts_of(request), quarantine_id, caller_of(request).subject, given.reason)


@post(
    "/quality/{quarantine_id:str}/lift",
    status_code=200,
    summary="Lift a quarantine, by a form",
    allow="operator",
    **PAGE,
)
async def lift_by_form(request: PageRequest, quarantine_id: FromPath[str]) -> Response[Any]:
    """Leads back to the page."""
    reason = text(await form_of(request), "reason")
    await _lifted(parts_of(request), quarantine_id, caller_of(request).subject, reason)
    return to_page(request, "/quality")


async def _lifted(parts: Parts, quarantine_id: str, operator: str, reason: str) -> Lift:
    book = await asyncio.to_thread(_book, parts.store)
    made = book.lift(quarantine_id, operator, reason, now())
    await committed(parts.store.add(LIFTS, made))
    parts.watching.stale()
    return made


def _book(store: Store) -> Book:
    with store.reader() as cursor:
        return Book.read(cursor)


def _name(one: Trust) -> str:
    """A user may annotate, too."""
    return f"{one.rater} {'a' if one.trained else 'u'}"


ROUTES: list[ControllerRouterHandler] = [
    read_quality, read_raters, read_quarantines, quarantine, lift, lift_by_form,
]  # fmt: skip
