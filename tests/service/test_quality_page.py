"""Quality over HTTP: looked at, quarantined, seen by an operator on a page, and lifted."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from feedback.mint import now
from tests.fakes.accessibility import faults
from tests.fakes.browser import open_browser
from tests.fakes.gateway import RunningGateway
from tests.fakes.rows import a_rating, a_turn, an_annotation

BURST = 40


@pytest.fixture
def served(fake, tmp_path: Path) -> Iterator[RunningGateway]:
    with RunningGateway(tmp_path, fake.url) as gateway:
        yield gateway


@pytest.fixture
def flooded(served: RunningGateway) -> RunningGateway:
    """Turns that two annotators graded, a person who rates now and then, and one who rates them all in a minute."""
    turns = [a_turn() for _ in range(BURST)]
    for turn in turns:
        served.store.add_turn(turn)
    for number, turn in enumerate(turns):
        ago = now() - dt.timedelta(hours=number)
        for who in ("mei", "ben"):
            grade = 4 if number % 3 or who == "ben" else 2
            made = an_annotation(turn.turn_id, tier="annotator", annotator=who, accuracy=grade, created_at=ago)
            served.store.add_annotation(made)
        served.store.add_rating(a_rating(turn.turn_id, rater="ann", created_at=ago))
        served.store.add_rating(a_rating(turn.turn_id, rater="flood", verdict="down")).result(10)
    return served


def test_what_is_suspicious_is_held_back_until_it_is_lifted(flooded: RunningGateway) -> None:
    url = flooded.url
    found = httpx.get(f"{url}/quality").json()
    assert found["quarantined"] == 1 and found["raters"] == 4
    assert found["agreement"]["accuracy"]["units"] == BURST and -1 <= found["agreement"]["accuracy"]["alpha"] < 0.5
    assert set(found["annotators"]["good"]) == {"mei", "ben"}
    (held,) = httpx.get(f"{url}/quarantines?held=true").json()["items"]
    one = held["quarantine"]
    assert (one["kind"], one["target"], one["reason"]) == ("rater", "flood", "burst") and "40 verdicts" in one[
        "evidence"
    ]
    raters = {one["rater"]: one for one in httpx.get(f"{url}/quality/raters").json()["items"]}
    assert raters["mei"]["trained"] and not raters["ann"]["trained"]
    lifted = httpx.post(f"{url}/quarantines/{one['quarantine_id']}/lift", json={"reason": "a demonstration"})
    assert lifted.status_code == 201
    again = httpx.post(f"{url}/quarantines/{one['quarantine_id']}/lift")
    assert again.status_code == 409 and "already-lifted" in again.text
    assert httpx.get(f"{url}/quality").json()["quarantined"] == 0, "not raised again on the same evidence"
    assert len(httpx.get(f"{url}/quarantines").json()["items"]) == 1, "what was lifted is still told of"


def test_a_quarantined_rater_teaches_nothing(served: RunningGateway) -> None:
    turn = a_turn(reply="A reply of some length that could be learnt. " * 12)
    served.store.add_turn(turn).result(10)
    served.store.add_rating(a_rating(turn.turn_id, rater="bot")).result(10)
    before = httpx.get(f"{served.url}/pool").json()
    given = {"kind": "rater", "target": "bot", "evidence": "see ticket 12"}
    made = httpx.post(f"{served.url}/quarantines", json=given)
    assert made.status_code == 201
    assert httpx.post(f"{served.url}/quarantines", json=given).json() == made.json(), "once is enough"
    after = httpx.get(f"{served.url}/pool").json()
    assert after["out:quarantined"] == 1 and "out:quarantined" not in before
    assert httpx.post(f"{served.url}/quarantines", json={**given, "target": " "}).status_code == 400
    assert httpx.post(f"{served.url}/quarantines/quarantine-none/lift").status_code == 404


@pytest.mark.parametrize(("language", "width"), [("en", 1280), ("zh", 390)])
def test_an_operator_lifts_on_the_page(flooded: RunningGateway, language: str, width: int) -> None:
    with open_browser() as browser:
        screen = {"width": width, "height": 860, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
        browser.get(f"{flooded.url}/quality?lang={language}")
        assert browser.execute_script("return document.documentElement.lang") == language
        assert faults(browser) == []
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        assert "flood" in browser.find_element(By.CSS_SELECTOR, "table").text
        browser.find_element(By.NAME, "reason").send_keys("演示")
        button = browser.find_element(By.CSS_SELECTOR, "form[data-quarantine] button")
        browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", button)
        button.click()
        WebDriverWait(browser, 15).until(lambda _: not browser.find_elements(By.CSS_SELECTOR, "form[data-quarantine]"))
        assert faults(browser) == [] and browser.get_log("browser") == []
    (shown,) = httpx.get(f"{flooded.url}/quarantines").json()["items"]
    assert shown["lift"]["reason"] == "演示"
