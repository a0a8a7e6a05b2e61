"""Several hosts behind one gateway: who is asked, who is spared, and what is tried again, over real sockets."""

import asyncio
import contextlib
import time

import msgspec
import pytest

from feedback.errors import UpstreamBroke, UpstreamDown, UpstreamRefused
from service.settings import GatewaySettings
from service.upstream.client import Upstream
from service.upstream.host import Circuit, Host, full_name
from service.upstream.reply import LINE_LIMIT_BYTES
from tests.fakes import raw_host
from tests.fakes.ollama import FakeOllama
from tests.fakes.ollama_library import Library
from tests.fakes.raw_host import RawHost

TAG = "assistant:1.0.0"
NEW = "assistant:1.1.0"


def body_of(tag=TAG):
    return msgspec.json.encode({"model": tag, "messages": [{"role": "user", "content": "Hi"}], "stream": True})


@contextlib.asynccontextmanager
async def over(*hosts, looked=True, **settings):
    """An upstream over these hosts, looked at once and then only when it must be."""
    given = {"upstream_check_s": 60, "first_token_timeout_s": 1, "stall_timeout_s": 0.5, "connect_timeout_s": 1}
    urls = [host if isinstance(host, str) else host.url for host in hosts]
    async with Upstream(GatewaySettings(upstream_urls=urls, **{**given, **settings})) as upstream:
        if looked:
            await upstream.looks.look()
        yield upstream


async def text_of(reply):
    """What a reply says to its end."""
    text, done = "", False
    while not done:
        for chunk in await reply.read():
            text, done = text + chunk.message.content, chunk.done
    await reply.finish()
    return text


async def ask(upstream, tag=TAG):
    reply = await upstream.chat(tag, body_of(tag))
    try:
        return await text_of(reply)
    finally:
        reply.close()


def idle(upstream):
    return all(host.outstanding == 0 for host in upstream.hosts) and upstream.places.waiting == 0


@pytest.fixture
def fakes():
    with FakeOllama() as one, FakeOllama() as other:
        yield one, other


async def test_the_host_with_the_fewest_requests_gets_the_next(fakes):
    with FakeOllama() as third:
        async with over(*fakes, third) as upstream:
            replies = [await upstream.chat(TAG, body_of()) for _ in range(7)]
            assert sorted(host.outstanding for host in upstream.hosts) == [2, 2, 3]
            for reply in replies:
                await text_of(reply)
            assert idle(upstream)
            first = upstream.hosts[0]
            first.outstanding = 5
            for _ in range(4):
                await ask(upstream)
            assert [len(fake.chats) for fake in (*fakes, third)] == [3, 4, 4]


async def test_a_host_that_lacks_the_version_gets_no_request_for_it_until_it_has_it(fakes):
    one, other = fakes
    one.library.models |= Library([NEW]).models
    async with over(one, other) as upstream:
        for _ in range(4):
            await ask(upstream, NEW)
        assert (len(one.chats), len(other.chats)) == (4, 0)
        other.library.models |= Library([NEW]).models
        await upstream.looks.look()
        for _ in range(4):
            await ask(upstream, NEW)
        assert (len(one.chats), len(other.chats)) == (6, 2)


async def test_a_version_that_came_after_the_last_look_is_found_by_the_first_request_for_it(fakes):
    one, other = fakes
    async with over(one, other) as upstream:
        upstream.looks._looked_at = float("-inf")  # long ago
        other.library.models |= Library([NEW]).models
        assert await ask(upstream, NEW) == "You said: Hi"
        assert not one.chats
        with pytest.raises(UpstreamRefused, match=r"No host .* has 'assistant:9.9.9'") as refusal:
            await ask(upstream, "assistant:9.9.9")
        assert refusal.value.status == 404 and len(one.chats) + len(other.chats) == 1


async def test_a_404_sends_the_request_elsewhere_and_is_remembered(fakes):
    one, other = fakes
    async with over(one, other) as upstream:
        one.library.models.clear()
        for _ in range(4):
            assert await ask(upstream) == "You said: Hi"
        assert (len(one.chats), len(other.chats)) == (1, 4)
        assert upstream.hosts[0].circuit.failures == 0  # it lacks a model, and is well
        other.library.models.clear()
        with pytest.raises(UpstreamRefused) as refusal:
            await ask(upstream)
        assert refusal.value.status == 404 and idle(upstream)


