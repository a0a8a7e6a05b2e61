"""The measures as a page: a chart for each, and the same figures in a table under it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import msgspec
from litestar import Response

from feedback.measures.cube import Cube
from feedback.measures.groups import MEASURES, SCALES, Dimension, Filter, Measure, MeasureRow, measured, version_key
from feedback.measures.intervals import Estimate
from feedback.measures.weeks import monday
from service.measures.chart import Point, axis_of, line, whiskers
from service.measures.keeping import MeasuresNotReady
from service.measures.words import BY, MEANING, NAMES, VERSIONLESS, name_of_value
from service.pages.render import PageRequest, in_language, language_of, page
from service.parts import parts_of

CHART_ROWS = 40
"""Most groups in a chart of whiskers: the newest; the table and the CSV have all."""
OPEN_ROWS = 8
"""Up to so many rows a table stands open."""
NEWEST_FIRST = ("week", "version")
"""In tables, where one looks for the newest at the top."""
PERIODS = (4, 13, 26, 52)
"""Weeks to choose from."""


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One measure on the page."""

    name: str
    meaning: str
    chart: str
    """Drawn by `chart`, and safe; empty where nobody has said anything yet."""
    rows: list[tuple[str, Estimate | None]]
    left_out: int
    """Groups that are in the table only."""
    say: Callable[[float], str]
    unit: str
    """Of the interval's ends, which are said without."""


async def measures_page(request: PageRequest, by: Sequence[Dimension], only: Filter) -> Response[str]:
    """The page; while the turns are counted for the first time one that asks again by itself."""
    language = language_of(request)
    shown: Dimension = next((one for one in by if one != "alias"), "alias")
    try:
        cube = await parts_of(request).measures.cube()
    except MeasuresNotReady:
        return page(request, "measures_waiting.html", here="/measures")
    choices = _choices(cube, language)
    if not only.alias and shown == "version" and len(choices["alias"]) > 1:
        only = msgspec.structs.replace(only, alias=choices["alias"][0][0])  # versions are numbered within an alias
    rows = measured(cube.counts, [shown], only)
    asked = {"by": shown, **{name: value for name, value in _asked(only).items() if value}}
    values: dict[str, Any] = {
        "figures": [_figure(measure, rows, shown, language) for measure in MEASURES],
        "turns": sum(row.turns for row in rows),
        "as_of": cube.as_of,
        "by": shown,
        "dimensions": [(name, BY[name][language == "zh"]) for name in BY],
        "label": BY[shown][language == "zh"],
        "open": len(rows) <= OPEN_ROWS,
        "choices": choices,
        "periods": _periods(cube, language, only),
        "only": only,
        "query": urlencode(asked),
    }
    return page(request, "measures.html", here="/measures", **values)


def _figure(measure: Measure, rows: Sequence[MeasureRow], by: Dimension, language: str) -> Figure:
    t, at = in_language(language), language == "zh"
    points = [
        Point(label=name_of_value(language, by, getattr(row, by)), estimate=getattr(row, measure)) for row in rows
    ]
    known = [point for point in points if point.estimate is not None]
    drawn = points if by == "week" else known[-CHART_ROWS:]
    say = _percent if SCALES[measure] == (0, 1) else _grade
    chart = ""
    if known:
        title = t("{} by {}", "{}，按{}").format(NAMES[measure][at], BY[by][at])
        draw = line if by == "week" else whiskers
        chart = draw(drawn, axis_of(drawn, *SCALES[measure]), title, say)
    return Figure(
        name=NAMES[measure][at],
        meaning=MEANING[VERSIONLESS if measure == "preference" and by != "version" else measure][at],
        chart=chart,
        rows=[(point.label, point.estimate) for point in (reversed(points) if by in NEWEST_FIRST else points)],
        left_out=0 if by == "week" else len(known) - len(drawn),
        say=say,
        unit="" if say is _grade else " %",
    )


def _choices(cube: Cube, language: str) -> Mapping[str, list[tuple[str, str]]]:
    """What there is to filter by: values and their names."""
    keys = [key for week in cube.counts.weeks.values() for key in week.keys]
    fields: tuple[Dimension, ...] = ("alias", "version", "language", "topic")
    values = {name: {getattr(key, name) for key in keys} - {""} for name in fields}
    return {
        name: [
            (value, name_of_value(language, name, value))
            for value in sorted(found, key=version_key if name == "version" else str)
        ]
        for name, found in values.items()
    }


def _periods(cube: Cube, language: str, only: Filter) -> list[tuple[str, str, bool]]:
    """Value, name and whether it is chosen, of the periods to choose from."""
    t = in_language(language)
    newest = max(cube.counts.weeks, default=0)
    since = [
        (monday(newest - weeks + 1).isoformat(), t(f"Last {weeks} weeks", f"最近 {weeks} 周")) for weeks in PERIODS
    ]
    chosen = only.since.isoformat() if only.since else ""
    if chosen and chosen not in dict(since):
        since.append((chosen, t(f"Since {chosen}", f"自 {chosen}")))
    return [(value, name, value == chosen) for value, name in (("", t("All the time", "全部时间")), *since)]


def _asked(only: Filter) -> dict[str, Any]:
    asked = msgspec.structs.asdict(only)
    return {name: value.isoformat() if isinstance(value, dt.date) else value for name, value in asked.items()}


def _percent(value: float) -> str:
    return f"{value * 100:.1f} %"


def _grade(value: float) -> str:
    return f"{value:.2f}"
