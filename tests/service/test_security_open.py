"""A gateway without keys is this machine's own: who reaches it by another way is refused, and told how to mend it."""

from __future__ import annotations

import httpx
import pytest

from feedback.errors import Forbidden
from service.keys.hosts import is_loopback, keys_required
from service.settings import GatewaySettings
from tests.fakes.gateway import RunningGateway

CHAT = {"model": "assistant", "messages": [{"role": "user", "content": "hi"}], "stream": False}


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("[::1]", True), ("localhost", True),
     ("a.localhost", True),
     ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("example.org", False), ("", False),
     ("localhost.evil.example", False), ("127.0.0.1.evil.example", False)],
)  # fmt: skip
def test_what_is_loopback(host, loopback):
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("host", "keys", "required"),
    [("127.0.0.1", "auto", False), ("0.0.0.0", "auto", True), ("127.0.0.1", "required", True),
     ("0.0.0.0", "required", True), ("::1", "off", False)],
)  # fmt: skip
def test_whether_keys_are_required_follows_from_settings_and_address(host, keys, required):
    assert keys_required(GatewaySettings(host=host, keys=keys)) is required


def test_beyond_loopback_without_keys_is_refused_and_says_what_to_do():
    with pytest.raises(Forbidden, match=r'gateway\.keys at "auto"'):
        keys_required(GatewaySettings(host="0.0.0.0", keys="off"))


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "LOCALHOST:8400", "[::1]:8400", "app.localhost"])
def test_it_answers_to_this_machines_names(gateway, host):
    assert httpx.get(gateway.url + "/v1/models", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"host": "evil.example"}, {"host": "evil.example:8400"}, {"host": "192.168.1.4"}, {"host": "127.0.0.1.nip.io"},
     {"host": ""}, {"x-forwarded-for": "1.2.3.4"}, {"forwarded": "for=1.2.3.4"}, {"x-forwarded-host": "localhost"},
     {"x-real-ip": "127.0.0.1"}],
)  # fmt: skip
def test_it_answers_to_no_other_name_and_through_no_proxy(gateway, headers):
    for path in ("/v1/models", "/health", "/", "/schema"):
        answer = httpx.get(gateway.url + path, headers=headers)
        assert answer.status_code in (400, 403), (path, answer.text)
        if answer.status_code == 403:
            assert "gateway.keys" in answer.text


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example", "file://"])
def test_another_sites_page_changes_nothing(gateway, fake, origin):
    answer = httpx.post(gateway.url + "/api/chat", json=CHAT, headers={"origin": origin})
    assert answer.status_code == 403 and "gateway.allowed_hosts" in answer.text
    assert not fake.history


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:8080"])
def test_this_machines_own_pages_may(gateway, origin):
    assert httpx.post(gateway.url + "/api/chat", json=CHAT, headers={"origin": origin}).status_code == 200


def test_a_host_that_the_operator_named_may(fake, tmp_path):
    with RunningGateway(tmp_path, fake.url, allowed_hosts=["Box.Local"]) as gateway:
        named = {"host": "box.local:8400", "origin": "http://box.local:8400"}
        assert httpx.post(gateway.url + "/api/chat", json=CHAT, headers=named).status_code == 200


def test_a_key_is_not_needed_and_does_no_harm(gateway):
    assert httpx.get(gateway.url + "/v1/models", headers={"authorization": "Bearer none"}).status_code == 200
