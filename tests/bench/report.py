"""What every benchmark prints and writes: the machine, the versions, the date, and a row a figure.

A row names what it is compared with, and its target where it has one. Figures of one run are comparable with each
other, not with another machine's.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import platform
from importlib import metadata
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure."""

    name: str
    value: float
    unit: str
    peer: str = ""
    """What it is compared with; empty for a figure that stands alone."""
    peer_value: float | None = None
    ratio: float | None = None
    """value / peer_value."""
    target: str = ""
    holds: bool | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """A benchmark's run, as it is written to JSON."""

    bench: str
    date: dt.datetime
    machine: dict[str, str]
    versions: dict[str, str]
    rows: list[Row]


def figure(name: str, value: float, unit: str) -> Row:
    """A figure that is compared with nothing."""
    return Row(name=name, value=value, unit=unit)


def compared(
    name: str,
    value: float,
    unit: str,
    *,
    peer: str,
    peer_value: float,
    at_least: float | None = None,
    at_most: float | None = None,
) -> Row:
    """A figure beside its peer's; `at_least` and `at_most` are what value / peer_value must reach or may reach."""
    ratio = value / peer_value
    target = "" if at_least is None else f"≥ {at_least:g} ×"
    target = target if at_most is None else f"≤ {at_most:g} ×"
    holds = None
    if at_least is not None or at_most is not None:
        holds = (at_least is None or ratio >= at_least) and (at_most is None or ratio <= at_most)
    return Row(
        name=name, value=value, unit=unit, peer=peer, peer_value=peer_value, ratio=ratio, target=target, holds=holds
    )


def arguments(description: str) -> argparse.Namespace:
    """Every benchmark's command line: `json` is where the report is written, if anywhere, `markdown` is a flag."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report to FILE")
    parser.add_argument("--markdown", action="store_true", help="print the table in Markdown as well")
    return parser.parse_args()


def publish(bench: str, rows: list[Row], packages: list[str], to: Path | None, *, markdown: bool = False) -> None:
    """Print the table, and write it to `to` where given. `packages` are those whose versions matter."""
    report = Report(
        bench=bench,
        date=dt.datetime.now(dt.UTC),
        machine=_machine(),
        versions={"python": platform.python_version()} | {name: metadata.version(name) for name in packages},
        rows=rows,
    )
    headings = ("figure", "value", "unit", "against", "its value", "ratio", "target", "holds")
    table = Table(title=f"{bench}, {report.date:%Y-%m-%d %H:%M} UTC")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("figure", "unit", "against") else "right")
    lines = [_cells(row) for row in rows]
    for line in lines:
        table.add_row(*line)
    console = Console(width=None if Console().is_terminal else 160)
    console.print(table)
    if markdown:
        for line in (headings, ("---",) * len(headings), *lines):
            print("|", " | ".join(line), "|")
    console.print(", ".join(f"{key} {value}" for key, value in {**report.machine, **report.versions}.items()))
    if to is not None:
        to.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")


def _cells(row: Row) -> tuple[str, ...]:
    holds = "" if row.holds is None else "yes" if row.holds else "NO"
    numbers = _number(row.peer_value), _number(row.ratio)
    return row.name, _number(row.value), row.unit, row.peer, *numbers, row.target, holds


def _machine() -> dict[str, str]:
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "system": f"{platform.system()} {platform.release()}",
        "load": f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
