"""The frame of a round: all turns that could become items, counted into cells by one pass of SQL. See `selection`.

Whole turns of a version, in no item yet. Each gets a lot from a hash of its id and the round's seed; only the lowest
lots of each cell come out, so what is held in memory does not grow with the store. Texts are not touched.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import cast

import duckdb

from feedback.facets import OTHER
from feedback.labelling.estimates import latest_settled
from feedback.labelling.records import Choice
from feedback.labelling.selection import REASONS, Cell
from feedback.ratings import GOOD_STARS

UNCERTAIN_QUANTILE = 0.9
"""A reply is uncertain if it is among the tenth of which the model was least sure."""

_GOOD = f"CASE WHEN stars IS NOT NULL THEN stars >= {GOOD_STARS} ELSE verdict = 'up' END"
CELLS = f"""
    WITH rated AS (
        SELECT hash(turn_id) AS turn, bool_or({_GOOD}) AS liked
        FROM ratings GROUP BY turn HAVING bool_or(NOT {_GOOD})
    ),
    latest AS (
        SELECT turn, arg_max(good, made) AS good
        FROM (SELECT hash(turn_id) AS turn, hash(rater) AS whose, {_GOOD} AS good, created_at AS made FROM ratings)
        SEMI JOIN (SELECT turn FROM rated WHERE liked) USING (turn) GROUP BY turn, whose
    ),
    mixed AS (SELECT turn, bool_or(good) AS liked, bool_or(NOT good) AS disliked FROM latest GROUP BY turn),
    spoken AS (
        SELECT turn, FALSE AS liked FROM rated WHERE NOT liked
        UNION ALL SELECT turn, liked FROM mixed WHERE disliked
    ),
    frame AS (
        SELECT hash(turn_id) AS turn, turn_id, version, uncertainty >= $unsure AS unsure,
            (alias, version) IN (SELECT (unnest($aliases::VARCHAR[]), unnest($challengers::VARCHAR[]))) AS challenger
        FROM turns
        WHERE status = 'whole' AND version <> '' AND turn_id <= $until
    )
    SELECT coalesce(liked, FALSE), coalesce(NOT liked, FALSE), challenger, coalesce(unsure, FALSE),
        coalesce(topic, '{OTHER}'), version, count(*),
        min(struct_pack(lot := hash(xor(turn, $seed::UBIGINT)) / 18446744073709551616.0, turn_id := turn_id), $lots)
    FROM frame
        ANTI JOIN (SELECT hash(turn_id) AS turn FROM items) USING (turn)
        LEFT JOIN spoken USING (turn)
        LEFT JOIN (SELECT hash(turn_id) AS turn, topic FROM facets) USING (turn)
    GROUP BY ALL
"""
"""Turns go by a hash of their ids, which takes a third of the memory; two of a million turns meet once in 10^7 stores,
and then one looks rated as the other is."""
UNSURE = f"SELECT approx_quantile(uncertainty, {UNCERTAIN_QUANTILE}) FROM turns WHERE uncertainty IS NOT NULL"


def cells_of(
    cursor: duckdb.DuckDBPyConnection, at: dt.datetime, challengers: Mapping[str, str], seed: int, lots: int
) -> list[Cell]:
    """The frame of a round at that time, which the items made of it must carry as `created_at`.

    `challengers`: alias → the version that it tries out. `seed`: 0 to 2^64 - 1, another in each round. `lots`: how many
    of a cell's; see `selection.lots_needed`.
    """
    ((unsure,),) = cursor.execute(UNSURE).fetchall()
    rows = cursor.execute(
        CELLS,
        {
            "until": latest_settled(at),
            "aliases": list(challengers),
            "challengers": list(challengers.values()),
            "unsure": unsure,
            "seed": seed,
            "lots": lots,
        },
    ).fetchall()
    return [
        Cell(
            reasons=_reasons(row[:4]),
            topic=row[4],
            version=row[5],
            size=row[6],
            lots=[(one["lot"], one["turn_id"]) for one in row[7]],
        )
        for row in rows
    ]


def _reasons(flags: Sequence[bool]) -> tuple[Choice, ...]:
    """In the order of REASONS, as the columns are: disputed, low-rated, challenger, uncertain."""
    return cast(tuple[Choice, ...], tuple(name for name, holds in zip(REASONS, flags, strict=True) if holds))
