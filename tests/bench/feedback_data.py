"""A store as it looks after a busy year: a million turns, three million ratings, a hundred thousand items of the queue.

Made by DuckDB's own SQL, straight into a store's tables, in a minute or two where the store's door would take an hour.
Ids are as `feedback.mint` makes them, with the times at which the rows would have come. The same numbers give the same
rows. Texts are sentences of a few, in English and Chinese, so that they are as long as real ones, and mean nothing.
"""

from __future__ import annotations

import random
from pathlib import Path

import duckdb
import msgspec

from feedback.mint import now
from feedback.settings import StoreSettings
from feedback.store.connection import Connection
from feedback.store.database import FILE_NAME, Store

MAKING_MIB = 3072
"""Memory for the making, MiB: three million rows are sorted."""
PIECE = 100_000
"""Turns in one statement, so that their text fits into it."""
WEEKS = 52
ENGLISH = "the harbour library opens early and trains leave from platform nine while nobody rings the old bell again"
CHINESE = "港口图书馆早上九点半开门从第九站台出发的列车已经离开没有人再敲那口旧钟请问哪里可以买到去北方的船票"


class Size(msgspec.Struct, frozen=True, kw_only=True):
    """How much of everything."""

    turns: int = 1_000_000
    ratings: int = 3_000_000
    items: int = 100_000
    """Of the queue; all but `open_items` are annotated. Of a hundred one waits for a reviewer, one for an expert."""
    open_items: int = 2_000
    preferences: int = 50_000


def fill(data_dir: Path, size: Size | None = None) -> None:
    """Make a new store in `data_dir` and fill it."""
    size = size or Size()
    settings = StoreSettings(data_dir=data_dir, memory_limit_mib=MAKING_MIB)
    Store.open(settings).close()
    connection = Connection(data_dir.resolve() / FILE_NAME, settings)
    try:
        with connection.cursor() as con:
            _prepare(con, size)
            for first in range(0, size.turns, PIECE):
                con.execute(TURNS, {"first": first, "after": min(first + PIECE, size.turns)})
            for statement in (FACETS, RATINGS, PREFERENCES, ITEMS, ANNOTATIONS, REVIEWS):
                con.execute(statement)
            con.execute("CHECKPOINT")
    finally:
        connection.close()


def _prepare(con: duckdb.DuckDBPyConnection, size: Size) -> None:
    """Sentences, and the functions that the statements share."""
    drawn = random.Random(5)
    english, chinese = ENGLISH.split(), list(CHINESE)
    sentences = [
        " ".join(drawn.choices(english, k=drawn.randint(6, 18))).capitalize() + ". "
        if at % 2
        else "".join(drawn.choices(chinese, k=drawn.randint(8, 30))) + "。"
        for at in range(4000)
    ]
    run = con.execute
    run("CREATE TEMP TABLE said AS SELECT list(s) AS s FROM (SELECT unnest(?::VARCHAR[]) AS s)", [sentences])
    end = int(now().timestamp() * 1000)
    begin = end - WEEKS * 7 * 86_400_000
    # The i-th of n: evenly over the year, and a number between 0 and m - 1 that looks random.
    run(f"CREATE TEMP MACRO at_ms(i, n) AS {begin} + CAST(i * {end - begin}::DOUBLE / n AS BIGINT)")
    run("CREATE TEMP MACRO pick(i, salt, m) AS (hash(i * 31 + salt) % m::UBIGINT)::BIGINT")
    run("CREATE TEMP MACRO an_id(kind, ms, i) AS kind || '-' || printf('%012x', ms) || md5(kind || i)[:20]")
    run("CREATE TEMP MACRO moment(ms) AS make_timestamp(ms * 1000)")
    run(f"CREATE TEMP MACRO turn_id_of(i) AS an_id('turn', at_ms(i, {size.turns}), i)")
    # A version a month, each better than the last; a challenger has a tenth of its month's turns.
    run(f"""CREATE TEMP MACRO version_of(i) AS '1.' || least(12,
        CAST(floor(i * 12.0 / {size.turns}) AS INTEGER) + CASE WHEN pick(i, 1, 10) = 0 THEN 1 ELSE 0 END) || '.0'""")
    run("CREATE TEMP MACRO skill_of(i) AS 45 + 3 * CAST(string_split(version_of(i), '.')[2] AS INTEGER)")
    # Items are chosen once a day.
    run(f"CREATE TEMP MACRO round_after(t) AS (at_ms(t, {size.turns}) // 86_400_000 + 1) * 86_400_000")
    run("CREATE TEMP MACRO even(i) AS pick(i, 2, 2) = 0")
    for name, count in msgspec.structs.asdict(size).items():
        run(f"CREATE TEMP MACRO how_many_{name}() AS {count}")


