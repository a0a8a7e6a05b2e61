"""The chat page: what is served, and that people can do with it, in a real browser, what it is for."""

from __future__ import annotations

import base64
import datetime as dt
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

from feedback.store.tables import PREFERENCES
from learner.alias import Alias, AliasFile, Served, write_aliases
from service.pages.routes import chat_files, page_bytes, page_language
from tests.fakes.accessibility import faults
from tests.fakes.browser import open_browser
from tests.fakes.gateway import RunningGateway
from tests.fakes.ollama import FakeOllama

STYLES = ("/page/tokens.css", "/page/chat.css")
LIMIT_BYTES = 250_000
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def test_the_page_is_small_and_fetches_nothing_from_elsewhere(gateway):
    total = 0
    files = {"/": "text/html", **dict.fromkeys(STYLES, "text/css")}
    files |= {f"/page/chat/{name}": "text/javascript" for name in chat_files()}
    for path, kind in files.items():
        answer = httpx.get(gateway.url + path)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        if "marked" not in path:  # it names its authors
            assert set(re.findall(r"https?://[^\s'\"]+", answer.text)) <= {"http://www.w3.org/2000/svg"}
        total += len(answer.content)
    assert total <= LIMIT_BYTES
    page = httpx.get(gateway.url).text
    assert set(re.findall(r"/page/chat/(\w+\.js)", page)) == chat_files()
    assert httpx.head(gateway.url + "/").status_code == 200  # how Ollama's clients see whether anybody is up


def test_a_script_that_the_browser_has_is_not_sent_again(gateway):
    first = httpx.get(f"{gateway.url}/page/chat/main.js")
    again = httpx.get(f"{gateway.url}/page/chat/main.js", headers={"if-none-match": first.headers["etag"]})
    assert again.status_code == 304 and again.content == b""
    for name in ("nosuch.js", "marked.LICENSE.txt", "..%2fchat.css"):
        assert httpx.get(f"{gateway.url}/page/chat/{name}").status_code == 404


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en-GB,en;q=0.9,zh;q=0.8", "en"), ("fr", "en"), ("", "en"),
     ("de, zh;q=0.1", "zh"), ("en;q=x, zh", "zh")],
)  # fmt: skip
def test_the_page_speaks_the_browsers_language(gateway, accepted, language):
    assert page_language(accepted) == language
    assert f'<html lang="{language}"' in httpx.get(gateway.url, headers={"accept-language": accepted}).text


def test_the_language_that_was_chosen_on_another_page_is_kept(gateway):
    page = httpx.get(gateway.url, headers={"accept-language": "en"}, cookies={"ratchet_language": "zh"})
    assert '<html lang="zh"' in page.text


def test_both_languages_say_the_same_things():
    script = page_bytes("chat/say.js").decode()
    found = re.search(r"  en: \{(.*?)\n  \},\n  zh: \{(.*?)\n  \},\n\};", script, re.S)
    assert found is not None
    keys = [
        set(re.findall(r"([\w-]+)\"?: (?=[\"({])", re.sub(r"errors: \{.*?\}", "", part, flags=re.S)))
        for part in found.groups()
    ]
    assert keys[0] == keys[1] and len(keys[0]) > 70


