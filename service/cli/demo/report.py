"""What the demo saw, held against what it must reach. Pure: figures in, findings out.

The honest demo must promote a candidate that learnt; the poisoned one must end with a refusal and the champion still
serving. Nothing here knows what the figures ought to be except the limits below, which are the project's promises.
"""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal["honest", "poisoned", "untrained"]

MIN_GAIN = 0.30
MIN_RETENTION = 0.90
MAX_FLIP_MS = 50.0
MAX_SECONDS = 600.0
MAX_RSS_MB = 6000.0


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One held-out question, answered before and after, word for word."""

    question: str
    before: str
    after: str


class DemoReport(msgspec.Struct, frozen=True, kw_only=True):
    """`ratchet demo --report FILE`."""

    kind: Kind
    heldout_before: float
    heldout_after: float
    heldout_items: int
    retention: float
    general_before: float
    general_after: float
    general_items: int
    verdict: str
    reasons: list[str]
    version: str
    """The version that serves at the end."""
    swap_requests: int
    swap_failed: int
    swap_half_loaded: int
    swap_versions: dict[str, int]
    flip_ms: float | None
    """None where nothing was swapped."""
    seconds: float
    """From the first process started to the report; installation not counted."""
    peak_rss_mb: float
    snapshot: str
    run: str
    cycle: str
    adapter_scale: float | None
    example: Example | None
    stages: dict[str, float]
    """Seconds of each part."""
    machine: str = ""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One promise and whether it was kept."""

    name: str
    holds: bool
    text: str


def checks(report: DemoReport) -> list[Check]:
    """Every promise for this kind of demo. The untrained control is held to the honest one's, and must fail."""
    common = [
        _at_most("time", report.seconds, MAX_SECONDS, "s"),
        _at_most("peak memory", report.peak_rss_mb, MAX_RSS_MB, "MB"),
        Check(
            name="no failed request",
            holds=report.swap_failed == 0 and report.swap_requests > 0,
            text=f"{report.swap_failed} of {report.swap_requests} failed",
        ),
        Check(
            name="no half-loaded answer",
            holds=report.swap_half_loaded == 0,
            text=f"{report.swap_half_loaded} of {report.swap_requests}",
        ),
    ]
    return [*_poisoned(report), *common] if report.kind == "poisoned" else [*_honest(report), *common]


def _honest(report: DemoReport) -> list[Check]:
    gain = report.heldout_after - report.heldout_before
    return [
        Check(
            name="learnt",
            holds=gain >= MIN_GAIN,
            text=f"held-out {report.heldout_before:.2f} → {report.heldout_after:.2f} "
            f"({gain:+.2f}, at least +{MIN_GAIN:.2f}; {report.heldout_items} questions)",
        ),
        Check(
            name="kept its ability",
            holds=report.retention >= MIN_RETENTION,
            text=f"general {report.general_before:.2f} → {report.general_after:.2f} "
            f"(retention {report.retention:.2f}, at least {MIN_RETENTION:.2f}; {report.general_items} questions)",
        ),
        Check(name="promoted", holds=report.verdict == "promote", text=report.verdict),
        Check(
            name="swapped under load",
            holds=report.swap_versions.get(report.version, 0) > 0 and len(report.swap_versions) == 2,
            text=", ".join(f"{version} gave {count}" for version, count in report.swap_versions.items()) + " answers",
        ),
        Check(
            name="quick flip",
            holds=report.flip_ms is not None and report.flip_ms < MAX_FLIP_MS,
            text="nothing was swapped"
            if report.flip_ms is None
            else f"{report.flip_ms:.1f} ms, under {MAX_FLIP_MS:.0f} ms",
        ),
    ]


def _poisoned(report: DemoReport) -> list[Check]:
    return [
        Check(name="refused", holds=report.verdict != "promote", text=report.verdict),
        Check(
            name="champion still serves",
            holds=report.version == "1.0.0" and set(report.swap_versions) == {"1.0.0"},
            text=f"version {report.version}; "
            + ", ".join(f"{v} gave {n} answers" for v, n in report.swap_versions.items()),
        ),
    ]


def _at_most(name: str, value: float, limit: float, unit: str) -> Check:
    return Check(name=name, holds=value <= limit, text=f"{value:,.0f} {unit}, at most {limit:,.0f} {unit}")
