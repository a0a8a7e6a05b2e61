"""The yardstick is kept apart: no held-out conversation, nor its near copy, is in any training or validation file.

A few hundred conversations in English and Chinese with planted near copies (case, punctuation, width, one word changed,
asked again in the middle of other conversations). The files are read with plain pyarrow, and near copies are judged by
a few lines written here, so that a mistake of the code is not made again by its test.
"""

from __future__ import annotations

import random
import unicodedata
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from feedback.freeze import freeze
from feedback.settings import PoolSettings
from feedback.snapshot import SnapshotManifest
from feedback.split import split_of
from feedback.store.database import Store
from feedback.turns import Message, Turn, conversation_of
from tests.fakes.rows import a_rating, a_turn, an_annotation

ENGLISH = "Please explain to a visitor of the {} museum why the {} in the second {} was painted over in {} and by whom."
CHINESE = "请向{}博物馆的参观者详细说明为什么第二{}里的那幅{}在{}年被人重新涂过颜色而且是谁涂的呢？"
TOWNS = ["harbour", "castle", "railway", "village", "textile", "maritime", "geology", "postal", "mountain", "theatre"]
THINGS = ["ceiling", "portrait", "landscape", "doorway", "altar", "chimney"]
ROOMS = ["hall", "gallery", "corridor", "courtyard"]
城市 = ["铁路", "海港", "邮政", "纺织", "地质", "戏剧", "山区", "古堡", "航海", "农业"]
房间 = ["展厅", "走廊", "庭院", "阁楼"]
画 = ["风景画", "肖像画", "祭坛画", "天花板画"]


def questions(rng: random.Random) -> Iterator[str]:
    """Different questions, far enough apart not to be near copies of one another."""
    for number in range(100):
        filler = "".join(rng.choices("bcdfghjklmnpqrstvwxz", k=24))
        yield ENGLISH.format(rng.choice(TOWNS), f"{rng.choice(THINGS)} {filler}", rng.choice(ROOMS), 1500 + number)
        han = "".join(chr(0x4E00 + rng.randrange(8000)) for _ in range(10))
        yield CHINESE.format(rng.choice(城市), rng.choice(房间), f"{han}{rng.choice(画)}", 1500 + number)


def disguises(question: str) -> dict[str, str]:
    """Near copies of a question, by how they were made."""
    word, other = ("painted", "plastered") if question.isascii() else ("详细", "仔细")
    return {
        "case": question.upper(),
        "punctuation": question.rstrip(".？") + " !!",
        "width": "".join(chr(ord(one) + 0xFEE0) if "!" <= one <= "~" else one for one in question),
        "one word": question.replace(word, other),
        "one word more": question.replace("请", "请您", 1).replace("Please", "Could you please", 1),
        "pasted": f"<!--StartFragment-->\u200b{question}<!--EndFragment-->",
    }


def grams(text: str) -> set[str]:
    plain = "".join(
        one for one in unicodedata.normalize("NFKC", text).casefold() if unicodedata.category(one)[0] in "LNS"
    )
    width = 5 if plain.isascii() else 2
    return {plain[at : at + width] for at in range(len(plain) - width + 1)}


def alike(one: set[str], other: set[str]) -> bool:
    return len(one & other) >= 0.8 * len(one | other)


def user(text: str) -> Message:
    return Message(role="user", content=text)


