"""One week's turns, counted: what everybody said of them, by alias, version, language and topic.

A turn's week is that of its id, which tells when it was minted; all that was said of it counts in that week, however
much later it came. Ids sort by time, so a week is a range of ids, and DuckDB reads little else.

Of ratings and preferences the latest of each rater counts, anonymous ones as one rater's; a turn's grades are those
that decide (`judgement`): the highest tier's latest annotation. What is quarantined counts nowhere. Graded turns are
kept one by one, with what their weight depends on (`labelling.estimates`): it changes with every round of drawing.

Must never read text: a week of a busy gateway is counted in some ten milliseconds.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt

from feedback.annotations import TIERS
from feedback.ratings import GOOD_STARS

Numbers = npt.NDArray[np.float64]
WEEK_MS = 7 * 86_400_000
MONDAY_MS = 3 * 86_400_000
"""The first day of 1970 was a Thursday, the fourth of its week."""
COLUMNS = ("turns", "ratings", "good", "said", "completed")
"""Of `Week.numbers`. `said`: ratings that say whether the task was completed."""
GRADED_COLUMNS = ("key", "accuracy", "fluency", "probability", "drawn", "item_ms", "turn_ms")
"""Of `Week.graded`. `key`: its place in `Week.keys`; `probability`: with which its first item was chosen; `drawn`: 1 by
lot, 0 because an operator asked, -1 in no item at all; `item_ms` and `turn_ms`: when those began, since 1970."""


class Key(NamedTuple):
    """Which turns."""

    alias: str
    version: str
    language: str
    topic: str


class PairKey(NamedTuple):
    """Which pairs of drafts."""

    alias: str
    version: str
    other: str
    """The other draft's version, not the same."""
    language: str
    topic: str


class Week(NamedTuple):
    """A week's counts."""

    keys: list[Key]
    numbers: Numbers
    """A row a key, `COLUMNS` wide."""
    graded: Numbers
    """A row a graded turn, `GRADED_COLUMNS` wide."""
    pairs: list[PairKey]
    pair_numbers: Numbers
    """A row a pair: how many choices, and how many of them `version` won; a tie, and neither, is half a win."""


class Counts(NamedTuple):
    """All that is counted."""

    weeks: Mapping[int, Week]
    rounds: Numbers
    """When turns were drawn for annotation, in milliseconds since 1970, earliest first."""


def week_at(moment: dt.datetime | dt.date) -> int:
    """The number of a time's week, counted from the one that 1970 began in. Weeks begin on Mondays, in UTC."""
    day = moment.astimezone(dt.UTC).date() if isinstance(moment, dt.datetime) else moment
    return (day - dt.date(1969, 12, 29)).days // 7


def monday(week: int) -> dt.date:
    """The day that a week begins with."""
    return dt.date(1969, 12, 29) + dt.timedelta(weeks=week)


def week_sql(turn_id: str) -> str:
    """SQL for the week of the turn whose id that SQL gives; 0 for an id that tells no time."""
    return f"(({_ms_sql(turn_id)} + {MONDAY_MS}) // {WEEK_MS})"


def _ms_sql(turn_id: str) -> str:
    return f"coalesce(TRY_CAST('0x' || substr({turn_id}, 6, 12) AS BIGINT), 0)"


def read_rounds(cursor: duckdb.DuckDBPyConnection) -> Numbers:
    """When turns were drawn, earliest first. Raises duckdb.Error."""
    query = "SELECT DISTINCT epoch_ms(created_at) FROM items WHERE choice NOT IN ('asked', 'gold') ORDER BY ALL"
    return np.array([moment for (moment,) in cursor.execute(query).fetchall()], np.float64)


def read_week(cursor: duckdb.DuckDBPyConnection, week: int) -> Week:
    """Count one week. Raises duckdb.Error."""
    begin = week * WEEK_MS - MONDAY_MS
    span = {"low": f"turn-{max(begin, 0):012x}", "high": f"turn-{begin + WEEK_MS:012x}"}
    rows = cursor.execute(_TURNS, span).fetchall()
    keys = [Key(*row[:4]) for row in rows]
    places = {key: at for at, key in enumerate(keys)}
    graded = [(places[Key(*row[:4])], *row[4:]) for row in cursor.execute(_GRADED, span).fetchall()]
    ((last,),) = cursor.execute(_LAST_DRAFT, span).fetchall()
    pairs = cursor.execute(_PAIRS, span | {"last": last}).fetchall() if last else []
    return Week(
        keys,
        np.array([row[4:] for row in rows], np.float64).reshape(len(rows), len(COLUMNS)),
        np.array(graded, np.float64).reshape(len(graded), len(GRADED_COLUMNS)),
        [PairKey(*row[:5]) for row in pairs],
        np.array([row[5:] for row in pairs], np.float64).reshape(len(pairs), 2),
    )


