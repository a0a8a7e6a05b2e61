"""Signing in, what a session's cookie may do, and what another site's page may not."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.gateway import RunningGateway
from tests.fakes.keys import bearer, make_key, operator_of
from tests.fakes.ollama import FakeOllama

CHAT = {"model": "assistant", "messages": [{"role": "user", "content": "你好"}], "stream": False}


@pytest.fixture(scope="module")
def guarded(fake: FakeOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder: Path = tmp_path_factory.mktemp("guarded")
    with RunningGateway(folder, fake.url, keys="required", allowed_hosts=["chat.example"]) as running:
        yield running


@pytest.fixture
def made(guarded: RunningGateway) -> dict[str, Any]:
    return make_key(guarded.url, operator_of(guarded.data_dir), role="user", name="browser")


@pytest.fixture
def browser(guarded: RunningGateway, made: dict[str, Any]) -> Iterator[httpx.Client]:
    """Signed in."""
    with httpx.Client(base_url=guarded.url) as client:
        answer = client.post("/login", json={"key": made["token"]})
        assert answer.status_code == 200, answer.text
        yield client


def csrf(browser: httpx.Client) -> dict[str, str]:
    return {"x-csrf-token": browser.cookies["ratchet_csrf"]}


def test_a_page_leads_whoever_is_not_signed_in_to_the_sign_in_page(guarded, browser):
    assert httpx.get(guarded.url + "/").headers["location"] == "/login"
    assert httpx.head(guarded.url + "/").status_code == 200  # Ollama's clients ask it whether anybody is up
    assert browser.get("/").status_code == 200
    assert browser.get("/login").headers["location"] == "/"


def test_the_sign_in_page_is_whole_and_speaks_the_browsers_language(guarded):
    page = httpx.get(guarded.url + "/login", headers={"accept-language": "zh-CN"})
    assert '<html lang="zh">' in page.text and "default-src 'self'" in page.headers["content-security-policy"]
    for name in ("chat.css", "login.css", "login.js"):
        assert f"/page/{name}" in page.text and httpx.get(f"{guarded.url}/page/{name}").status_code == 200


def test_the_cookie_that_counts_is_hidden_from_scripts_and_holds_no_key(guarded, made):
    answer = httpx.post(guarded.url + "/login", json={"key": made["token"]})
    session, token = sorted(answer.headers.get_list("set-cookie"), key=lambda line: "csrf" in line)
    assert "HttpOnly" in session and "HttpOnly" not in token
    for line in (session, token):
        assert "SameSite=lax" in line and "Path=/" in line and "Max-Age=43200" in line and "Secure" not in line
        assert made["token"][-20:] not in line
    assert made["token"] not in answer.text
    tls = httpx.post(guarded.url + "/login", json={"key": made["token"]}, headers={"x-forwarded-proto": "https"})
    assert all("Secure" in line for line in tls.headers.get_list("set-cookie"))


def test_a_cookie_reads_alone_and_changes_something_only_with_its_second_token(browser):
    assert browser.get("/v1/models").status_code == 200
    for headers in ({}, {"x-csrf-token": ""}, {"x-csrf-token": "x" * 43}, {"x-csrf-token": "ä".encode()}):
        refused = browser.post("/api/chat", json=CHAT, headers=headers)
        assert refused.status_code == 403 and "X-CSRF-Token" in refused.json()["error"]
    answer = browser.post("/api/chat", json=CHAT, headers=csrf(browser))
    assert answer.status_code == 200
    rating = f"/turns/{answer.headers['x-turn-id']}/ratings"
    assert browser.post(rating, json={"verdict": "up"}).status_code == 403
    assert browser.post(rating, json={"verdict": "up"}, headers=csrf(browser)).status_code == 201


@pytest.mark.parametrize(
    ("headers", "right"),
    [
        ({"origin": "https://evil.example"}, False), ({"origin": "null"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"sec-fetch-site": "same-site"}, False), ({"origin": "https://chat.example"}, True),
        ({"sec-fetch-site": "same-origin"}, True), ({"origin": "http://evil.example/chat.example"}, False),
        ({"origin": "https://chat.example.evil.example"}, False), ({"origin": "https://[broken"}, False),
    ],
)  # fmt: skip
def test_another_sites_page_changes_nothing_even_with_the_token(browser, headers, right):
    answer = browser.post("/api/chat", json=CHAT, headers=csrf(browser) | headers)
    assert answer.status_code == (200 if right else 403)


def test_ones_own_page_is_known_by_the_host_that_it_called(browser, guarded):
    own = {"origin": guarded.url, "host": guarded.url.removeprefix("http://")}
    assert browser.post("/api/chat", json=CHAT, headers=csrf(browser) | own).status_code == 200
    renamed = {"origin": "http://chat.local:81", "host": "chat.local:81"}
    assert browser.post("/api/chat", json=CHAT, headers=csrf(browser) | renamed).status_code == 200


def test_another_browsers_token_is_no_token_here(browser, guarded, made):
    other = httpx.post(guarded.url + "/login", json={"key": made["token"]}).cookies["ratchet_csrf"]
    assert browser.post("/api/chat", json=CHAT, headers={"x-csrf-token": other}).status_code == 403


def test_a_key_in_a_header_needs_no_second_token(guarded, made):
    for headers in (bearer(made["token"]), {"X-API-Key": made["token"]}, {"authorization": f"bearer  {made['token']}"}):
        assert httpx.post(guarded.url + "/api/chat", json=CHAT, headers=headers).status_code == 200


def test_a_wrong_key_in_a_header_is_not_made_good_by_a_cookie(browser):
    assert browser.get("/v1/models", headers=bearer("rk_none_none")).status_code == 401


def test_a_session_ends_with_its_key(guarded, browser, made):
    assert browser.get("/v1/models").status_code == 200
    operator = operator_of(guarded.data_dir)
    gone = httpx.delete(f"{guarded.url}/keys/{made['key']['key_id']}", headers=operator)
    assert gone.status_code == 200 and gone.json()["state"] == "revoked"
    assert browser.get("/v1/models").status_code == 401
    assert browser.get("/").headers["location"] == "/login"
    assert browser.post("/login", json={"key": made["token"]}).status_code == 401


def test_signing_out_needs_the_second_token_and_ends_the_session(browser):
    assert browser.post("/logout").status_code == 403
    kept = dict(browser.cookies)
    out = browser.post("/logout", headers=csrf(browser))
    assert out.status_code == 200 and not browser.cookies
    browser.cookies.update(kept)
    assert browser.get("/v1/models").status_code == 401
    assert browser.post("/logout").status_code == 200  # nothing to end


def test_a_session_ends_by_itself(guarded, browser, monkeypatch):
    real = time.monotonic
    monkeypatch.setattr("service.keys.sessions.time.monotonic", lambda: real() + 12 * 3600 + 1)
    assert browser.get("/v1/models").status_code == 401


def test_nobody_is_signed_in_by_another_sites_form(guarded, made):
    form = {"content": f'{{"key": "{made["token"]}"}}'}
    for headers in ({"content-type": "text/plain"}, {}):
        assert httpx.post(guarded.url + "/login", headers=headers, **form).status_code == 400
    crossed = {"content-type": "application/json", "origin": "https://evil.example"}
    assert httpx.post(guarded.url + "/login", headers=crossed, **form).status_code == 403


@pytest.mark.parametrize("key", ["", "rk_", "none", "rk_0_0", "密钥", "x" * 10_000])
def test_a_key_that_is_none_signs_nobody_in(guarded, key):
    answer = httpx.post(guarded.url + "/login", json={"key": key})
    assert answer.status_code == 401 and not answer.headers.get_list("set-cookie")


def test_an_open_gateway_has_nothing_to_sign_in_to(gateway):
    assert httpx.get(gateway.url + "/login").headers["location"] == "/"
    assert httpx.post(gateway.url + "/login", json={"key": "x"}).status_code == 409
    assert httpx.get(gateway.url + "/").status_code == 200
