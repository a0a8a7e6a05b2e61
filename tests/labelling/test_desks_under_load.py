"""Fifty annotators, five reviewers and two experts at once, on a real gateway, over HTTP, with a restart in the middle.

No item is lost, none is in two people's hands, none is reviewed or decided by who annotated it, and none is decided by
who reviewed it.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import random
import time
from collections import defaultdict
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx

from feedback.labelling.loading import cases_of
from feedback.labelling.records import Item, Lease
from feedback.labelling.workflow import standing_of
from feedback.mint import new_id, now
from feedback.store.tables import ITEMS, LEASES
from tests.fakes.gateway import RunningGateway
from tests.fakes.ollama import FakeOllama
from tests.fakes.rows import a_turn

ITEMS_MADE = 120
PEOPLE = {
    "annotate": [f"标注员-{number}" for number in range(50)],
    "review": [f"reviewer-{number}" for number in range(5)],
    "expert": [f"expert-{number}" for number in range(2)],
}


class Shift:
    """What everybody is doing, as they see it."""

    def __init__(self, gateway: RunningGateway, until: int) -> None:
        self.url, self.until, self.sent = gateway.url, until, 0
        self._board, self._late = gateway.state.parts.desk.board, time.monotonic() + 60
        self.holders: dict[str, str] = {}
        """Item → who was given it and has not sent anything for it."""

    @property
    def over(self) -> bool:
        """Enough was done, or nothing is left: who idles may get something back yet."""
        return self.sent >= self.until or len(self._board) == 0 or time.monotonic() > self._late


async def test_fifty_annotators_five_reviewers_and_two_experts_lose_nothing(tmp_path: Path) -> None:
    with FakeOllama(models=["assistant:1.0.0"]) as fake:
        with RunningGateway(tmp_path, fake.url) as gateway:
            _fill(gateway)
            early = Shift(gateway, until=60)
            await _work(early)
        with RunningGateway(tmp_path, fake.url) as gateway:
            late = Shift(gateway, until=10_000)
            late.holders = dict(early.holders)  # what they had in hand is theirs still
            await _work(late)
            assert len(gateway.state.parts.desk.board) == 0, "everything was brought to its end"
            _check(gateway)


def _fill(gateway: RunningGateway) -> None:
    turns = [a_turn() for _ in range(ITEMS_MADE)]
    for stored in [gateway.store.add_turn(turn) for turn in turns]:
        stored.result(20)
    items = [
        Item(
            item_id=new_id("item"), turn_id=turn.turn_id, created_at=now(), project="assistant", choice="random",
            probability=0.5, annotators=1 + number % 2, review=number % 5 == 0, language="en", topic="facts",
            version="1.0.0",
        )
        for number, turn in enumerate(turns)
    ]  # fmt: skip
    for one in [gateway.store.add(ITEMS, item) for item in items]:
        one.result(20)
    gateway.state.parts.desk.board.add(items)


async def _work(shift: Shift) -> None:
    limits = httpx.Limits(max_connections=57)
    async with httpx.AsyncClient(base_url=shift.url, timeout=60, limits=limits) as client:
        await asyncio.gather(
            *(_one(client, shift, desk, person) for desk, people in PEOPLE.items() for person in people)
        )


async def _one(client: httpx.AsyncClient, shift: Shift, desk: str, person: str) -> None:
    """One person's day: whatever comes next, until the shift is over."""
    dice, headers = random.Random(person), {"x-person": quote(person)}
    while not shift.over:
        answer = await client.post("/queue/next", json={"desk": desk}, headers=headers)
        assert answer.status_code == 200, answer.text
        task = answer.json()["task"]
        if task is None:
            await asyncio.sleep(0.3)
            continue
        item_id = task["item"]["item_id"]
        assert shift.holders.setdefault(item_id, person) == person, "somebody else has it"
        await asyncio.sleep(dice.random() * 0.02)
        if shift.over:
            return
        path, body = _answer(dice, task)
        del shift.holders[item_id]  # before it is sent: the next one may be given it before we are answered
        sent = await client.post(f"/queue/{item_id}/{path}", json=body, headers=headers)
        assert sent.status_code in (200, 201), (sent.text, task["stage"], path)
        shift.sent += 1


def _answer(dice: random.Random, task: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """What somebody says of it."""
    grades = {"accuracy": dice.randint(1, 4), "fluency": dice.randint(1, 3)}
    shown = [one["annotation"]["annotation_id"] for one in task["annotations"]]
    match task["stage"]:
        case "annotate" if dice.random() < 0.05:
            return "release", {}
        case "annotate":
            return "annotation", grades
        case "return" if dice.random() < 0.5:
            return "decision", {"decision": "object", "reason": "No."}
        case "return":
            return "annotation", grades
        case "review":
            decision = dice.choice(["accept", "mend", "return", "escalate"])
            named = {"annotation_id": shown[-1]} if decision != "escalate" else {}
            return "decision", {"decision": decision, "reason": "So.", **named, **grades}
        case _:
            return "decision", {"decision": "decide", **grades}


def _check(gateway: RunningGateway) -> None:
    store = gateway.store
    cases = cases_of(store, [item.item_id for item in store.rows(ITEMS)])
    assert len(cases) == ITEMS_MADE
    for case in cases:
        assert standing_of(case, 3).stage == "done"
        own = {one.annotator for one in case.first_hand}
        assert len(own) == case.item.annotators, "as many as were wanted, each another"
        assert not own & {one.person for one in case.reviews if one.decision != "object"}
        experts = {one.person for one in case.reviews if one.decision == "decide"}
        assert not experts & {one.person for one in case.reviews if one.decision != "decide"}
    ended = defaultdict(list)
    for case in cases:
        for one in [*case.annotations, *case.reviews]:
            who = one.annotator if hasattr(one, "annotator") else one.person
            ended[case.item.item_id, who].append(one.created_at)
    _check_leases(store.rows(LEASES, "ORDER BY created_at"), ended)


def _check_leases(leases: list[Lease], ended: dict[tuple[str, str], list[dt.datetime]]) -> None:
    """Whenever somebody was given an item, whoever had it before had sent something, or had let it go."""
    latest: dict[str, Lease] = {}
    for lease in leases:
        before = latest.get(lease.item_id)
        if before is not None and before.person != lease.person and before.expires_at > lease.created_at:
            said = ended[lease.item_id, before.person]
            assert any(before.created_at <= at <= lease.created_at for at in said), "under two leases at once"
        latest[lease.item_id] = lease
    assert len(leases) > ITEMS_MADE
