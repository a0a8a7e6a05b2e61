"""The places at the hosts and the queue for them: fair, bounded, and never leaking a place."""

import asyncio
import random

import pytest

from feedback.errors import Overloaded, UpstreamDown
from service.upstream.host import Circuit, Host, full_name
from service.upstream.places import NoneHas, Places

TAG = "assistant:1.0.0"


def make(count=1, limit=1, queue_limit=10, queue_wait_s=5.0, failures=3):
    hosts = [Host(f"http://host-{number}", Circuit(failures, 60)) for number in range(count)]
    return hosts, Places(hosts, limit, queue_limit, queue_wait_s)


async def settled():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_waits_longest_is_served_first():
    _, places = make()
    first = await places.take(TAG)
    order = []

    async def wait(number):
        place = await places.take(TAG)
        order.append(number)
        await asyncio.sleep(0)
        place.give()

    waiting = [asyncio.create_task(wait(number)) for number in range(5)]
    await settled()
    assert places.waiting == 5 and order == []
    first.give()
    await asyncio.gather(*waiting)
    assert order == [0, 1, 2, 3, 4] and places.waiting == 0


async def test_nobody_overtakes_those_who_wait():
    [host], places = make()
    first = await places.take(TAG)
    early = asyncio.create_task(places.take(TAG))
    await settled()
    first.give()  # the place is the early one's from now, before it runs
    late = asyncio.create_task(places.take(TAG))
    place = await early
    await settled()
    assert not late.done() and host.outstanding == 1
    place.give()
    (await late).give()
    assert host.outstanding == 0


async def test_a_full_queue_refuses_and_a_long_wait_ends():
    _, places = make(queue_limit=2, queue_wait_s=0.1)
    first = await places.take(TAG)
    waiting = [asyncio.create_task(places.take(TAG)) for _ in range(2)]
    await settled()
    with pytest.raises(Overloaded, match="enough requests wait"):
        await places.take(TAG)
    for found in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(found, Overloaded) and "free for 0.1 s" in found.message
    assert places.waiting == 0
    first.give()
    (await places.take(TAG)).give()


async def test_a_queue_of_none_refuses_at_once():
    _, places = make(queue_limit=0)
    first = await places.take(TAG)
    with pytest.raises(Overloaded):
        await places.take(TAG)
    first.give()


async def test_who_leaves_the_queue_frees_their_place_in_it_at_once():
    _, places = make(queue_limit=1)
    first = await places.take(TAG)
    leaver = asyncio.create_task(places.take(TAG))
    await settled()
    leaver.cancel()
    await settled()
    assert leaver.cancelled() and places.waiting == 0
    stayer = asyncio.create_task(places.take(TAG))
    await settled()
    first.give()
    (await stayer).give()


async def test_who_leaves_just_after_a_place_was_granted_passes_it_on():
    [host], places = make()
    first = await places.take(TAG)
    leaver, stayer = asyncio.create_task(places.take(TAG)), asyncio.create_task(places.take(TAG))
    await settled()
    first.give()
    leaver.cancel()  # granted, and has not run since
    place = await asyncio.wait_for(stayer, 1)
    assert leaver.cancelled() and host.outstanding == 1
    place.give()
    place.give()  # twice is harmless
    assert host.outstanding == 0


async def test_one_who_waits_for_a_busy_host_holds_up_nobody_who_needs_another():
    hosts, places = make(count=2)
    hosts[0].seen(["old"])
    hosts[1].seen(["new"])
    old, new = await places.take("old:latest"), await places.take("new:latest")
    for_old, for_new = (asyncio.create_task(places.take(full_name(tag))) for tag in ("old", "new"))
    await settled()
    new.give()
    assert (await for_new).host is hosts[1] and not for_old.done()
    old.give()
    assert (await for_old).host is hosts[0]


async def test_those_who_wait_are_told_when_nobody_is_left_to_serve_them():
    hosts, places = make(count=2, failures=1)
    taken = [await places.take(TAG), await places.take(TAG)]
    waiting = [asyncio.create_task(places.take(TAG)) for _ in range(2)]
    await settled()
    for place in taken:
        place.at_fault()
        place.give()
    for found in await asyncio.gather(*waiting, return_exceptions=True):
        assert isinstance(found, UpstreamDown)
    hosts[0].seen([])
    hosts[1].seen([])
    with pytest.raises(NoneHas):
        await places.take(TAG)


async def test_a_host_that_gets_the_model_serves_those_who_wait():
    hosts, places = make(count=2)
    hosts[1].seen([])
    first = await places.take(TAG)
    waiting = asyncio.create_task(places.take(TAG))
    await settled()
    assert not waiting.done()
    hosts[1].seen([TAG])
    places.stir()
    assert (await waiting).host is hosts[1]
    first.give()


async def test_an_abandoned_try_leaves_the_next_one_to_try():
    [host, spared], places = make(count=2, failures=1)
    spared.seen([])
    host.circuit.failed()
    with pytest.raises(UpstreamDown):
        await places.take(TAG)
    host.circuit.try_now()
    trying = await places.take(TAG)
    with pytest.raises(UpstreamDown):
        await places.take(TAG)  # one at a time
    trying.give()  # its client left
    (await places.take(TAG)).began()
    assert host.circuit.closed


@pytest.mark.parametrize("seed", range(5))
async def test_no_place_is_lost_whatever_happens_in_whatever_order(seed):
    chance = random.Random(seed)
    hosts, places = make(count=3, limit=2, queue_limit=20, queue_wait_s=0.02, failures=4)
    most = 0

    async def one():
        nonlocal most
        place = await places.take(TAG)
        most = max(most, *(host.outstanding for host in hosts))
        try:
            await asyncio.sleep(chance.random() * 0.01)
            match chance.randrange(4):
                case 0:
                    place.at_fault()
                case 1:
                    place.began()
                case _:
                    place.well()
        finally:
            place.give()

    tasks = []
    for _ in range(300):
        tasks.append(asyncio.create_task(one()))
        if chance.random() < 0.3:
            chance.choice(tasks).cancel()
        if chance.random() < 0.05:
            host = chance.choice(hosts)
            host.up = chance.random() < 0.5
            host.circuit.try_now()
        if chance.random() < 0.2:
            await asyncio.sleep(0.002)
    ends = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [end for end in ends if end and not isinstance(end, Overloaded | UpstreamDown | asyncio.CancelledError)]
    assert any(end is None for end in ends) and most <= 2
    assert [host.outstanding for host in hosts] == [0, 0, 0] and places.waiting == 0
