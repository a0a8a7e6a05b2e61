"""A gateway under mixed load for a while: its memory must stay flat, and no turn be lost.

    python -m tests.soak.gateway --minutes 15

People stream and ask whole, leave in the middle, rate; the word list is exchanged; the upstream breaks, errs and
garbles. At the end the gateway is stopped by SIGTERM, and every turn and rating that it acknowledged must be in its
store. Prints a line a minute; the exit code is 1 where something was lost or memory rose.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import aiohttp
import psutil

from tests.fakes.gateway import set_alias
from tests.fakes.gateway_process import GatewayProcess
from tests.fakes.ollama import FakeOllama
from tests.soak.checks import rise, stored

PEOPLE = 24
PAUSE_S = 0.05
"""What a person thinks between two chats: the load is to last, not to be the most there can be."""
RISE_LIMIT_MIB = 15.0
"""From the middle third of the run to the last, each at its lowest."""
QUESTION = "How tall is the tower, and when was it built? 塔有多高？"


@dataclasses.dataclass
class Told:
    """What the gateway acknowledged, and what else happened."""

    turns: set[str] = dataclasses.field(default_factory=set)
    ratings: set[str] = dataclasses.field(default_factory=set)
    left: int = 0
    cut: int = 0
    refused: int = 0


async def person(session: aiohttp.ClientSession, told: Told, until: float, number: int) -> None:
    """Chat after chat, each in one of the ways in which people do."""
    source = random.Random(number)
    while time.monotonic() < until:
        try:
            turn = await _chat(session, told, source)
            if turn and source.random() < 0.3:
                await _rate(session, told, turn)
        except (aiohttp.ClientError, json.JSONDecodeError):
            told.cut += 1
        await asyncio.sleep(PAUSE_S)


async def _chat(session: aiohttp.ClientSession, told: Told, source: random.Random) -> str:
    """One chat; the turn's id if it was acknowledged."""
    stream = source.random() < 0.6
    messages = [{"role": "user", "content": f"{QUESTION} {source.random()}"}]
    async with session.post("/api/chat", json={"model": "assistant", "messages": messages, "stream": stream}) as answer:
        if answer.status != 200:
            told.refused += 1
            return ""
        if stream and source.random() < 0.2:
            await answer.content.readline()
            told.left += 1
            answer.close()
            return ""
        last = json.loads((await answer.text()).splitlines()[-1])
    if not last.get("done"):
        told.cut += 1
        return ""
    told.turns.add(last["turn_id"])
    return str(last["turn_id"])


async def _rate(session: aiohttp.ClientSession, told: Told, turn: str) -> None:
    async with session.post(f"/turns/{turn}/ratings", json={"verdict": "up", "comment": "很好"}) as answer:
        if answer.status == 201:
            told.ratings.add((await answer.json())["rating_id"])


async def trouble(fake: FakeOllama, words: Path) -> None:
    """An upstream that breaks now and then, and a word list that changes."""
    number = 0
    while True:
        await asyncio.sleep(1)
        number += 1
        fake.will_break_after("Well,", " the tower")
        fake.will_err_after("Well,")
        fake.will_garble_after("Well,")
        fake.will_fail(500, "out of memory")
        fake.history.clear()
        if number % 5 == 0:
            await asyncio.to_thread(words.write_text, "\n".join(f"secretword{number}{each}" for each in range(2000)))


async def memory(gateway: GatewayProcess, told: Told, every_s: float, found: list[float]) -> None:
    """One reading and one line each `every_s`."""
    process = psutil.Process(gateway.process.pid)
    began = time.monotonic()
    while True:
        await asyncio.sleep(every_s)
        found.append(process.memory_info().rss / 2**20)
        cpu = process.cpu_times()
        print(
            f"{(time.monotonic() - began) / 60:5.1f} min  {found[-1]:6.1f} MiB  {cpu.user + cpu.system:6.0f} s CPU  "
            f"{len(told.turns)} turns, {len(told.ratings)} ratings, {told.left} left, {told.cut} cut, "
            f"{told.refused} refused",
            flush=True,
        )


async def load(gateway: GatewayProcess, fake: FakeOllama, words: Path, minutes: float) -> tuple[Told, list[float]]:
    """Everybody at once, until the time is over."""
    told, found = Told(), list[float]()
    until = time.monotonic() + minutes * 60
    async with aiohttp.ClientSession(gateway.url, connector=aiohttp.TCPConnector(limit=0)) as session:
        beside = [
            asyncio.create_task(trouble(fake, words)),
            asyncio.create_task(memory(gateway, told, min(60.0, minutes * 60 / 15), found)),
        ]
        await asyncio.gather(*(person(session, told, until, number) for number in range(PEOPLE)))
        for task in beside:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    return told, found


def run(folder: Path, minutes: float) -> tuple[Told, list[float], list[str]]:
    """The whole soak. Gives what was acknowledged, MiB by reading, and what is wrong."""
    data_dir, words = folder / "data", folder / "words.txt"
    data_dir.mkdir()
    set_alias(data_dir)
    words.write_text("secretword", encoding="utf-8")
    settings = {"words_file": words, "log_level": "error", "words_reload_s": 0.5}
    with FakeOllama(chunk_delay_s=0.002) as fake, GatewayProcess(data_dir, fake.url, **settings) as gateway:
        told, found = asyncio.run(load(gateway, fake, words, minutes))
        code, log = gateway.terminate(60)
    turns, ratings = stored(data_dir)
    wrong = [f"{len(told.turns - turns.keys())} turns were lost"] * bool(told.turns - turns.keys())
    wrong += [f"{len(told.ratings - ratings)} ratings were lost"] * bool(told.ratings - ratings)
    wrong += [f"it left with {code}"] * bool(code)
    wrong += [line for line in log if '"unforeseen"' in line][:5]
    return told, found, wrong


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=15.0)
    minutes = parser.parse_args().minutes
    with tempfile.TemporaryDirectory() as folder:
        told, found, wrong = run(Path(folder), minutes)
    lost = bool(wrong)
    risen = rise(found)
    if risen > RISE_LIMIT_MIB:
        wrong.append("memory rose")
    print(
        f"{len(told.turns)} turns and {len(told.ratings)} ratings acknowledged; all stored: {'NO' if lost else 'yes'}"
    )
    print(f"memory at most {max(found):.0f} MiB; from the middle third to the last it rose by {risen:+.1f} MiB")
    sys.exit(" ".join(wrong) or None)


if __name__ == "__main__":
    main()
