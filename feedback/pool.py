"""The pool: what can be learnt from now. A query over the store, no copy, and a pure decision about each turn.

`candidates` streams the turns that somebody judged; `admit` decides about one, keeping every reason, and says what is
learnt from it. Text is cleaned here, so that lengths, copies and rows all speak of the same words. What was blocked or
cut must never teach, and what the word filter hid can't: the stored text is already the masked one.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import msgspec

from feedback.annotations import Annotation
from feedback.cleaning import clean
from feedback.judgement import WEIGHTS, Judge, Judgement, Source, judge
from feedback.quality.standing import ALL_ALIKE, Standing
from feedback.ratings import Rating
from feedback.settings import PoolSettings
from feedback.split import opening_of
from feedback.store.table import Table
from feedback.store.tables import ANNOTATIONS, RATINGS, TURNS
from feedback.tokens import MARGIN, TokenCounter
from feedback.turns import Message, Turn

BATCH_ROWS = 2000
"""Turns fetched at a time."""


class Cursor(Protocol):
    """What is needed of a DuckDB cursor, so that this module loads without DuckDB."""

    def execute(self, query: str, parameters: Any = ..., /) -> Any: ...
    def fetchmany(self, size: int = ..., /) -> list[Any]: ...
    def fetchall(self) -> list[Any]: ...


class Candidate(msgspec.Struct, frozen=True):
    """A turn and everything that was said of it."""

    turn: Turn
    ratings: list[Rating]
    annotations: list[Annotation]


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """What an admitted turn teaches, cleaned."""

    turn_id: str
    conversation_id: str
    version: str
    """The version whose reply was judged."""
    opening: str
    """The conversation's first user message as it was stored: its side of the split hangs on it."""
    messages: list[Message]
    """The prompt with its history, oldest first."""
    target: str
    reply: str
    """What the model said."""
    source: Source
    judged_by: Judge
    judged_at: dt.datetime
    weight: float
    accept: list[str]
    tokens: int
    mended: dict[str, int]
    """Spots that cleaning mended, by rule."""


class Admission(msgspec.Struct, frozen=True, kw_only=True):
    """The decision about a turn: every reason, in kebab-case after `in:` or `out:`; a sample where it is in."""

    reasons: list[str]
    sample: Sample | None = None

    @property
    def admitted(self) -> bool:
        return self.sample is not None


def candidates(cursor: Cursor) -> Iterator[Candidate]:
    """Every turn that has a rating or an annotation, ordered by id. The cursor is busy until the last one is read."""
    cursor.execute(
        f"""
        SELECT {", ".join(f"t.{name}" for name in TURNS.columns)}, r.said, a.said
        FROM turns t {_said(RATINGS, "r")} {_said(ANNOTATIONS, "a")}
        WHERE r.said IS NOT NULL OR a.said IS NOT NULL
        ORDER BY t.turn_id
        """
    )
    while rows := cursor.fetchmany(BATCH_ROWS):
        for *turn, rated, annotated in rows:
            yield Candidate(
                TURNS.item(tuple(turn)),
                [RATINGS.item(row) for row in rated or ()],
                [ANNOTATIONS.item(row) for row in annotated or ()],
            )


def unjudged(cursor: Cursor, rules: PoolSettings, now: dt.datetime) -> tuple[int, Counter[str]]:
    """How many turns nobody judged, and the reasons that keep them out, without reading their text."""
    cursor.execute(
        """
        SELECT t.status, t.version = '' AS other, t.created_at < ? AS old, count(*) FROM turns t
        WHERE NOT EXISTS (SELECT 1 FROM ratings r WHERE r.turn_id = t.turn_id)
          AND NOT EXISTS (SELECT 1 FROM annotations a WHERE a.turn_id = t.turn_id)
        GROUP BY ALL
        """,
        [_oldest(rules, now).astimezone(dt.UTC).replace(tzinfo=None)],
    )
    reasons: Counter[str] = Counter()
    for status, other, old, turns in cursor.fetchall():
        reasons["out:no-verdict"] += turns
        if status != "whole":
            reasons[f"out:{status}"] += turns
        if other:
            reasons["out:other-model"] += turns
        if old:
            reasons["out:too-old"] += turns
    return reasons["out:no-verdict"], reasons