@pytest.mark.parametrize(
    "does",
    [
        raw_host.reset, raw_host.cut_in_headers, raw_host.garbage_http, raw_host.html, raw_host.headers_only,
        raw_host.error_page, raw_host.endless_line,
    ],
    ids=lambda does: does.__name__,
)  # fmt: skip
async def test_what_fails_before_the_first_chunk_is_asked_of_another_host_and_counts_against_the_first(does):
    with RawHost(does) as bad, FakeOllama() as good:
        async with over(bad, good) as upstream:
            assert await ask(upstream) == "You said: Hi"
            assert bad.asked in (1, 2) and len(good.chats) == 1  # a broken connection is tried anew, once
            assert upstream.hosts[0].circuit.failures == 1 and idle(upstream)
            assert bad.written <= LINE_LIMIT_BYTES + (8 << 20)  # what lies in between is the sockets' own


@pytest.mark.parametrize("trouble", ["500", "503", "error line", "garbage line", "cut"])
async def test_an_ollama_that_fails_at_once_is_passed_over(fakes, trouble):
    one, other = fakes
    match trouble:
        case "500":
            one.will_fail(500, "llama runner process has terminated")
        case "503":
            one.will_fail(503, "server busy, please try again. maximum pending requests exceeded")
        case "error line":
            one.will_err_after()
        case "garbage line":
            one.will_garble_after()
        case "cut":
            one.will_break_after()
    async with over(one, other) as upstream:
        assert await ask(upstream) == "You said: Hi"
        assert (len(one.chats), len(other.chats)) == (1, 1)
        assert upstream.hosts[0].circuit.failures == (0 if trouble == "503" else 1)


async def test_the_clients_own_fault_is_asked_of_nobody_else(fakes):
    one, other = fakes
    one.will_fail(400, "invalid options")
    async with over(one, other) as upstream:
        with pytest.raises(UpstreamRefused, match="invalid options") as refusal:
            await ask(upstream)
        assert refusal.value.status == 400 and not other.chats and upstream.hosts[0].circuit.failures == 0


async def test_a_request_that_every_host_fails_at_opens_no_circuit(fakes):
    async with over(*fakes, circuit_failures=2) as upstream:
        for _ in range(4):
            for fake in fakes:
                fake.will_fail(500, "failed to process inputs: this image is none")
            with pytest.raises(UpstreamRefused, match="this image is none"):
                await ask(upstream)
        assert all(host.circuit.closed for host in upstream.hosts)
        assert await ask(upstream) == "You said: Hi"


@pytest.mark.parametrize("trouble", ["cut", "stall", "error line", "garbage"])
async def test_nothing_is_asked_again_once_a_chunk_was_passed_on(fakes, trouble):
    one, other = fakes
    {
        "cut": one.will_break_after, "stall": one.will_stall, "error line": one.will_err_after,
        "garbage": one.will_garble_after,
    }[trouble]("Paris is")  # fmt: skip
    async with over(one, other) as upstream:
        reply = await upstream.chat(TAG, body_of())
        heard = [chunk.message.content for chunk in await reply.read()]
        with pytest.raises(UpstreamBroke):
            while True:
                heard += [chunk.message.content for chunk in await reply.read()]
        reply.close()
        assert heard == ["Paris is"] and not other.chats and idle(upstream)
        await asyncio.to_thread(one.wait, lambda: one.chats[0].ended != "")


async def test_a_host_that_never_begins_is_waited_for_once(fakes):
    with RawHost(raw_host.never) as bad:
        async with over(bad, fakes[0], first_token_timeout_s=0.3) as upstream:
            with pytest.raises(UpstreamBroke, match=r"did not begin to answer within 0\.3 s"):
                await ask(upstream)
            assert not fakes[0].chats and upstream.hosts[0].circuit.failures == 1 and idle(upstream)


async def test_a_host_that_dies_is_left_alone_and_found_again(fakes):
    one, other = fakes
    port = int(one.url.rsplit(":", 1)[1])
    async with over(one, other, upstream_check_s=0.2) as upstream:
        one.stop()
        for _ in range(4):
            assert await ask(upstream) == "You said: Hi"
        assert not upstream.hosts[0].up and upstream.hosts[1].up and len(other.chats) == 4
        with FakeOllama(port=port) as back:
            limit = time.monotonic() + 5
            while not back.chats:
                assert time.monotonic() < limit
                assert await ask(upstream) == "You said: Hi"
                await asyncio.sleep(0.02)
            assert upstream.hosts[0].up


