"""The guides' pictures of the pages that show figures or ask who one is: taken from a real gateway in Chromium.

    python -m tests.soak.pictures [--into deploy/guides/images]

What people said in them is made up. Those of the chat page and the desks show work half done, and are taken by hand.
"""

from __future__ import annotations

import argparse
import datetime as dt
import random
import tempfile
import time
from pathlib import Path

from selenium import webdriver

from feedback.mint import now
from feedback.store.database import Store
from feedback.turns import Message
from tests.fakes.browser import open_browser
from tests.fakes.gateway import RunningGateway
from tests.fakes.ollama import FakeOllama
from tests.fakes.rows import a_rating, a_turn, an_annotation

VERSIONS = {"1.0.0": 0.62, "1.1.0": 0.74, "1.2.0": 0.83}
"""How often people like each one's replies."""
PROMPTS = ("How tall is it?", "什么时候开门？", "Fix my code")
WEEKS, TURNS_A_WEEK = 9, 60


def fill(store: Store) -> None:
    """Weeks of turns, each version better than the one before."""
    source, waiting = random.Random(3), []
    for week in range(WEEKS):
        version = list(VERSIONS)[week * len(VERSIONS) // WEEKS]
        for number in range(TURNS_A_WEEK):
            at = now() - dt.timedelta(weeks=WEEKS - week, hours=-number)
            turn = a_turn(
                turn_id=f"turn-{round(at.timestamp() * 1000):012x}{source.getrandbits(80):020x}", created_at=at,
                version=version, conversation_id=f"c{week}-{number}",
                messages=[Message(role="user", content=source.choice(PROMPTS))],
            )  # fmt: skip
            waiting.append(store.add_turn(turn))
            good = source.random() < VERSIONS[version]
            done = source.random() < VERSIONS[version]
            said = {"rater": f"person-{number % 20}", "created_at": at, "task_completed": done}
            waiting.append(store.add_rating(a_rating(turn.turn_id, verdict="up" if good else "down", **said)))
            for who in ("mei", "ben")[: 1 + number % 2]:
                accuracy = min(4, max(1, (4 if good else 2) + source.choice((-1, 0, 0, 0))))
                graded = {"tier": "annotator", "annotator": who, "created_at": at, "fluency": source.choice((2, 3, 3))}
                waiting.append(store.add_annotation(an_annotation(turn.turn_id, accuracy=accuracy, **graded)))
    for turn in store.turns(limit=40):
        waiting.append(store.add_rating(a_rating(turn.turn_id, rater="bot-7", verdict="down")))
    for one in waiting:
        one.result(30)


def shoot(browser: webdriver.Chrome, file: Path, width: int, height: int) -> None:
    screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)
    time.sleep(0.5)
    browser.save_screenshot(str(file))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--into", type=Path, default=Path("deploy/guides/images"))
    into = parser.parse_args().into
    with tempfile.TemporaryDirectory() as folder, FakeOllama() as fake, RunningGateway(Path(folder), fake.url) as there:
        fill(there.store)
        with open_browser() as browser:
            for name, path in (("measures", "/measures?by=version"), ("quality", "/quality")):
                browser.get(f"{there.url}{path}{'&' if '?' in path else '?'}lang=en")
                time.sleep(5 if name == "measures" else 1)
                shoot(browser, into / f"{name}.png", 1280, 900)
                browser.get(f"{there.url}{path}{'&' if '?' in path else '?'}lang=zh")
                shoot(browser, into / f"{name}-phone.png", 390, 844)
            browser.get(f"{there.url}/who?lang=en")
            shoot(browser, into / "who.png", 1280, 600)
            with (
                tempfile.TemporaryDirectory() as other,
                RunningGateway(Path(other), fake.url, keys="required") as locked,
            ):
                browser.get(f"{locked.url}/login")
                shoot(browser, into / "login.png", 1280, 600)


if __name__ == "__main__":
    main()
