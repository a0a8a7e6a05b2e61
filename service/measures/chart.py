"""Charts as SVG: a dot and its interval for each group, or a line with a band over the weeks.

Drawn here, so that a page needs no script and prints as it looks. Classes carry the colours, which the style sheet
gives for light and dark. Must never put a name into the drawing unescaped.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from html import escape

import msgspec

from feedback.measures.intervals import Estimate

WIDTH = 380
LEFT, RIGHT, TOP, BOTTOM = 44, 12, 10, 26
ROW, LABELS = 24, 96
HEIGHT = 196
LABEL_CHARACTERS = 13
LETTER, WIDE_LETTER = 6.4, 11.5
"""How wide a letter is, and one of Chinese, Japanese or Korean."""
TICKS = 4
"""About so many lines across."""
DOTS_UP_TO = 20
"""Points on a line that are marked each."""


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """A group in a chart."""

    label: str
    estimate: Estimate | None


class Axis(msgspec.Struct, frozen=True, kw_only=True):
    """The part of a scale that is shown, and its lines."""

    low: float
    high: float
    ticks: list[float]

    def along(self, value: float, begin: float, end: float) -> float:
        """Where a value lies between two places."""
        return begin + (end - begin) * (value - self.low) / (self.high - self.low)


def axis_of(points: Sequence[Point], least: float, most: float) -> Axis:
    """The round numbers around all intervals, within the scale from `least` to `most`."""
    known = [point.estimate for point in points if point.estimate is not None]
    low = min((one.low for one in known), default=least)
    high = max((one.high for one in known), default=most)
    span = max(high - low, (most - least) / 20)
    rough = span / TICKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    begin = max(math.floor(low / step) * step, least)
    end = min(math.ceil(high / step) * step, most)
    if end - begin < step:
        begin, end = max(begin - step, least), min(end + step, most)
    first = math.ceil(begin / step - 1e-9)
    ticks = [round(at * step, 6) for at in range(first, math.floor(end / step + 1e-9) + 1)]
    return Axis(low=begin, high=end, ticks=ticks)


def whiskers(points: Sequence[Point], axis: Axis, title: str, said: Callable[[float], str]) -> str:
    """A row a group: its name, a dot and its interval, its figure."""
    height = TOP + ROW * len(points) + BOTTOM
    labels = min(LABELS, max((_width(_short(point.label)) for point in points), default=0) + 4)
    begin, end = labels + 10, WIDTH - 62
    parts = [
        _line(axis.along(tick, begin, end), TOP, axis.along(tick, begin, end), height - BOTTOM, "grid")
        for tick in axis.ticks
    ]
    parts += [_text(axis.along(tick, begin, end), height - 8, _tick(tick, said), "middle") for tick in axis.ticks]
    for at, point in enumerate(points):
        middle = TOP + ROW * at + ROW / 2
        parts.append(_text(labels, middle + 4, _short(point.label), "end", "name"))
        if (one := point.estimate) is not None:
            low, value, high = (axis.along(number, begin, end) for number in (one.low, one.value, one.high))
            parts.append(_line(low, middle, high, middle, "interval"))
            parts.append(_dot(value, middle, point, said))
            parts.append(_text(WIDTH - 4, middle + 4, said(one.value), "end", "name"))
    return _drawing(height, title, parts)


def line(points: Sequence[Point], axis: Axis, title: str, said: Callable[[float], str]) -> str:
    """A line over the groups in their order, with a band for the intervals; broken where a group has no figure."""
    begin, end, floor = LEFT, WIDTH - RIGHT, HEIGHT - BOTTOM
    across = [begin + (end - begin) * (at + 0.5) / len(points) for at in range(len(points))]
    parts = [
        _line(begin, axis.along(tick, floor, TOP), end, axis.along(tick, floor, TOP), "grid") for tick in axis.ticks
    ]
    parts += [_text(begin - 6, axis.along(tick, floor, TOP) + 4, _tick(tick, said), "end") for tick in axis.ticks]
    for run in _runs(points):
        places = [(across[at], points[at].estimate) for at in run]
        known = [(x, one) for x, one in places if one is not None]
        up = [(x, axis.along(one.high, floor, TOP)) for x, one in known]
        down = [(x, axis.along(one.low, floor, TOP)) for x, one in reversed(known)]
        parts.append(f'<polygon class="band" points="{_places([*up, *down])}"/>')
        parts.append(
            f'<polyline class="line" points="{_places([(x, axis.along(one.value, floor, TOP)) for x, one in known])}"/>'
        )
        alone = len(points) <= DOTS_UP_TO or len(run) == 1
        parts += [
            _dot(across[at], axis.along(one.value, floor, TOP), points[at], said)
            for at in run
            if alone and (one := points[at].estimate)
        ]
    shown = sorted({0, len(points) // 2, len(points) - 1}) if len(points) > 3 else range(len(points))
    for at in shown:
        anchor = (
            "start" if at == 0 and len(points) > 3 else "end" if at == len(points) - 1 and len(points) > 3 else "middle"
        )
        x = {"start": begin, "end": end, "middle": across[at]}[anchor]
        parts.append(_text(x, HEIGHT - 8, points[at].label, anchor))
    return _drawing(HEIGHT, title, parts)


def _runs(points: Sequence[Point]) -> list[list[int]]:
    """The places of points that follow each other and all have figures."""
    runs: list[list[int]] = [[]]
    for at, point in enumerate(points):
        if point.estimate is not None:
            runs[-1].append(at)
        elif runs[-1]:
            runs.append([])
    return [run for run in runs if run]


def _drawing(height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {height:g}" role="img" aria-label="{escape(title)}">'
        f"{''.join(parts)}</svg>"
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _dot(x: float, y: float, point: Point, said: Callable[[float], str]) -> str:
    one = point.estimate
    assert one is not None
    told = f"{point.label}: {said(one.value)} ({said(one.low)}–{said(one.high)}, n = {one.count})"
    return f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"><title>{escape(told)}</title></circle>'


def _places(places: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in places)


def _tick(value: float, said: Callable[[float], str]) -> str:
    return said(value).replace(".0 %", " %")


def _width(label: str) -> float:
    return sum(LETTER if ord(letter) < 0x2E80 else WIDE_LETTER for letter in label)


def _short(label: str) -> str:
    return label if len(label) <= LABEL_CHARACTERS else label[: LABEL_CHARACTERS - 1] + "…"