class Person:
    """Somebody before the page."""

    def __init__(self, gateway: RunningGateway, browser: webdriver.Chrome) -> None:
        self.gateway = gateway
        self.browser = browser

    def open(self, path: str = "/") -> Self:
        self.browser.get(self.gateway.url + path)
        self.wait(lambda: self.all("#model option"))
        return self

    def all(self, selector: str) -> list[WebElement]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def wait(self, condition: Callable[[], Any]) -> Any:
        return WebDriverWait(self.browser, 15).until(lambda _: condition())

    def click(self, selector: str, at: int = 0) -> None:
        self.wait(lambda: len(self.all(selector)) > at)
        self.browser.execute_script("arguments[0].click()", self.all(selector)[at])

    def texts(self, selector: str) -> list[str]:
        """What is to be seen of each; at one moment, so that a page that changes meanwhile is no error."""
        script = "return [...document.querySelectorAll(arguments[0])].map((one) => one.innerText.trim())"
        return list(self.browser.execute_script(script, selector))

    def ask(self, text: str) -> None:
        """Send a message, and wait for the end of the reply."""
        before = len(self.all(".verdict:not([hidden])"))
        self.all("#prompt")[0].send_keys(text, Keys.ENTER)
        self.wait(lambda: len(self.all(".verdict:not([hidden])")) > before)

    def turn(self, at: int = -1) -> str:
        found = self.all(".theirs")[at].get_attribute("data-turn")
        assert found
        return found

    def whole(self) -> None:
        """Nothing overflows, nothing was logged, nothing keeps anybody out."""
        assert self.browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        assert self.browser.get_log("browser") == []
        assert faults(self.browser) == []


