"""What turns are about, beside them: one row of `facets` for each turn, worked out from its text after it was stored.

Not one of `TABLES`: nobody wrote it, it can be worked out again, and it goes with its turn. For the writer's thread, so
that a turn which is being erased can't leave its facets behind.
"""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from feedback.facets import Facets
from feedback.store.connection import Connection

MISSING = """
    SELECT turn_id FROM (SELECT turn_id, hash(turn_id) AS turn FROM turns WHERE turn_id > ?)
    ANTI JOIN (SELECT hash(turn_id) AS turn FROM facets) USING (turn) ORDER BY turn_id LIMIT ?
"""
_ADD = """
    INSERT INTO facets (turn_id, language, topic)
    SELECT turn_id, language, topic
    FROM (SELECT unnest($ids::VARCHAR[]) AS turn_id, unnest($languages::VARCHAR[]) AS language,
        unnest($topics::VARCHAR[]) AS topic)
    WHERE turn_id IN (SELECT turn_id FROM turns WHERE turn_id BETWEEN $first AND $last)
        AND turn_id NOT IN (SELECT turn_id FROM facets WHERE turn_id BETWEEN $first AND $last)
"""


def add_facets(connection: Connection, facets: Sequence[Facets]) -> int:
    """Store those of them whose turn is there and has none; gives how many. For the writer's thread only."""
    if not facets:
        return 0
    ids = [one.turn_id for one in facets]
    values = {
        "ids": ids,
        "languages": [one.language for one in facets],
        "topics": [one.topic for one in facets],
        "first": min(ids),
        "last": max(ids),
    }
    with connection.cursor() as cursor:  # one statement is a transaction of its own
        ((count,),) = cursor.execute(_ADD, values).fetchall()
    return int(count)


def without_facets(cursor: duckdb.DuckDBPyConnection, after: str, limit: int) -> list[str]:
    """The next turns behind that id that have no facets, by id."""
    return [turn_id for (turn_id,) in cursor.execute(MISSING, [after, limit]).fetchall()]