HELD = "(SELECT kind, target FROM quarantines WHERE quarantine_id NOT IN (SELECT quarantine_id FROM lifts))"
"""What is quarantined now."""
_HERE = "turn_id >= $low AND turn_id < $high"
_FACETS = f"""
    held AS {HELD},
    facet AS (
        SELECT turn_id, any_value(language) AS language, any_value(topic) AS topic FROM facets WHERE {_HERE}
        GROUP BY turn_id
    )"""


def _believed(kind: str, by: str) -> str:
    return f"""{kind}_id NOT IN (SELECT target FROM held WHERE kind = '{kind}')
        AND {by} NOT IN (SELECT target FROM held WHERE kind = 'rater')"""


_TURNS = f"""
    WITH {_FACETS},
    latest AS (
        SELECT turn_id, rater,
            arg_max(coalesce(stars >= {GOOD_STARS}, verdict = 'up'), (created_at, rating_id)) AS good,
            arg_max(task_completed, (created_at, rating_id)) AS completed  -- the latest that says so
        FROM ratings WHERE {_HERE} AND {_believed("rating", "rater")}
        GROUP BY turn_id, rater
    ),
    rated AS (
        SELECT turn_id, count(*) AS ratings, count(*) FILTER (good) AS good, count(completed) AS said,
            count(*) FILTER (completed) AS completed
        FROM latest GROUP BY turn_id
    )
    SELECT alias, version, coalesce(language, ''), coalesce(topic, ''), count(*), coalesce(sum(ratings), 0),
        coalesce(sum(good), 0), coalesce(sum(said), 0), coalesce(sum(completed), 0)
    FROM turns LEFT JOIN facet USING (turn_id) LEFT JOIN rated USING (turn_id)
    WHERE {_HERE} GROUP BY ALL ORDER BY ALL
"""
_GRADED = f"""
    WITH {_FACETS},
    decided AS (
        SELECT turn_id, max_by(
            {{'accuracy': accuracy, 'fluency': fluency}},
            (list_position({list(TIERS)}, tier), created_at, annotation_id)
        ) AS grades
        FROM annotations WHERE {_HERE} AND {_believed("annotation", "annotator")} GROUP BY turn_id
    ),
    item AS (
        SELECT turn_id, min_by(
            {{'probability': probability, 'drawn': (choice <> 'asked')::INTEGER, 'ms': epoch_ms(created_at)}},
            (created_at, item_id)
        ) AS first
        FROM items WHERE {_HERE} AND choice <> 'gold' GROUP BY turn_id
    )
    SELECT alias, version, coalesce(language, ''), coalesce(topic, ''), grades.accuracy, grades.fluency,
        coalesce(first.probability, 1), coalesce(first.drawn, -1), coalesce(first.ms, 0), {_ms_sql("turn_id")}
    FROM decided JOIN turns USING (turn_id) LEFT JOIN facet USING (turn_id) LEFT JOIN item USING (turn_id)
    WHERE {_HERE}
"""
FIRST_DRAFT = "least(turn_id, other_turn_id)"
"""The draft that says when a pair was made."""
_LAST_DRAFT = f"""
    SELECT max(greatest(turn_id, other_turn_id)) FROM preferences
    WHERE {FIRST_DRAFT} >= $low AND {FIRST_DRAFT} < $high
"""
_PAIRS = f"""
    WITH {_FACETS},
    latest AS (
        SELECT {FIRST_DRAFT} AS one, greatest(turn_id, other_turn_id) AS two, rater,
            arg_max(
                CASE WHEN preferred IN ('tie', 'neither') THEN 0.5
                     WHEN (preferred = 'first') = (turn_id < other_turn_id) THEN 1 ELSE 0 END,
                (created_at, preference_id)
            ) AS won
        FROM preferences
        WHERE {FIRST_DRAFT} >= $low AND {FIRST_DRAFT} < $high AND {_believed("preference", "rater")}
        GROUP BY ALL
    )
    SELECT a.alias, a.version, b.version, coalesce(language, ''), coalesce(topic, ''), count(*), sum(won)::DOUBLE
    FROM latest JOIN turns a ON a.turn_id = one JOIN turns b ON b.turn_id = two
        LEFT JOIN facet ON facet.turn_id = one
    WHERE a.version <> b.version
        AND a.turn_id >= $low AND a.turn_id < $high AND b.turn_id >= $low AND b.turn_id <= $last
    GROUP BY ALL ORDER BY ALL
"""
