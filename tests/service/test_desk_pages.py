"""The desks in a real browser: a whole dispute by keyboard, on a phone and a desktop, in both languages; and forms."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from feedback.store.tables import REVIEWS
from service.pages.labels import LABELS
from tests.fakes.accessibility import faults
from tests.fakes.browser import open_browser
from tests.fakes.gateway import RunningGateway
from tests.fakes.keys import bearer, make_key, operator_of
from tests.fakes.rows import a_turn

PAGES = (
    "/who",
    "/desks",
    "/annotate",
    "/review",
    "/expert",
    "/today",
    "/guide/assistant",
    "/guide/assistant?version=x",
)
REPLY = "The tower is 324 metres tall. 它位于巴黎。"


def ask(gateway: RunningGateway, **how: Any) -> str:
    """A turn in the queue: its id."""
    turn = a_turn(reply=REPLY)
    gateway.store.add_turn(turn).result(10)
    answer = httpx.post(f"{gateway.url}/queue", json={"turn_ids": [turn.turn_id], **how})
    assert answer.status_code == 201, answer.text
    return turn.turn_id


class Desk:
    """Somebody before a browser."""

    def __init__(self, browser: webdriver.Chrome, url: str, language: str) -> None:
        self.browser, self._url, self._language = browser, url, language

    def sit(self, person: str, path: str) -> None:
        """Open a page as that person, and see that nothing is wrong with it."""
        self.browser.delete_all_cookies()
        for name, value in (("ratchet_person", person), ("ratchet_language", self._language)):
            if value:
                cookie = {"name": name, "value": quote(value), "url": self._url}
                self.browser.execute_cdp_cmd("Network.setCookie", cookie)
        self.browser.get(self._url + path)
        self.look()

    def look(self) -> None:
        assert faults(self.browser) == []
        assert self.browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        assert self.browser.execute_script("return document.documentElement.lang") == self._language

    def wait(self, condition: Any) -> Any:
        return WebDriverWait(self.browser, 15).until(lambda _: condition())

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> WebElement:
        return self.browser.find_element(By.CSS_SELECTOR, selector)

    def click(self, selector: str) -> None:
        """The first that there is, brought from under what sticks to the window's edges."""
        node = self.one(selector)
        self.browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", node)
        node.click()

    def press(self, *keys: str) -> None:
        for key in keys:
            webdriver.ActionChains(self.browser).send_keys(key).perform()

    def send(self) -> None:
        """Ctrl+Enter."""
        webdriver.ActionChains(self.browser).key_down(Keys.CONTROL).send_keys(Keys.ENTER).key_up(Keys.CONTROL).perform()
        self.wait(lambda: self.all(".empty"))


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    with open_browser() as driver:
        yield driver


