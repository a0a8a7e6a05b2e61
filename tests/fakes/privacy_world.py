"""A data folder in which one person's words lie in every place that there is, among others' words.

As a program it erases her and dies at a given step: `python -m tests.fakes.privacy_world DATA_DIR STEP`. A step is one
thing that is done to the disk; with step 0 it lives, and prints how many there were.
"""

from __future__ import annotations

import hashlib
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from feedback.annotations import Annotation
from feedback.freeze import freeze
from feedback.keys import KeyCreated
from feedback.mint import now
from feedback.settings import PoolSettings, StoreSettings
from feedback.store.database import Store
from feedback.turns import Message, Turn
from learner.evaluate import Answered
from learner.records import Scores, Verdict, VersionManifest
from learner.report import Example, Report, write_report
from learner.scales import Choice
from tests.fakes.rows import a_rating, a_turn, an_annotation

WHO = "anna@example.org/安娜"
SECRETS = ("GEHEIM-ascii-7291", "秘密的句子七二九一")
RULES = PoolSettings(min_tokens=1, max_tokens=4000, min_train_rows=1)
SHARED, HERS = b"\x89PNG\r\n\x1a\n shared by two", b"\x89PNG\r\n\x1a\n GEHEIM-ascii-7291 in a picture"


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def build(data_dir: Path) -> dict[str, Any]:
    """Fill the folder; gives the ids of her turns, of the others' and of the snapshot."""
    store = Store.open(StoreSettings(data_dir=data_dir))
    turns = [_turn(number) for number in range(60)]
    for turn in turns:
        store.add_turn(turn)
        store.add_annotation(_annotation(turn))
        store.add_rating(a_rating(turn.turn_id, rater=turn.subject, comment=turn.reply[:40]))
    hers, others = [[t for t in turns if (t.subject == WHO) is own] for own in (True, False)]
    store.add_annotation(
        an_annotation(others[3].turn_id, annotator=WHO, tier="expert", corrected_reply=f"{SECRETS[1]} corrected")
    )
    for key in (_key("key-1", WHO, SECRETS[0]), _key("key-2", WHO, SECRETS[1]), _key("key-3", "user-1", "other")):
        store.add_key(key)
    store.add_rating(a_rating(others[4].turn_id, rater=WHO, comment=SECRETS[0])).result()
    for data in (SHARED, HERS):
        (data_dir / "attachments").mkdir(exist_ok=True)
        (data_dir / "attachments" / sha(data)).write_bytes(data)
    with store.reader() as cursor:
        snapshot = freeze(cursor, RULES, data_dir / "snapshots", None).id
    store.close()
    _write_run(data_dir, turns, snapshot)
    _write_logs(data_dir, hers[0], others[0])
    _write_leftovers(data_dir)
    return {"hers": [t.turn_id for t in hers], "others": [t.turn_id for t in others], "snapshot": snapshot}


