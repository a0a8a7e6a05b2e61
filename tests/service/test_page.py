"""The chat page: what is served, and that a person can chat, rate and correct with it in a real browser."""

import re

import httpx
import pytest
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from service.pages.routes import page_bytes, page_language
from tests.fakes.browser import open_browser

FILES = {"/": "text/html", "/page/chat.css": "text/css", "/page/chat.js": "text/javascript"}


def test_the_page_is_small_and_fetches_nothing_from_elsewhere(gateway):
    total = 0
    for path, kind in FILES.items():
        answer = httpx.get(gateway.url + path)
        assert answer.status_code == 200 and answer.headers["content-type"].startswith(kind)
        assert "default-src 'self'" in answer.headers["content-security-policy"]
        assert set(re.findall(r"https?://[^\s'\"]+", answer.text)) <= {"http://www.w3.org/2000/svg"}
        total += len(answer.content)
    assert total <= 60_000
    assert httpx.head(gateway.url + "/").status_code == 200  # how Ollama's clients see whether anybody is up


@pytest.mark.parametrize(
    ("accepted", "language"),
    [("zh-CN,zh;q=0.9,en;q=0.8", "zh"), ("en-GB,en;q=0.9,zh;q=0.8", "en"), ("fr", "en"), ("", "en"),
     ("de, zh;q=0.1", "zh"), ("en;q=x, zh", "zh")],
)  # fmt: skip
def test_the_page_speaks_the_browsers_language(gateway, accepted, language):
    assert page_language(accepted) == language
    assert f'<html lang="{language}" ' in httpx.get(gateway.url, headers={"accept-language": accepted}).text


def test_both_languages_say_the_same_things():
    script = page_bytes("chat.js").decode()
    english, chinese = re.search(r"en: \{(.*?)\n  \},\n  zh: \{(.*?)\n  \},\n\};", script, re.S).groups()
    keys = [
        set(re.findall(r"(\w+): (?=[\"({])", re.sub(r"errors: \{.*?\}", "", part, flags=re.S)))
        for part in (english, chinese)
    ]
    assert keys[0] == keys[1] and len(keys[0]) > 20


@pytest.fixture
def browser():
    with open_browser() as driver:
        yield driver


def test_a_person_chats_rates_and_corrects(gateway, fake, browser):
    def wait(condition):
        return WebDriverWait(browser, 15).until(lambda _: condition())

    def all_(selector):
        return browser.find_elements(By.CSS_SELECTOR, selector)

    def ratings():
        return [(rating.verdict, rating.stars, rating.corrected_reply) for rating in gateway.store.ratings(turn)]

    browser.get(gateway.url)
    wait(lambda: all_("#model option"))
    fake.will_say("The tower is <b>330</b> metres tall.")
    prompt = browser.find_element(By.ID, "prompt")
    prompt.send_keys("How tall is it?", Keys.ENTER)
    wait(lambda: all_(".verdict:not([hidden])"))
    assert [node.text for node in all_("#log .text")] == ["How tall is it?", "The tower is <b>330</b> metres tall."]
    assert all_(".version")[0].text == "version 1.0.0"
    turn = all_(".theirs")[0].get_attribute("data-turn")
    all_("[data-verdict=down]")[0].click()
    wait(lambda: ratings() == [("down", None, None)])
    wait(lambda: all_("[data-verdict=down][aria-pressed=true]"))
    all_(".stars button")[1].click()
    wait(lambda: ratings()[1:] == [(None, 2, None)])
    all_(".mend")[0].click()
    box = all_(".correction textarea")[0]
    assert box.get_attribute("value") == "The tower is <b>330</b> metres tall."
    box.clear()
    box.send_keys("330 metres, 含天线.")
    all_(".correction .firm")[0].click()
    wait(lambda: ratings()[2:] == [("down", None, "330 metres, 含天线.")])
    browser.find_element(By.ID, "language").click()
    assert browser.find_element(By.ID, "fresh").text == "新对话" and all_(".version")[0].text == "版本 1.0.0"
    fake.will_break_after("Half an answer")
    prompt.send_keys("And then?", Keys.ENTER)
    wait(lambda: all_(".trouble:not([hidden])"))
    assert "回答在中途断开了。" in all_(".trouble:not([hidden])")[0].text
    prompt.send_keys("Again?", Keys.ENTER)
    wait(lambda: len(all_(".verdict:not([hidden])")) == 2)
    asked = fake.chats[-1].body["messages"]
    assert [message["content"] for message in asked] == [
        "How tall is it?",
        "The tower is <b>330</b> metres tall.",
        "Again?",
    ]
    assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
    assert browser.get_log("browser") == []