def admit(
    candidate: Candidate,
    rules: PoolSettings,
    now: dt.datetime,
    counter: TokenCounter | None = None,
    standing: Standing = ALL_ALIKE,
) -> Admission:
    """Whether a turn may be learnt from, and as what. Pure.

    Without a counter the lengths are estimated. Lengths and emptiness are looked at only where the verdicts leave
    something to learn.
    """
    turn = candidate.turn
    found = judge(turn.reply, candidate.ratings, candidate.annotations, standing)
    out = [found.reason] if found.reason.startswith("out:") else []
    if turn.status != "whole":
        out.append(f"out:{turn.status}")
    if not turn.version:
        out.append("out:other-model")  # it never was a version of ours, whose ways are not to be learnt
    if turn.attachments:
        out.append("out:attachments")  # without its image the reply would be learnt as an answer to bare text
    if turn.created_at < _oldest(rules, now):
        out.append("out:too-old")
    if not turn.messages or turn.messages[-1].role != "user":
        out.append("out:no-prompt")
    if found.target is None:
        return Admission(reasons=out)
    sample, wrong = _sample(turn, found, rules, counter or TokenCounter())
    out += wrong
    return Admission(reasons=out) if out or sample is None else Admission(reasons=[found.reason], sample=sample)


def _sample(
    turn: Turn, found: Judgement, rules: PoolSettings, counter: TokenCounter
) -> tuple[Sample | None, list[str]]:
    """The sample, and what is wrong with its text."""
    assert found.target is not None and found.source is not None
    assert found.judged_by is not None and found.judged_at is not None
    texts = [*(message.content for message in turn.messages), found.target]
    if counter.estimate(texts) > rules.max_tokens * MARGIN * 2:
        return None, ["out:too-long"]  # not worth cleaning, which is dear on a megabyte
    mended: Counter[str] = Counter()
    *contents, target = _cleaned(texts, mended)
    reply = target if found.source == "reply" else clean(turn.reply).text
    tokens = counter.count_between([*contents, target], rules.min_tokens, rules.max_tokens)
    wrong = _text_reasons(contents, target, tokens, rules)
    sample = Sample(
        turn_id=turn.turn_id,
        conversation_id=turn.conversation_id,
        version=turn.version,
        opening=opening_of(turn.messages),
        messages=[Message(role=one.role, content=text) for one, text in zip(turn.messages, contents, strict=True)],
        target=target,
        reply=reply,
        source=found.source,
        judged_by=found.judged_by,
        judged_at=found.judged_at,
        weight=round(WEIGHTS[found.judged_by] * found.weight, 4),
        accept=found.accept,
        tokens=tokens,
        mended=dict(mended),
    )
    return sample, wrong


def _cleaned(texts: Sequence[str], mended: Counter[str]) -> list[str]:
    cleaned = [clean(text) for text in texts]
    for one in cleaned:
        mended.update(one.counts)
    return [one.text for one in cleaned]


def _text_reasons(contents: Sequence[str], target: str, tokens: int, rules: PoolSettings) -> list[str]:
    wrong = []
    if not target.strip():
        wrong.append("out:empty-reply")
    if contents and not contents[-1].strip():
        wrong.append("out:empty-prompt")
    if tokens < rules.min_tokens:
        wrong.append("out:too-short")
    if tokens > rules.max_tokens:
        wrong.append("out:too-long")
    return wrong


def _oldest(rules: PoolSettings, now: dt.datetime) -> dt.datetime:
    """The earliest time at which an admitted turn was made; the beginning of time where age does not matter."""
    if not rules.max_age_days:
        return dt.datetime.min.replace(tzinfo=dt.UTC)
    return now - dt.timedelta(days=rules.max_age_days)


def _said(table: Table[Any], name: str) -> str:
    """A join that brings all rows of a table about one turn, as one list of rows in the order of its columns."""
    return f"""
        LEFT JOIN (
            SELECT turn_id, list(row({", ".join(table.columns)}) ORDER BY {table.columns[0]}) AS said
            FROM {table.name} GROUP BY turn_id
        ) {name} ON {name}.turn_id = t.turn_id
    """
