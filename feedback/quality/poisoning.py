"""Signs that somebody means to spoil the pool: floods, bursts, one comment from many mouths, votes against everybody.

Each sign is looked for by itself and gives findings with numbers for evidence; an operator sees them as quarantines
and may lift them. Floods and bursts are counted in the database, which holds millions; comments and votes are judged
in pure functions. What was imported came at once, and is nobody's burst. Whoever gives no name can't be told from
others: quotas and bursts leave them alone, and their votes count as one rater's anyway.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import duckdb
import msgspec

from feedback.near_copies import NearCopies, shape_of
from feedback.quality.quarantine import HELD_RATERS, Finding
from feedback.quality.records import Target
from feedback.settings import QualitySettings

FLOOD = 5
"""How many times the day's quota makes the rater suspicious, and not only what is beyond it."""
CAMPAIGN_RATERS = 3
"""From how many raters the same comment is a campaign; fewer may only be people of few words."""
ALONE = 3
"""How many times more copies it takes where fewer raters wrote them."""
SHORTEST_COMMENT = 12
"""Letters and characters of a comment, without spaces, below which it is no wonder that others write the same; a
Chinese character counts as two."""
COMMENTS = 5_000
"""Newest comments that are compared."""

_SAID = """
    WITH said AS (
        SELECT 'rating' AS kind, rating_id AS id, turn_id, rater, created_at FROM ratings
        UNION ALL SELECT 'preference', preference_id, turn_id, rater, created_at FROM preferences
    ), recent AS (
        SELECT said.*, turns.subject FROM said JOIN turns USING (turn_id)
        WHERE said.created_at >= $since AND said.rater <> '' AND turns.model_tag NOT LIKE 'imported:%'
    )
"""
_BURSTS = """
    WITH said AS (
        SELECT turn_id, rater, created_at FROM ratings
        UNION ALL SELECT turn_id, rater, created_at FROM preferences
        UNION ALL SELECT turn_id, annotator, created_at FROM annotations WHERE tier = 'annotator'
    ), busy AS (
        SELECT rater FROM said WHERE created_at >= $since AND rater <> '' GROUP BY rater HAVING count(*) >= $least
    ), counted AS (
        SELECT rater, said.created_at, count(*) OVER (
            PARTITION BY rater ORDER BY epoch_us(said.created_at) RANGE BETWEEN $span PRECEDING AND CURRENT ROW
        ) AS many
        FROM said JOIN turns USING (turn_id) SEMI JOIN busy USING (rater)
        WHERE said.created_at >= $since AND turns.model_tag NOT LIKE 'imported:%'
    )
    SELECT rater, created_at, many FROM counted WHERE many >= $least ORDER BY created_at
"""


def bursts(
    cursor: duckdb.DuckDBPyConnection,
    rules: QualitySettings,
    since: dt.datetime,
    forgiven: Mapping[str, dt.datetime],
) -> list[Finding]:
    """Raters and annotators who said more in `burst_seconds` than anybody reads."""
    if rules.burst_ratings <= 0:
        return []
    given = {"since": _utc(since), "least": rules.burst_ratings, "span": round(rules.burst_seconds * 1e6)}
    most: dict[str, int] = {}
    for rater, at, many in cursor.execute(_BURSTS, given).fetchall():
        if rater not in forgiven or at > _utc(forgiven[rater]) + dt.timedelta(seconds=rules.burst_seconds):
            most[rater] = max(many, most.get(rater, 0))
    return [
        _about_rater(
            rater, "burst", f"{many} verdicts within {rules.burst_seconds:g} s; {rules.burst_ratings} are many."
        )
        for rater, many in most.items()
    ]


def over_quota(
    cursor: duckdb.DuckDBPyConnection,
    rules: QualitySettings,
    since: dt.datetime,
    forgiven: Mapping[str, dt.datetime],
) -> list[Finding]:
    """What one rater said beyond the day's quota, or was said of one person's turns beyond theirs."""
    found: list[Finding] = []
    quotas = (("rater", rules.ratings_per_day), ("subject", rules.subject_ratings_per_day))
    for whose, quota in quotas:
        if quota > 0:
            query = f"""{_SAID}
                SELECT kind, id, rater, created_at, place, many FROM (
                    SELECT *, count(*) OVER same AS many,
                           row_number() OVER (same ORDER BY created_at, id) AS place
                    FROM recent WHERE {whose} <> ''
                    WINDOW same AS (PARTITION BY {whose}, date_trunc('day', created_at))
                ) WHERE place > $quota ORDER BY created_at, id
            """
            rows = cursor.execute(query, {"since": _utc(since), "quota": quota}).fetchall()
            found += _beyond(rows, whose, quota, forgiven)
    return found


