"""The whole circle on the real model, by the command that people use, in its quick form.

The control shows that the gain is real: with the adapter left untrained, all else equal, the demo must fail.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from service.cli.demo.report import DemoReport, checks

FACTS = 6


def demo(tmp_path: Path, *flags: str) -> tuple[int, DemoReport]:
    file = tmp_path / "report.json"
    command = [sys.executable, "-m", "service.cli.main", "demo", "--facts", str(FACTS), "--report", str(file), *flags]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert file.exists(), done.stdout[-2000:] + done.stderr[-2000:]
    return done.returncode, msgspec.json.decode(file.read_bytes(), type=DemoReport)


def broken(report: DemoReport) -> set[str]:
    return {check.name for check in checks(report) if not check.holds}


@pytest.mark.slow
def test_an_untrained_adapter_makes_the_demo_fail(tmp_path: Path) -> None:
    status, report = demo(tmp_path, "--untrained")
    assert status == 1
    assert {"learnt", "promoted", "quick flip"} <= broken(report)
    assert report.verdict != "promote"
    assert report.version == "1.0.0"
    assert report.swap_failed == 0
    assert abs(report.heldout_after - report.heldout_before) < 0.15


@pytest.mark.slow
def test_hostile_raters_are_refused_and_the_champion_serves_on(tmp_path: Path) -> None:
    status, report = demo(tmp_path, "--poisoned")
    assert broken(report) == set()
    assert status == 0
    assert report.reasons
