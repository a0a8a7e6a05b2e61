"""Signing in with a real browser: a person shows a key, chats, rates, signs out, and is sent back when the key ends."""

from __future__ import annotations

import httpx
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.fakes.browser import open_browser
from tests.fakes.gateway import RunningGateway
from tests.fakes.keys import make_key, operator_of


def test_a_person_signs_in_chats_rates_and_signs_out(fake, tmp_path):
    with RunningGateway(tmp_path, fake.url, keys="required", drafts_share=0.0) as gateway, open_browser() as browser:
        made = make_key(gateway.url, operator_of(tmp_path), subject="mei")

        def wait(condition):
            return WebDriverWait(browser, 15).until(lambda _: condition())

        def all_(selector):
            return browser.find_elements(By.CSS_SELECTOR, selector)

        def at(path):
            return browser.current_url == gateway.url + path

        def sign_in(key):
            field = browser.find_element(By.ID, "key")
            field.clear()
            field.send_keys(key, Keys.ENTER)

        browser.get(gateway.url)
        wait(lambda: at("/login"))
        assert browser.find_element(By.ID, "key").get_attribute("type") == "password"
        sign_in("rk_wrong_key")
        wait(lambda: "does not open" in browser.find_element(By.ID, "trouble").text)
        browser.find_element(By.ID, "language").click()
        assert "无效" in browser.find_element(By.ID, "trouble").text
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        sign_in(made["token"])
        wait(lambda: at("/") and all_("#model option"))
        small = {"width": 340, "height": 640, "deviceScaleFactor": 1, "mobile": True}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", small)
        assert browser.execute_script("return document.documentElement.scrollWidth <= innerWidth")
        browser.find_element(By.ID, "prompt").send_keys("你好", Keys.ENTER)
        wait(lambda: all_(".verdict:not([hidden])"))
        turn = all_(".theirs")[0].get_attribute("data-turn")
        all_("[data-verdict=up]")[0].click()
        wait(lambda: all_("[data-verdict=up][aria-pressed=true]"))
        assert gateway.store.turn(turn).subject == "mei"
        assert [rating.rater for rating in gateway.store.ratings(turn)] == ["mei"]
        assert made["token"] not in str(browser.get_cookies()) + browser.page_source
        assert browser.execute_script("return document.cookie").count("ratchet_session") == 0
        browser.find_element(By.ID, "leave").click()
        wait(lambda: at("/login"))
        sign_in(made["token"])
        wait(lambda: at("/") and all_("#model option"))
        httpx.delete(f"{gateway.url}/keys/{made['key']['key_id']}", headers=operator_of(tmp_path))
        browser.find_element(By.ID, "prompt").send_keys("还在吗", Keys.ENTER)
        wait(lambda: at("/login"))