def _beyond(rows: Sequence[Any], whose: str, quota: int, forgiven: Mapping[str, dt.datetime]) -> list[Finding]:
    found: dict[tuple[str, str], Finding] = {}
    for kind, verdict, rater, at, _, many in rows:
        if rater in forgiven and at <= _utc(forgiven[rater]):
            continue
        if whose == "rater" and many > FLOOD * quota:
            words = f"{many} verdicts in a day; {quota} count."
            found["rater", rater] = _about_rater(rater, "over-quota", words)
        else:
            of = "by one rater" if whose == "rater" else "about one person's turns"
            words = f"{many} verdicts {of} in a day; {quota} count."
            found[kind, verdict] = Finding(kind=kind, target=verdict, reason="over-quota", evidence=words)
    return list(found.values())


class Comment(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wrote beside a rating or a preference."""

    kind: Target
    verdict_id: str
    rater: str
    text: str


def read_comments(cursor: duckdb.DuckDBPyConnection, since: dt.datetime) -> list[Comment]:
    """The newest comments since then that say more than a few words, of raters who are not quarantined."""
    rows = cursor.execute(
        f"""
        SELECT * FROM (
            SELECT 'rating' AS kind, rating_id AS id, rater, comment FROM ratings
            WHERE created_at >= $since AND comment <> '' AND rater NOT IN ({HELD_RATERS})
            UNION ALL SELECT 'preference', preference_id, rater, comment FROM preferences
            WHERE created_at >= $since AND comment <> '' AND rater NOT IN ({HELD_RATERS})
        ) ORDER BY substr(id, instr(id, '-')) DESC LIMIT {COMMENTS}
        """,
        {"since": _utc(since)},
    ).fetchall()
    return [Comment(kind=kind, verdict_id=one, rater=rater, text=text) for kind, one, rater, text in rows]


def near_identical(comments: Iterable[Comment], rules: QualitySettings) -> list[Finding]:
    """Comments that nearly copy each other, where too many do. Pure."""
    if rules.copies_least <= 0:
        return []
    by_text: dict[str, list[Comment]] = defaultdict(list)
    for comment in comments:
        folded = shape_of(comment.text).folded
        if _length(folded) >= SHORTEST_COMMENT:
            by_text[folded].append(comment)
    found: list[tuple[Comment, str]] = []
    for texts in _groups(by_text, rules.copy_similarity):
        same = [comment for text in texts for comment in by_text[text]]
        raters = len({comment.rater for comment in same})
        least = rules.copies_least * (1 if raters >= CAMPAIGN_RATERS else ALONE)
        if len(same) >= least:
            words = f"One of {len(same)} near-identical comments by {raters} raters."
            found += [(one, words) for one in same]
    return _of_campaigns(found, rules.copies_least)


def _of_campaigns(found: Sequence[tuple[Comment, str]], least: int) -> list[Finding]:
    """The raters who wrote so many of these comments, for what else they said is to be doubted too; of others each."""
    own = Counter(one.rater for one, _ in found if one.rater)
    doubted = {rater: many for rater, many in own.items() if many >= least}
    return [
        *(
            _about_rater(rater, "near-identical-comments", f"{many} comments that nearly copy each other or others'.")
            for rater, many in sorted(doubted.items())
        ),
        *(
            Finding(kind=one.kind, target=one.verdict_id, reason="near-identical-comments", evidence=words)
            for one, words in found
            if one.rater not in doubted
        ),
    ]


def _length(folded: str) -> int:
    return sum(1 if character.isascii() else 2 for character in folded if not character.isspace())


def _groups(texts: Iterable[str], similarity: float) -> list[list[str]]:
    """Texts that are near copies of one another, directly or by way of others."""
    index = NearCopies(texts, similarity)
    left = dict.fromkeys(texts)
    groups = []
    while left:
        text, _ = left.popitem()
        group, waiting = [text], [text]
        while waiting:
            for copy in index.copies(shape_of(waiting.pop())):
                if copy in left:
                    del left[copy]
                    group.append(copy)
                    waiting.append(copy)
        groups.append(group)
    return groups


def reasons_of(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings of each reason."""
    return dict(Counter(one.reason for one in findings))


def _about_rater(rater: str, reason: Any, words: str) -> Finding:
    return Finding(kind="rater", target=rater, reason=reason, evidence=words)


def _utc(moment: dt.datetime) -> dt.datetime:
    """As the database has it."""
    return moment.astimezone(dt.UTC).replace(tzinfo=None)
