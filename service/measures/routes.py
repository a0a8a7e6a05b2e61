"""The measures: as JSON, as CSV, and as a page for whoever asks with a browser."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from litestar import Response, get
from litestar.params import FromQuery
from litestar.types import ControllerRouterHandler

from feedback.errors import InvalidInput
from feedback.measures.groups import DIMENSIONS, MEASURES, Dimension, Filter, MeasureRow, dimensions_of, measured
from feedback.measures.intervals import CONFIDENCE
from service.measures.page import measures_page
from service.pages.render import PAGE_OR_JSON, VARY, PageRequest, wants_page
from service.parts import AnyRequest, parts_of

CSV = "text/csv"
JSON = "application/json"


class Measures(msgspec.Struct, frozen=True, kw_only=True):
    """The measures of each group that has turns."""

    as_of: dt.datetime
    """What was stored until then is counted."""
    by: tuple[Dimension, ...]
    confidence: float
    """How often an interval holds the true value."""
    rows: list[MeasureRow]
    """Older weeks and versions first."""


@get("/measures", summary="What people think, in figures", allow="operator", scope="read", **PAGE_OR_JSON)
async def read_measures(
    request: PageRequest,
    by: FromQuery[str] = "version",
    alias: FromQuery[str] = "",
    version: FromQuery[str] = "",
    topic: FromQuery[str] = "",
    language: FromQuery[str] = "",
    since: FromQuery[str] = "",
    until: FromQuery[str] = "",
) -> Response[Any]:
    """Satisfaction, task completion, accuracy, fluency and preferences with their intervals, `by` one to three of
    alias, version, week, topic and language, filtered by the same. A browser is given the page."""
    only = filter_of(alias, version, topic, language, since, until)
    dimensions = dimensions_of(by)
    if wants_page(request):
        return await measures_page(request, dimensions, only)
    cube = await parts_of(request).measures.cube()
    assert cube.as_of is not None
    rows = measured(cube.counts, dimensions, only)
    found = Measures(as_of=cube.as_of, by=dimensions, confidence=CONFIDENCE, rows=rows)
    return Response(found, headers=VARY, media_type=JSON)


@get("/measures.csv", summary="The measures as a table", allow="operator", scope="read")
async def read_measures_csv(
    request: AnyRequest,
    by: FromQuery[str] = "version",
    alias: FromQuery[str] = "",
    version: FromQuery[str] = "",
    topic: FromQuery[str] = "",
    language: FromQuery[str] = "",
    since: FromQuery[str] = "",
    until: FromQuery[str] = "",
) -> Response[str]:
    """As `GET /measures`, a row a group: CSV in UTF-8, with a line of names."""
    only = filter_of(alias, version, topic, language, since, until)
    rows = measured((await parts_of(request).measures.cube()).counts, dimensions_of(by), only)
    headers = {"content-disposition": 'attachment; filename="measures.csv"', "cache-control": "no-store"}
    return Response(csv_of(rows), headers=headers, media_type=CSV)


def filter_of(alias: str, version: str, topic: str, language: str, since: str, until: str) -> Filter:
    """What was asked for. Raises InvalidInput for a day that is none."""
    return Filter(
        alias=alias, version=version, topic=topic, language=language,
        since=_day("since", since), until=_day("until", until),
    )  # fmt: skip


def _day(name: str, text: str) -> dt.date | None:
    try:
        return dt.date.fromisoformat(text) if text else None
    except ValueError as error:
        raise InvalidInput(f"{name} is no day.", "Write it as 2026-11-23.") from error


def csv_of(rows: Iterable[MeasureRow]) -> str:
    """The rows as CSV. What nobody knows is empty."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\r\n")
    ends = [f"{measure}{end}" for measure in MEASURES for end in ("", "_low", "_high", "_count")]
    table.writerow([*DIMENSIONS, "turns", *ends])
    table.writerows([*_cells(row)] for row in rows)
    return text.getvalue()


def _cells(row: MeasureRow) -> Iterator[object]:
    for name in DIMENSIONS:
        value = getattr(row, name)
        # A spreadsheet would take a name that begins like this for a formula.
        yield f"'{value}" if value[:1] in ("=", "+", "-", "@", "\t", "\r") and value else value
    yield row.turns
    for measure in MEASURES:
        one = getattr(row, measure)
        yield from (
            ("", "", "", 0) if one is None else (f"{one.value:.6g}", f"{one.low:.6g}", f"{one.high:.6g}", one.count)
        )


ROUTES: list[ControllerRouterHandler] = [read_measures, read_measures_csv]
