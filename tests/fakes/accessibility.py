"""What axe-core (4.14.1, MPL-2.0, vendored in `axe/`) finds wrong with the page that a browser shows."""

from __future__ import annotations

import functools
import gzip
from pathlib import Path
from typing import Any

from selenium import webdriver

AXE = Path(__file__).parent / "axe" / "axe.min.js.gz"
GRAVE = ("serious", "critical")
RUN = """
const done = arguments[0];
axe.run().then((found) => done(found.violations.map((one) => ({
  rule: one.id, impact: one.impact, where: one.nodes.map((node) => node.html.slice(0, 200)).slice(0, 5),
}))));
"""


@functools.cache
def _script() -> str:
    return gzip.decompress(AXE.read_bytes()).decode() + ";0"


def faults(browser: webdriver.Chrome) -> list[dict[str, Any]]:
    """Serious and critical ones: the rule, how bad, where."""
    browser.execute_script(_script())
    return [one for one in browser.execute_async_script(RUN) if one["impact"] in GRAVE]