@pytest.fixture(scope="module")
def quiet(fake: FakeOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway whose page asks for one reply at a time."""
    folder: Path = tmp_path_factory.mktemp("quiet")
    with RunningGateway(folder, fake.url, drafts_share=0.0, circuit_failures=1000) as running:
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[webdriver.Chrome]:
    with open_browser() as driver:
        yield driver


@pytest.fixture
def person(quiet: RunningGateway, browser: webdriver.Chrome) -> Iterator[Person]:
    """A new one."""
    browser.get(quiet.url)
    browser.execute_script("localStorage.clear()")
    browser.delete_all_cookies()
    browser.get_log("browser")
    yield Person(quiet, browser).open("/?")


def test_a_person_chats_rates_and_corrects(person, fake):
    def ratings():
        return [(rating.verdict, rating.stars, rating.corrected_reply) for rating in store.ratings(turn)]

    store = person.gateway.store
    fake.will_say("The tower is <b>330</b> metres tall.")
    person.ask("How tall is it?")
    assert person.texts("#log .text") == ["How tall is it?", "The tower is <b>330</b> metres tall."]
    assert person.texts(".version") == ["version 1.0.0"]
    turn = person.turn()
    person.click("[data-verdict=down]")
    person.wait(lambda: ratings() == [("down", None, None)])
    person.wait(lambda: person.all("[data-verdict=down][aria-pressed=true]"))
    person.click(".stars button", 1)
    person.wait(lambda: ratings()[1:] == [(None, 2, None)])
    person.click(".mend")
    box = person.all(".correction textarea")[0]
    assert box.get_attribute("value") == "The tower is <b>330</b> metres tall."
    box.clear()
    box.send_keys("330 metres, 含天线.")
    person.click(".correction .firm")
    person.wait(lambda: ratings()[2:] == [("down", None, "330 metres, 含天线.")])
    person.click("#language")
    assert person.texts("#fresh") == ["新对话"] and person.texts(".version") == ["版本 1.0.0"]
    fake.will_break_after("Half an answer")
    person.ask("And then?")
    assert "回答在中途断开了。" in person.texts(".trouble:not([hidden])")[0]
    person.ask("Again?")
    asked = fake.chats[-1].body["messages"]
    assert [message["content"] for message in asked] == [
        "How tall is it?",
        "The tower is <b>330</b> metres tall.",
        "Again?",
    ]
    person.whole()


def test_a_person_chats_and_corrects_at_a_desktop_in_chinese(person, fake):
    screen = {"width": 1280, "height": 860, "deviceScaleFactor": 1, "mobile": False}
    person.browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    try:
        person.click("#language")
        person.wait(lambda: person.texts("#fresh") == ["新对话"])
        fake.will_say("塔高 324 米。")
        person.ask("塔有多高？")
        assert person.texts(".version") == ["版本 1.0.0"]
        turn = person.turn()
        person.click(".mend")
        box = person.all(".correction textarea")[0]
        box.clear()
        box.send_keys("塔高 330 米，含天线。")
        person.click(".correction .firm")
        store = person.gateway.store
        person.wait(lambda: [one.corrected_reply for one in store.ratings(turn)] == ["塔高 330 米，含天线。"])
        assert store.turn(turn).messages[-1].content == "塔有多高？"
        person.whole()
    finally:
        person.browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_a_person_says_why_and_whether_it_helped(person):
    person.ask("Hello")
    person.click("[data-verdict=down]")
    person.wait(lambda: person.all(".details:not([hidden])"))
    person.click(".reason[data-reason=wrong]")
    person.click(".done [value=no]")
    person.all(".details textarea")[0].send_keys("不对")
    person.whole()
    person.click(".details .firm")
    person.wait(lambda: person.all(".details[hidden]"))
    rating = person.gateway.store.ratings(person.turn())[-1]
    assert (rating.verdict, rating.reasons, rating.comment, rating.task_completed) == ("down", ["wrong"], "不对", False)
    assert rating.rater == person.gateway.store.turn(person.turn()).subject != ""


def test_a_reply_is_stopped_asked_anew_and_its_message_edited(person, fake):
    fake.will_stall("Half of it")
    person.all("#prompt")[0].send_keys("Tell me", Keys.ENTER)
    person.wait(lambda: "Half of it" in person.texts(".theirs .text"))
    person.all("#prompt")[0].send_keys(Keys.ESCAPE)
    person.wait(lambda: person.texts(".trouble:not([hidden])") == ["Stopped."])
    fake.will_say("All of it")
    person.click(".again")
    person.wait(
        lambda: (
            person.texts(".theirs .text") == ["All of it"] and person.all(".verdict:not([hidden]) .rate:not([hidden])")
        )
    )
    assert [message["content"] for message in fake.chats[-1].body["messages"]] == ["Tell me"]
    person.ask("More")
    person.click(".edit")
    box = person.all(".editing textarea")[0]
    box.clear()
    fake.will_say("Less, then")
    box.send_keys("Tell me less", Keys.ENTER)
    person.wait(lambda: person.texts("#log .text") == ["Tell me less", "Less, then"])
    assert [message["content"] for message in fake.chats[-1].body["messages"]] == ["Tell me less"]


MARKDOWN = """# 标题

Some **bold**, *thin* and `code & <i>`, a [link](https://example.org/a?b=1&c=2), a [trap](javascript:alert(1)).

![picture](https://example.org/x.png) <img src=x onerror="document.title='taken'">
<script>document.title='taken'</script>

1. one
2. two
   - nested

| a | b |
|---|--:|
| 1 | 2 |

```python
print("<b>hi</b>")
```
"""


def test_markdown_is_shown_and_nothing_in_it_is_run_or_fetched(person, fake):
    fake.will_say(MARKDOWN)
    person.ask("Show me")
    shown = ".theirs .text "
    assert person.texts(shown + "h3") == ["标题"] and person.texts(shown + "strong") == ["bold"]
    assert person.texts(shown + "p code") == ["code & <i>"]
    links = [one.get_attribute("href") for one in person.all(shown + "a")]
    assert links == ["https://example.org/a?b=1&c=2", "https://example.org/x.png"]
    assert not person.all(shown + "img") and not person.all(shown + "script")
    assert "<img src=x onerror=" in person.texts(".theirs .text")[0] and "trap" in person.texts(".theirs .text")[0]
    assert person.texts(shown + "ol > li")[0] == "one" and person.texts(shown + "ol ul li") == ["nested"]
    assert person.texts(shown + "td") == ["1", "2"]
    assert person.texts(shown + "pre code") == ['print("<b>hi</b>")'] and person.texts(".code-head span") == ["python"]
    person.browser.execute_script("navigator.clipboard.writeText = async (text) => { window.copied = text; }")
    person.click(".code .copy")
    assert person.wait(lambda: person.browser.execute_script("return window.copied")) == 'print("<b>hi</b>")'
    person.click(".verdict .copy")
    person.wait(lambda: person.browser.execute_script("return window.copied") == MARKDOWN)
    assert person.browser.title == "Ratchet"
    person.whole()


def test_an_image_goes_along(person, fake, tmp_path):
    picture = tmp_path / "dot.png"
    picture.write_bytes(PNG)
    person.all("#files")[0].send_keys(str(picture))
    person.wait(lambda: person.all("#waiting img"))
    person.ask("What is this?")
    assert fake.chats[-1].body["messages"][0]["images"] == [base64.b64encode(PNG).decode()]
    assert person.all(".mine .pictures img")[0].get_attribute("alt") == "dot.png" and not person.all("#waiting img")
    assert len(person.gateway.store.turn(person.turn()).attachments) == 1
    person.whole()


def test_earlier_conversations_are_found_again(person, fake):
    fake.will_say("九点半。")
    person.ask("什么时候开门？")
    person.click("[data-verdict=up]")
    person.wait(lambda: person.all("[data-verdict=up][aria-pressed=true]"))
    person.click("#fresh")
    person.ask("Another matter")
    person.wait(lambda: len(person.all("#conversations li button")) == 2)
    person.click("#menu")
    assert person.texts("#conversations li button") == ["Another matter", "什么时候开门？"]
    person.whole()
    person.click("#conversations li button", 1)
    person.wait(lambda: person.texts("#log .text") == ["什么时候开门？", "九点半。"])
    assert person.all("[data-verdict=up][aria-pressed=true]") and not person.all("#history:popover-open")
    person.browser.refresh()
    person.wait(lambda: person.texts("#log .text") == ["什么时候开门？", "九点半。"])
    person.ask("周日呢？")
    assert [message["content"] for message in fake.chats[-1].body["messages"]] == [
        "什么时候开门？",
        "九点半。",
        "周日呢？",
    ]
    person.whole()


@pytest.fixture
def trying(fake: FakeOllama, tmp_path: Path) -> Iterator[RunningGateway]:
    """A gateway with a challenger, whose page always asks for two drafts."""
    champion, challenger = (Served(version=one, tag=f"assistant:{one}") for one in ("1.0.0", "1.1.0"))
    alias = Alias(champion=champion, challenger=challenger, challenger_share=0.5, changed_at=dt.datetime.now(dt.UTC))
    write_aliases(tmp_path / "alias.json", AliasFile(aliases={"assistant": alias}))
    with RunningGateway(tmp_path, fake.url, drafts_share=1.0) as running:
        yield running


def test_a_person_chooses_between_two_drafts_without_knowing_whose_they_are(trying, fake, browser):
    person = Person(trying, browser).open()
    fake.answers = lambda model, messages: f"Draft by {'one' if model == 'assistant:1.0.0' else 'the other'}"
    person.all("#prompt")[0].send_keys("Hello", Keys.ENTER)
    person.wait(lambda: person.all(".choices:not([hidden])"))
    shown = person.texts(".draft .text")
    assert set(shown) == {"Draft by one", "Draft by the other"}
    page = json.dumps(browser.execute_script("return document.body.innerText"))
    assert "1.0.0" not in page and "1.1.0" not in page
    person.whole()
    person.click("[data-prefer=second]")
    person.wait(lambda: person.all(".verdict:not([hidden]) .rate:not([hidden])"))
    (kept,) = trying.store.rows(PREFERENCES)
    assert kept.preferred == "second" and trying.store.turn(kept.other_turn_id).reply == shown[1]
    assert person.turn() == kept.other_turn_id and person.texts(".theirs .text") == [shown[1]]
    assert "1.0.0" in person.texts(".thanks")[0] and "1.1.0" in person.texts(".thanks")[0]
    person.all("#prompt")[0].send_keys("More", Keys.ENTER)
    person.wait(lambda: person.all(".choices:not([hidden])"))
    assert fake.chats[-1].body["messages"][1]["content"] == shown[1]
    person.whole()
