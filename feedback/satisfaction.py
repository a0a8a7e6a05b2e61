"""How content people are with each version: the share of ratings that call its replies good.

One question to the store, over every rating there is: for a page that is asked for every minute, not for every chat.
Only the latest rating of each rater of a turn counts, and anonymous ones count as one rater's, as in `judgement`.
"""

from __future__ import annotations

import duckdb
import msgspec

from feedback.ratings import GOOD_STARS

_QUERY = f"""
    SELECT alias, version, count(*) FILTER (good), count(*)
    FROM (
        SELECT turn_id, arg_max(coalesce(stars >= {GOOD_STARS}, verdict = 'up'), (created_at, rating_id)) AS good
        FROM ratings GROUP BY turn_id, rater
    ) JOIN turns USING (turn_id)
    GROUP BY alias, version ORDER BY alias, version
"""


class VersionRatings(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one version's ratings."""

    alias: str
    version: str
    good: int
    ratings: int
    """At least 1."""


def satisfaction(cursor: duckdb.DuckDBPyConnection) -> list[VersionRatings]:
    """Each version that was ever rated, by alias and version. Raises duckdb.Error."""
    return [
        VersionRatings(alias=alias, version=version, good=good, ratings=ratings)
        for alias, version, good, ratings in cursor.execute(_QUERY).fetchall()
    ]