class Planted:
    """The store's conversations, and where the copies lie."""

    def __init__(self, store: Store, rules: PoolSettings) -> None:
        self.writes: list[Any] = []
        self.store = store
        rng = random.Random(11)
        asked = list(questions(rng))
        self.heldout = [question for question in asked if split_of(question, rules) == "heldout"]
        self.hidden: Counter[str] = Counter()
        """Copies whose own opening would put them on the train or validation side, by disguise."""
        for question in asked:
            self.teach([user(question)], rng)
        openings = [f"opening {number}" for number in range(200)]
        apart = [text for text in openings if split_of(text, rules) != "heldout"]
        for question in self.heldout:
            for disguise, text in disguises(question).items():
                self.hidden[disguise] += split_of(text, rules) != "heldout"
                self.teach([user(text)], rng)
            middle = [
                user(rng.choice(apart)),
                Message(role="assistant", content="Yes?"),
                user(disguises(question)["one word"]),
            ]
            self.teach(middle, rng)
        for write in self.writes:
            write.result()

    def teach(self, messages: list[Message], rng: random.Random) -> Turn:
        turn = a_turn(messages=messages, reply=f"Because {rng.random()}.", conversation_id=conversation_of(messages))
        self.writes.append(self.store.add_turn(turn))
        if rng.random() < 0.5:
            self.writes.append(self.store.add_rating(a_rating(turn.turn_id)))
        self.writes.append(self.store.add_annotation(an_annotation(turn.turn_id)))
        return turn


@pytest.fixture
def planted(store: Store, rules: PoolSettings) -> Planted:
    return Planted(store, rules)


def frozen(store: Store, rules: PoolSettings, folder: Path) -> tuple[SnapshotManifest, dict[str, list[dict[str, Any]]]]:
    with store.reader() as cursor:
        manifest = freeze(cursor, rules, folder, None)
    files = (folder / manifest.id).glob("*.parquet")
    return manifest, {file.stem: pq.ParquetFile(file).read().to_pylist() for file in files}


def asked_in(rows: list[dict[str, Any]]) -> list[str]:
    """The opening and the prompt of each row."""
    users = [[one["content"] for one in row["messages"] if one["role"] == "user"] for row in rows]
    return [text for texts in users for text in (texts[0], texts[-1])]


def test_no_held_out_conversation_nor_its_near_copy_is_trained_or_validated_on(
    planted: Planted, rules: PoolSettings, tmp_path: Path
) -> None:
    manifest, files = frozen(planted.store, rules, tmp_path / "snapshots")
    assert len(planted.heldout) > 30 and all(planted.hidden[how] > 15 for how in ("one word", "one word more"))
    assert len(files["heldout"]) >= len(planted.heldout)
    assert set(planted.heldout) <= {text for text in asked_in(files["heldout"])}

    held_out = [grams(text) for text in set(asked_in(files["heldout"]))]
    conversations = {row["conversation_id"] for row in files["heldout"]}
    learnt = [row for name, rows in files.items() if name != "heldout" for row in rows]
    assert len(learnt) > 100  # what is not near is still there
    assert not conversations & {row["conversation_id"] for row in learnt}
    for text in set(asked_in(learnt)):
        mine = grams(text)
        assert not any(alike(mine, held) for held in held_out), text

    counted = next(step for step in manifest.steps if step.step == "near-copies")
    assert counted.reasons["out:near-heldout"] >= sum(planted.hidden.values()) > 30


def test_nothing_near_a_validation_row_is_trained_on(planted: Planted, rules: PoolSettings, tmp_path: Path) -> None:
    _, before = frozen(planted.store, rules, tmp_path / "snapshots")
    rng = random.Random(5)
    planted.writes.clear()
    copies = 0
    for text in asked_in(before["sft-validation"])[::2]:
        if "museum" in text or "博物馆" in text:
            changed = disguises(text)["one word"]
            copies += split_of(changed, rules) == "train"
            planted.teach([user(changed)], rng)
    for write in planted.writes:
        write.result()
    manifest, files = frozen(planted.store, rules, tmp_path / "snapshots")
    assert copies > 3
    assert next(step for step in manifest.steps if step.step == "near-copies").reasons["out:near-validation"] >= copies
    validated = [grams(text) for text in set(asked_in(files["sft-validation"]))]
    for text in set(asked_in(files["sft-train"])):
        mine = grams(text)
        assert not any(alike(mine, one) for one in validated), text
