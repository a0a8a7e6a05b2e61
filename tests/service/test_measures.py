"""The measures through the gateway: JSON, CSV, and a page that needs no script, in two languages."""

import csv
import io

import httpx
import pytest

from feedback.measures.intervals import share
from service.measures import keeping
from service.measures.chart import Point, axis_of, line, whiskers
from tests.fakes.rows import a_rating, a_turn

PAGE = {"accept": "text/html,*/*"}


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    """Counts are looked after at each question."""
    monkeypatch.setattr(keeping, "FRESH_S", 0.0)


@pytest.fixture(scope="module")
def said(gateway):
    """A version that four of five like, and one that nobody has said anything of."""
    for at in range(5):
        turn = a_turn(version="1.9.0")
        gateway.store.add_turn(turn).result()
        gateway.store.add_rating(a_rating(turn.turn_id, verdict="up" if at else "down", rater=f"r{at}")).result()
    gateway.store.add_turn(a_turn(version="1.10.0")).result()
    return gateway


def test_json_has_a_row_a_version_with_intervals(said):
    body = httpx.get(f"{said.url}/measures").json()
    rows = {row["version"]: row for row in body["rows"]}
    assert list(rows) == ["1.9.0", "1.10.0"] and body["by"] == ["version"] and body["confidence"] == 0.95
    assert rows["1.9.0"]["satisfaction"] == {
        "value": 0.8, "low": pytest.approx(0.3755, abs=1e-4), "high": pytest.approx(0.9638, abs=1e-4), "count": 5,
    }  # fmt: skip
    assert rows["1.10.0"]["satisfaction"] is None and rows["1.10.0"]["turns"] == 1


def test_csv_has_the_same(said):
    answer = httpx.get(f"{said.url}/measures.csv?by=version&version=1.9.0")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    (row,) = csv.DictReader(io.StringIO(answer.text))
    assert (row["version"], row["turns"], row["satisfaction"], row["satisfaction_count"]) == ("1.9.0", "5", "0.8", "5")
    assert row["accuracy"] == "" and row["accuracy_count"] == "0"


@pytest.mark.parametrize(("language", "word"), [("en", "Satisfaction"), ("zh", "满意度")])
def test_browsers_are_given_a_page_with_charts_and_tables(said, language, word):
    answer = httpx.get(f"{said.url}/measures?lang={language}", headers=PAGE)
    assert answer.headers["content-type"].startswith("text/html") and f'<html lang="{language}">' in answer.text
    assert word in answer.text and answer.text.count('<svg class="chart"') == 1 and "<table>" in answer.text
    assert "style=" not in answer.text and "<script" not in answer.text and len(answer.content) < 100_000


@pytest.mark.parametrize("query", ["by=colour", "since=yesterday", "by="])
def test_what_makes_no_sense_is_refused_in_the_askers_words(said, query):
    assert httpx.get(f"{said.url}/measures?{query}").json()["error"]["code"] == "invalid-input"
    page = httpx.get(f"{said.url}/measures?{query}", headers=PAGE)
    assert page.status_code == 400 and page.text.startswith("<!doctype html>")


def test_a_gateway_that_has_just_started_says_so(said, monkeypatch):
    monkeypatch.setattr(said.state.parts.measures._cube, "as_of", None)
    monkeypatch.setattr(keeping, "FRESH_S", float("inf"))
    answer = httpx.get(f"{said.url}/measures")
    assert answer.status_code == 503 and answer.json()["error"]["code"] == "measures-not-ready"
    assert answer.headers["retry-after"] == "2"
    page = httpx.get(f"{said.url}/measures", headers=PAGE)
    assert page.status_code == 200 and 'http-equiv="refresh"' in page.text


def test_charts_name_groups_safely_and_break_where_nothing_is_known():
    points = [
        Point(label="<b>&", estimate=share(3, 4)),
        Point(label="2", estimate=None),
        Point(label="3", estimate=share(1, 4)),
    ]
    axis = axis_of(points, 0, 1)
    for draw in (whiskers, line):
        drawn = draw(points, axis, '"x"', lambda value: f"{value:.2f}")
        assert "<b>" not in drawn and "&lt;b&gt;&amp;" in drawn and 'aria-label="&quot;x&quot;"' in drawn
    assert line(points, axis, "", str).count("<polyline") == 2