TURNS = """
    INSERT INTO turns (turn_id, conversation_id, created_at, alias, version, model_tag, dialect, status, done_reason,
        subject, prompt_tokens, reply_tokens, first_token_ms, total_ms, uncertainty, options, filter_hits, attachments,
        messages, reply)
    SELECT turn_id_of(i), 'conversation-' || md5((i // 3)::VARCHAR), moment(at_ms(i, how_many_turns())), 'assistant',
        version_of(i), 'assistant:' || version_of(i), 'openai',
        CASE WHEN pick(i, 3, 50) = 0 THEN 'cut' ELSE 'whole' END, 'stop',
        'user-' || pick(i, 4, 2000), 40 + pick(i, 5, 60), 30 + pick(i, 6, 200), 80 + pick(i, 7, 300),
        900 + pick(i, 8, 4000), CASE WHEN pick(i, 9, 10) = 0 THEN pick(i, 10, 3000) / 1000.0 END, '{}', '[]', '[]',
        '[{"role":"user","content":"' || s[1 + 2 * pick(i, 11, 2000) + e] || s[1 + 2 * pick(i, 12, 2000) + e] || '"}]',
        s[1 + 2 * pick(i, 13, 2000) + e] || s[1 + 2 * pick(i, 14, 2000) + e] || s[1 + 2 * pick(i, 15, 2000) + e]
            || s[1 + 2 * pick(i, 16, 2000) + e] || s[1 + 2 * pick(i, 17, 2000) + e]
    FROM (SELECT range AS i, CASE WHEN even(range) THEN 1 ELSE 0 END AS e FROM range($first, $after)), said
    ORDER BY i
"""
FACETS = """
    INSERT INTO facets (turn_id, language, topic)
    SELECT turn_id_of(i), CASE WHEN even(i) THEN 'en' ELSE 'zh' END,
        ['code', 'mathematics', 'translation', 'writing', 'facts', 'other'][1 + pick(i, 20, 6)]
    FROM (SELECT range AS i FROM range(how_many_turns())) ORDER BY i
"""
RATINGS = """
    INSERT INTO ratings (rating_id, turn_id, created_at, rater, verdict, stars, task_completed, reasons, comment,
        corrected_reply)
    SELECT an_id('rating', ms, i), turn_id_of(t), moment(ms),
        CASE WHEN pick(i, 31, 5) = 0 THEN '' ELSE 'user-' || pick(i, 32, 2000) END,
        CASE WHEN stars THEN NULL WHEN good THEN 'up' ELSE 'down' END,
        CASE WHEN stars AND good THEN 4 + pick(i, 33, 2) WHEN stars THEN 1 + pick(i, 34, 3) END,
        CASE WHEN pick(i, 35, 2) = 0 THEN good OR pick(i, 36, 4) = 0 END,
        CASE WHEN good THEN '[]' ELSE '["wrong"]' END,
        CASE WHEN pick(i, 37, 10) = 0 THEN s[1 + pick(i, 38, 4000)] ELSE '' END,
        CASE WHEN NOT good AND pick(i, 39, 30) = 0 THEN s[1 + pick(i, 40, 4000)] || s[1 + pick(i, 41, 4000)] END
    FROM (
        SELECT i, t, at_ms(t, how_many_turns()) + 20_000 + pick(i, 42, 1_800_000) AS ms, pick(i, 43, 3) = 0 AS stars,
            pick(i, 44, 100) < skill_of(t) AS good
        FROM (SELECT range AS i, pick(range, 30, how_many_turns()) AS t FROM range(how_many_ratings()))
    ), said
    ORDER BY ms
"""
PREFERENCES = """
    INSERT INTO preferences (preference_id, turn_id, other_turn_id, created_at, rater, preferred, reasons, comment)
    SELECT an_id('preference', ms, i), turn_id_of(t), turn_id_of(t + 1), moment(ms), 'user-' || pick(i, 51, 2000),
        ['first', 'second', 'second', 'tie', 'neither'][1 + pick(i, 52, 5)], '[]', ''
    FROM (
        SELECT i, t, at_ms(t + 1, how_many_turns()) + 30_000 AS ms
        FROM (SELECT range AS i, pick(range, 50, how_many_turns() - 1) AS t FROM range(how_many_preferences()))
    )
    ORDER BY ms
"""
QUEUE = """
    (SELECT i, t, round_after(t) AS ms,
        ['random', 'random', 'random', 'disputed', 'low-rated', 'challenger', 'uncertain'][1 + pick(i, 61, 7)]
            AS choice,
        i < how_many_items() - how_many_open_items() AS closed, pick(i, 62, 10) = 0 AS review,
        an_id('item', round_after(t), i) AS item_id
     FROM (SELECT range AS i, range * (how_many_turns() // how_many_items()) AS t FROM range(how_many_items())))
"""
ITEMS = f"""
    INSERT INTO items (item_id, turn_id, created_at, project, choice, probability, annotators, review, language, topic,
        version)
    SELECT item_id, turn_id_of(t), moment(ms), 'assistant', choice,
        CASE choice WHEN 'random' THEN 0.05 ELSE 0.4 END, 1, review, CASE WHEN even(t) THEN 'en' ELSE 'zh' END,
        ['code', 'mathematics', 'translation', 'writing', 'facts', 'other'][1 + pick(t, 20, 6)], version_of(t)
    FROM {QUEUE} ORDER BY ms
"""
ANNOTATIONS = f"""
    INSERT INTO annotations (annotation_id, turn_id, created_at, annotator, tier, accuracy, fluency, item_id, guideline,
        seconds, category, flags, accept, note, corrected_reply)
    SELECT an_id('annotation', ms + 60_000, i), turn_id_of(t), moment(ms + 60_000), 'annotator-' || pick(i, 71, 50),
        'annotator', CASE WHEN good THEN 3 + pick(i, 72, 2) ELSE 1 + pick(i, 73, 2) END, 1 + pick(i, 74, 3), item_id, 0,
        10 + pick(i, 75, 90), '', '[]', '[]', '', CASE WHEN NOT good THEN s[1 + pick(i, 76, 4000)] END
    FROM (SELECT *, pick(i, 70, 100) < skill_of(t) AS good FROM {QUEUE} WHERE closed), said ORDER BY ms
"""
REVIEWS = f"""
    INSERT INTO reviews (review_id, turn_id, item_id, created_at, person, decision, annotation_id, reason)
    SELECT an_id('review', ms + 120_000, i), turn_id_of(t), item_id, moment(ms + 120_000),
        'reviewer-' || pick(i, 81, 5), CASE WHEN pick(i, 82, 10) = 1 THEN 'escalate' ELSE 'accept' END,
        an_id('annotation', ms + 60_000, i), ''
    FROM {QUEUE} WHERE closed AND review AND pick(i, 82, 10) > 0 ORDER BY ms
"""