async def test_where_nobody_answers_it_is_said_so_and_a_host_that_is_back_is_found_at_once(fakes):
    one, other = fakes
    port = int(other.url.rsplit(":", 1)[1])
    async with over(one, other) as upstream:
        one.stop()
        other.stop()
        with pytest.raises(UpstreamDown):
            await ask(upstream)
        assert not any(host.up for host in upstream.hosts)
        with FakeOllama(port=port):
            assert await ask(upstream) == "You said: Hi"


async def test_a_circuit_opens_tries_once_and_closes(fakes):
    one, other = fakes
    async with over(one, other, circuit_failures=3, circuit_pause_s=0.3) as upstream:
        first, second = upstream.hosts
        second.outstanding = 1  # so that the first is always the idler
        for _ in range(3):
            one.will_break_after()
            assert await ask(upstream) == "You said: Hi"
        assert not first.circuit.closed
        for _ in range(3):
            assert await ask(upstream) == "You said: Hi"
        assert len(one.chats) == 3  # spared
        await asyncio.sleep(0.35)
        one.will_break_after()  # the try fails: open again, for as long
        assert await ask(upstream) == "You said: Hi"
        assert await ask(upstream) == "You said: Hi"
        assert len(one.chats) == 4
        await asyncio.sleep(0.35)
        one.chunk_delay_s = 0.1
        await asyncio.gather(*(ask(upstream) for _ in range(3)))
        assert len(one.chats) == 5 and first.circuit.closed  # one tried, the others waited elsewhere
        one.chunk_delay_s = 0
        await ask(upstream)
        assert len(one.chats) == 6 and idle(upstream) is False and (second.outstanding, first.outstanding) == (1, 0)


async def test_the_only_host_is_given_up_only_where_nobody_reaches_it(fakes):
    one, _ = fakes
    async with over(one, circuit_failures=2, circuit_pause_s=60, upstream_check_s=0.2) as upstream:
        for _ in range(4):
            one.will_fail(500, "out of memory")
            with pytest.raises(UpstreamRefused):
                await ask(upstream)
        assert upstream.hosts[0].circuit.closed
        port = int(one.url.rsplit(":", 1)[1])
        one.stop()
        for _ in range(3):
            with pytest.raises(UpstreamDown):
                await ask(upstream)
        assert not upstream.hosts[0].circuit.closed
        with FakeOllama(port=port):
            await asyncio.sleep(0.8)  # a look finds it, long before the pause is over
            assert await ask(upstream) == "You said: Hi"


async def test_small_questions_go_to_any_host_and_lists_are_of_all(fakes):
    one, other = fakes
    other.library.models |= Library([NEW]).models
    async with over(one, other, looked=False) as upstream:
        assert {model["name"] for model in await upstream.models("/api/tags")} == {TAG, NEW}
        await upstream.looks.look()
        assert upstream.tags == {TAG, NEW}
        shown = await upstream.fetch("POST", "/api/show", msgspec.json.encode({"model": NEW}), tag=NEW)
        assert "details" in shown and not [seen for seen in one.history if seen.path == "/api/show"]
        one.stop()
        assert {model["name"] for model in await upstream.models("/api/tags")} == {TAG, NEW}
        assert (await upstream.fetch("GET", "/api/version"))["version"]
        other.stop()
        with pytest.raises(UpstreamDown):
            await upstream.models("/api/ps")
        with pytest.raises(UpstreamDown):
            await upstream.fetch("GET", "/api/version")


async def test_a_kept_connection_that_died_costs_no_request_and_no_second_host(fakes):
    one, _ = fakes
    async with over(one) as upstream:
        await ask(upstream)
        port = int(one.url.rsplit(":", 1)[1])
        one.stop()
        with FakeOllama(port=port):
            assert await ask(upstream) == "You said: Hi"
            assert upstream.hosts[0].circuit.failures == 0
            await asyncio.sleep(0.05)  # the fake closes that connection itself, and is not to be stopped meanwhile


def test_names_are_told_apart_as_ollama_does_and_passwords_are_not_shown():
    assert [full_name(name) for name in ("Qwen3", "a:1", "host:1/Qwen3")] == [
        "qwen3:latest",
        "a:1",
        "host:1/qwen3:latest",
    ]
    assert Host("https://user:secret@ollama.local:11434", Circuit(1, 1)).name == "https://ollama.local:11434"