def _turn(number: int) -> Turn:
    words = random.Random(number)
    text = " ".join("".join(words.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(12))
    own = number % 3 == 1
    text = f"{SECRETS[number % 2]} {text}" if own else text
    return a_turn(
        conversation_id=f"conversation-{number}", subject=WHO if own else f"user-{number % 5}",
        messages=[Message(role="user", content=text)], reply=f"The answer to {text}",
        attachments=[sha(SHARED), sha(HERS)] if number == 1 else [sha(SHARED)] if number == 2 else [],
    )  # fmt: skip


def _key(key_id: str, subject: str, name: str) -> KeyCreated:
    return KeyCreated(
        key_id=key_id, created_at=now(), name=name, role="user", subject=subject, store=True, expires_at=None,
        requests_per_minute=0, tokens_per_minute=0, scopes=[], aliases=[], secret_hash="scrypt$16384$8$1$00$00",
    )  # fmt: skip


def _annotation(turn: Turn) -> Annotation:
    return an_annotation(turn.turn_id, accept=[turn.reply[:30]], note=turn.reply[:20])


def _write_run(data_dir: Path, turns: list[Turn], snapshot: str) -> None:
    """A run that asked every turn, its report that quotes some, and the version that came of it."""
    run = data_dir / "runs" / "run-1"
    run.mkdir(parents=True)
    scores = Scores(heldout=0.5, heldout_items=20, general=0.7, general_items=80)
    verdict = Verdict(outcome="promote", reasons=["For: all."], gain=0.4, retention=1.0)
    answers = [
        Answered(
            model="sha256:1", tag="assistant:candidate", item=turn.turn_id, asked="f", prompt=turn.messages[-1].content,
            reply=turn.reply, done_reason="stop", reply_tokens=3, score=1.0, fault="",
        )
        for turn in turns
    ]  # fmt: skip
    (run / "answers.jsonl").write_bytes(b"".join(msgspec.json.encode(one) + b"\n" for one in answers))
    report = Report(
        model="assistant", cycle="cycle-1", reason="test", run="run-1", snapshot=snapshot, snapshot_rows={},
        snapshot_parents={}, trained_from="1.0.0", champion="1.0.0", version="1.1.0", scores=scores,
        champion_scores=scores, verdict=verdict, trials=[],
        choice=Choice(scale=1.0, reason="best", retention=1.0), faults={}, training={},
        examples=[
            Example(
                turn_id=turn.turn_id, question=turn.messages[-1].content, before="no", after=turn.reply,
                score_before=0, score_after=1,
            )
            for turn in turns[:3]
        ],
    )  # fmt: skip
    write_report(run, report)
    version = data_dir / "registry" / "assistant" / "1.1.0"
    version.mkdir(parents=True)
    (version / "report.md").write_text(report.markdown(), "utf-8")
    manifest = VersionManifest(
        model="assistant", version="1.1.0", created_at=now(), kind="trained", parent="1.0.0", base_sha256="b" * 64,
        run="run-1", snapshot=snapshot, cycle="cycle-1", gguf="model.gguf", gguf_sha256="c" * 64,
    )  # fmt: skip
    (version / "manifest.json").write_bytes(msgspec.json.encode(manifest))


def _write_leftovers(data_dir: Path) -> None:
    """What a killed freeze and a killed cycle left behind."""
    freezing = data_dir / "snapshots" / ".snapshot-abc.xyz.part"
    freezing.mkdir()
    for file in (freezing / "sft-train.parquet.txt", data_dir / "runs" / "run-1" / ".report.md.99.part"):
        file.write_text(SECRETS[0])


def _write_logs(data_dir: Path, hers: Turn, other: Turn) -> None:
    lines = [
        {"event": "word-hit", "rule": "r", "turn": turn.turn_id, "text": f'{turn.reply[:40]} "\\ {SECRETS[1]}'}
        for turn in (hers,)
    ] + [{"event": "word-hit", "rule": "r", "turn": other.turn_id, "text": "other"}]
    (data_dir / "logs").mkdir()
    (data_dir / "logs" / "gateway.log").write_bytes(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))


def _dying(step: int) -> Callable[[], int]:
    """Make this process die at its n-th step; gives a function that says how many there were."""
    count = 0

    def wrap(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def stepping(*args: Any, **more: Any) -> Any:
            nonlocal count
            count += 1
            if count == step:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*args, **more)

        setattr(owner, name, stepping)

    for owner, name in (
        (os, "replace"), (os, "rename"), (os, "fsync"), (Path, "unlink"), (os, "pwrite"),
        (Store, "remove_turns"), (Store, "remove_verdicts"), (Store, "end_keys"),
        (Store, "compact"),
    ):  # fmt: skip
        wrap(owner, name)
    return lambda: count


if __name__ == "__main__":
    from service.privacy.erasing import Eraser

    where = Path(sys.argv[1])
    opened = Store.open(StoreSettings(data_dir=where))
    eraser = Eraser(opened, where)
    steps = _dying(int(sys.argv[2]))
    eraser.begin("subject", WHO)
    eraser.go_on()
    print(steps())
    opened.close()
