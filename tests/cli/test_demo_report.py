"""The demo's promises, as a pure function: each is broken in turn and must be found broken."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from service.cli.demo.report import DemoReport, Kind, checks


def report(kind: Kind = "honest", **changed: Any) -> DemoReport:
    """A demo that kept every promise, changed as asked."""
    good = DemoReport(
        kind=kind,
        heldout_before=0.0,
        heldout_after=0.5 if kind != "poisoned" else 0.0,
        heldout_items=36,
        retention=0.95 if kind != "poisoned" else 0.4,
        general_before=0.66,
        general_after=0.63,
        general_items=82,
        verdict="promote" if kind != "poisoned" else "refuse",
        reasons=[],
        version="1.1.0" if kind != "poisoned" else "1.0.0",
        swap_requests=100,
        swap_failed=0,
        swap_half_loaded=0,
        swap_versions={"1.0.0": 50, "1.1.0": 50} if kind != "poisoned" else {"1.0.0": 100},
        flip_ms=3.0 if kind != "poisoned" else None,
        seconds=400.0,
        peak_rss_mb=3000.0,
        snapshot="s",
        run="r",
        cycle="c",
        adapter_scale=0.8,
        example=None,
        stages={},
    )
    return msgspec.structs.replace(good, **changed)


def broken(found: DemoReport) -> list[str]:
    return [check.name for check in checks(found) if not check.holds]


@pytest.mark.parametrize("kind", ["honest", "poisoned"])
def test_a_good_demo_keeps_every_promise(kind: Kind) -> None:
    assert broken(report(kind)) == []


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"heldout_after": 0.29}, ["learnt"]),
        ({"retention": 0.89}, ["kept its ability"]),
        ({"verdict": "refuse"}, ["promoted"]),
        ({"swap_versions": {"1.0.0": 100}}, ["swapped under load"]),
        ({"swap_versions": {"1.1.0": 100}}, ["swapped under load"]),
        ({"flip_ms": None}, ["quick flip"]),
        ({"flip_ms": 50.0}, ["quick flip"]),
        ({"seconds": 601.0}, ["time"]),
        ({"peak_rss_mb": 6001.0}, ["peak memory"]),
        ({"swap_failed": 1}, ["no failed request"]),
        ({"swap_requests": 0}, ["no failed request"]),
        ({"swap_half_loaded": 1}, ["no half-loaded answer"]),
    ],
)
def test_each_broken_promise_is_found(changed: dict[str, Any], named: list[str]) -> None:
    assert broken(report(**changed)) == named


def test_the_untrained_control_is_held_to_the_honest_promises() -> None:
    control = report("untrained", heldout_after=0.0, verdict="refuse", version="1.0.0", flip_ms=None)
    assert {"learnt", "promoted", "quick flip"} <= set(broken(control))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"verdict": "promote"}, ["refused"]),
        ({"version": "1.1.0"}, ["champion still serves"]),
        ({"swap_versions": {"1.0.0": 90, "1.1.0": 10}}, ["champion still serves"]),
    ],
)
def test_a_poisoned_demo_that_changes_anything_is_found(changed: dict[str, Any], named: list[str]) -> None:
    assert broken(report("poisoned", **changed)) == named