@pytest.mark.parametrize(("language", "width"), [("en", 390), ("zh", 1280)])
def test_a_dispute_goes_over_all_desks_by_keyboard(fake, tmp_path, browser, language, width):
    screen = {"width": width, "height": 860, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    browser.get_log("browser")
    with RunningGateway(tmp_path, fake.url) as gateway:
        turn, desk = ask(gateway, annotators=2), Desk(browser, gateway.url, language)
        desk.sit("", "/annotate")
        desk.one("#name").send_keys("王芳", Keys.ENTER)  # asked once who they are, then led to the desk
        desk.wait(lambda: desk.all("#work"))
        desk.look()
        _annotates_with_a_correction(desk, gateway)
        desk.sit("Ben", "/annotate")
        desk.press("4", "e")
        desk.send()
        _reviewer_sends_back(desk)
        _annotator_objects(desk)
        _expert_decides(desk)
        told = [(one.tier, one.annotator, one.accuracy, one.corrected_reply) for one in gateway.store.annotations(turn)]
        corrected = REPLY.replace("324", "330")
        assert told == [
            ("annotator", "王芳", 2, corrected),
            ("annotator", "Ben", 4, None),
            ("expert", "Dee", 2, corrected),
        ]
        assert [one.decision for one in gateway.store.rows(REVIEWS, "ORDER BY review_id")] == [
            "return",
            "object",
            "decide",
        ]
        desk.sit("王芳", "/today")
        assert len(desk.all("tbody tr")) == 2 and LABELS["stage"]["done"][language == "zh"] in desk.one("tbody").text
        refused = [one["message"] for one in browser.get_log("browser")]
        assert all("400" in one for one in refused)  # of the reason that was missing at first; nothing else


def _annotates_with_a_correction(desk: Desk, gateway: RunningGateway) -> None:
    desk.press("2", "e", "c")
    box = desk.one("#corrected")
    desk.wait(lambda: desk.browser.switch_to.active_element == box)
    box.send_keys("1")  # a grade's key writes, where somebody writes
    box.clear()
    box.send_keys(REPLY.replace("324", "330"))
    desk.wait(lambda: [node.text for node in desk.all("#changed del, #changed ins")] == ["324", "330"])
    desk.wait(lambda: any(sign in desk.one("#saved").text for sign in ("Saved", "已保存")))
    desk.wait(
        lambda: "330 metres" in "".join(one.read_text("utf-8") for one in (gateway.data_dir / "drafts").glob("*.json"))
    )
    desk.browser.refresh()
    assert desk.one("[name=accuracy]:checked").get_attribute("value") == "2"
    assert "330" in desk.one("#corrected").get_attribute("value")
    desk.press("?")
    desk.wait(lambda: desk.one("#keys").is_displayed())
    desk.look()
    desk.press(Keys.ESCAPE)
    desk.send()


def _reviewer_sends_back(desk: Desk) -> None:
    desk.sit("Cy", "/review")
    assert len(desk.all(".side")) == 2 and len(desk.all(".differs")) == 2
    assert "王芳" not in desk.one("#task").text and "Ben" not in desk.one("#task").text  # blind
    desk.click(".side [data-reasoned]")
    desk.wait(lambda: desk.all("#trouble .trouble"))  # no reason yet; what was filled in stands
    desk.press(Keys.ESCAPE, "n")
    desk.browser.switch_to.active_element.send_keys("Which source? 请注明出处。")
    desk.click(".side [data-reasoned]")
    desk.wait(lambda: desk.all(".empty"))


def _annotator_objects(desk: Desk) -> None:
    desk.sit("王芳", "/annotate")
    assert "请注明出处" in desk.one(".returned").text
    desk.click(".objecting summary")
    desk.one("#reason").send_keys("The tower's own site.")
    desk.click("[value=object]")
    desk.wait(lambda: desk.all(".empty"))


def _expert_decides(desk: Desk) -> None:
    desk.sit("Dee", "/expert")
    assert len(desk.all(".history li")) == 2
    desk.press("a")
    desk.wait(lambda: "330" in desk.one("#corrected").get_attribute("value"))
    desk.send()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_page_has_a_grave_accessibility_fault(gateway, browser, scheme, language):
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    ask(gateway)
    desk = Desk(browser, gateway.url, language)
    for path in PAGES:
        desk.sit(f"Ada-{scheme}-{language}", path)
    browser.get_log("browser")


def test_an_expert_writes_the_next_version_of_a_guideline(gateway, browser):
    desk = Desk(browser, gateway.url, "zh")
    for version, text in ((1, "# 规则\n\n<b>看</b>清楚。"), (2, "# 新规则")):
        desk.sit("Dee", "/guide/手册")
        desk.click(".writing summary")
        box = desk.one("#guide-text")
        box.clear()
        box.send_keys(text)
        desk.click("#guide .firm")
        holds = f"return document.querySelector('.about')?.textContent.includes('v{version}')"
        desk.wait(lambda script=holds: browser.execute_script(script))
    assert desk.one(".prose h1").text == "新规则" and len(desk.all(".versions li")) == 2
    desk.sit("Dee", "/guide/手册?version=1")
    assert "<b>看</b>清楚。" in desk.one(".prose").text  # no HTML but Markdown's own


def test_a_desk_weighs_little_and_runs_nothing_inline(gateway):
    ask(gateway)
    page = httpx.get(gateway.url + "/annotate", headers={"cookie": "ratchet_person=Eve"})
    files = ("tokens.css", "house.css", "desk.css", "htmx.js", "desk.js", "keys.js", "changes.js")
    sizes = [len(httpx.get(f"{gateway.url}/page/{name}").raise_for_status().content) for name in files]
    assert sum(sizes) + len(page.content) <= 250_000
    assert "style=" not in page.text and "<script>" not in page.text and " onclick" not in page.text


def test_the_forms_work_without_scripts(gateway):
    turn = ask(gateway)
    with httpx.Client(base_url=gateway.url, follow_redirects=True) as person:
        assert "/who" in str(person.get("/annotate").url)
        assert person.post("/who", data={"name": "Zoë 王", "next": "/annotate"}).url.path == "/annotate"
        seen = {}
        while turn not in seen:  # other tests' turns wait as well
            page = person.get("/annotate").text
            item, found = _between(page, 'data-item="', '"'), _between(page, 'name="turn_id" value="', '"')
            seen[found] = item
            form = {"act": "annotate", "turn_id": found, "accuracy": "4", "fluency": "3", "corrected_reply": REPLY}
            if found != turn:
                assert person.post(f"/annotate/{item}", data={"act": "skip", "skip_reason": "other"}).status_code == 200
        refused = person.post(f"/annotate/{item}", data={**form, "accuracy": ""}, headers={"accept-language": "zh"})
        assert refused.status_code == 400 and "标注还不完整" in refused.text
        for _ in range(2):  # the same sent twice is stored once
            assert person.post(f"/annotate/{item}", data=form).status_code == 200
    kept = gateway.store.annotations(turn)
    assert [(one.annotator, one.accuracy, one.corrected_reply) for one in kept] == [("Zoë 王", 4, None)]


def test_the_other_language_shows_the_same_page(gateway):
    page = httpx.get(f"{gateway.url}/review?topic=facts&lang=zh", headers={"cookie": "ratchet_person=Eve"})
    assert 'href="?topic=facts&amp;lang=en"' in page.text and page.cookies["ratchet_language"] == "zh"


def _between(text: str, start: str, end: str) -> str:
    return text.split(start, 1)[1].split(end, 1)[0]


@pytest.mark.parametrize("after", ["//evil.example", "https://evil.example", "/\\evil.example", "javascript:alert(1)"])
def test_nobody_is_led_to_another_site(gateway, after):
    answer = httpx.post(gateway.url + "/who", data={"name": "Ada", "next": after})
    assert (answer.status_code, answer.headers["location"]) == (303, "/desks")


def test_with_keys_the_desks_are_for_their_roles(fake, tmp_path: Path):
    with RunningGateway(tmp_path, fake.url, keys="required") as gateway:
        operator = operator_of(tmp_path)
        away = httpx.get(gateway.url + "/review")
        assert (away.status_code, away.headers["location"]) == (303, "/login?next=/review")
        user = make_key(gateway.url, operator, subject="u", role="user")
        annotator = make_key(gateway.url, operator, subject="王芳", role="annotator")
        nobody = make_key(gateway.url, operator, role="annotator", name="shared")
        for key, path, status in ((user, "/annotate", 403), (annotator, "/annotate", 200), (annotator, "/review", 403),
                                  (annotator, "/desks", 200), (nobody, "/annotate", 400)):  # fmt: skip
            answer = httpx.get(gateway.url + path, headers=bearer(key["token"]))
            assert answer.status_code == status and "<h1>" in answer.text
        desks = httpx.get(gateway.url + "/desks", headers=bearer(annotator["token"])).text
        assert 'href="/annotate"' in desks and 'href="/review"' not in desks and "王芳" in desks
        with httpx.Client(base_url=gateway.url) as browser:
            browser.post("/login", json={"key": annotator["token"]})
            assert browser.get("/login?next=/annotate").headers["location"] == "/annotate"
            assert browser.post("/annotate/item_x", data={"act": "skip"}).status_code == 403  # shows no token
