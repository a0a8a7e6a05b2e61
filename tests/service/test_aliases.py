"""The alias book, who answers which conversation, and an upstream that comes back."""

import datetime as dt
import os

import httpx
import pytest

from feedback.errors import UnknownAlias
from learner.alias import Alias, AliasCorrupt, Served
from service.aliases import AliasBook, route
from tests.fakes.gateway import RunningGateway, set_alias
from tests.fakes.ollama import FakeOllama

ASK = {"model": "assistant", "messages": [{"role": "user", "content": "Hi"}], "stream": False}


def test_the_book_sees_a_swap_at_once_even_of_the_same_size_and_time(tmp_path):
    book = AliasBook(tmp_path / "alias.json")
    assert book.all() == {}
    for version in ("1.0.0", "1.1.0", "1.2.0"):
        set_alias(tmp_path, version)
        os.utime(tmp_path / "alias.json", ns=(1, 1))  # a clock that stands still: the inode differs
        assert book.find("assistant:latest")[1].champion.version == version
    with pytest.raises(UnknownAlias, match="Known names: assistant"):
        book.find("other")


def test_the_book_reads_the_file_once_per_swap(tmp_path, monkeypatch):
    set_alias(tmp_path)
    book = AliasBook(tmp_path / "alias.json")
    book.all()
    monkeypatch.setattr("service.aliases.read_aliases", lambda path: pytest.fail("read again"))
    assert book.find("assistant")[0] == "assistant"


def test_a_damaged_file_leaves_the_last_good_one_in_force(tmp_path, caplog):
    set_alias(tmp_path)
    book = AliasBook(tmp_path / "alias.json")
    assert book.all()
    (tmp_path / "alias.json").write_text("{")
    assert book.find("assistant")[1].champion.version == "1.0.0" and "alias-corrupt" in caplog.text
    with pytest.raises(AliasCorrupt):
        AliasBook(tmp_path / "alias.json").all()
    set_alias(tmp_path, "1.1.0")
    assert book.find("assistant")[1].champion.version == "1.1.0"


def test_a_conversation_stays_with_its_version_and_the_share_is_kept():
    champion, challenger = Served(version="1.0.0", tag="a:1.0.0"), Served(version="1.1.0", tag="a:1.1.0")
    now = dt.datetime.now(dt.UTC)
    alias = Alias(champion=champion, challenger=challenger, challenger_share=0.25, changed_at=now)
    names = [f"conversation-{number}" for number in range(4000)]
    answered = [route(alias, name) for name in names]
    assert answered == [route(alias, name) for name in names]
    assert 0.22 < answered.count(challenger) / len(names) < 0.28
    assert {route(Alias(champion=champion, changed_at=now), name).tag for name in names} == {"a:1.0.0"}


def test_an_upstream_that_comes_back_is_found_without_a_failed_request(tmp_path):
    with FakeOllama() as first:
        port = int(first.url.rsplit(":", 1)[1])
        with RunningGateway(tmp_path, first.url) as gateway:
            assert httpx.post(f"{gateway.url}/api/chat", json=ASK).status_code == 200
            first.stop()  # the gateway still holds a kept-alive connection to it
            assert httpx.post(f"{gateway.url}/api/chat", json=ASK).status_code == 503
            with FakeOllama(port=port):
                assert httpx.post(f"{gateway.url}/api/chat", json=ASK).status_code == 200
