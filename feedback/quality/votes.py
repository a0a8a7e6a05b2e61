"""Users' ratings as arrays: who said of which turn whether it was good, and what trained people said of it.

Millions of ratings are a few numbers each here; names and ids are hashes until somebody is named. The latest rating of
each rater of a turn counts, anonymous ones as one rater's, as in `judgement`; quarantined ones are left out. numpy is
imported where it is used.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import duckdb

from feedback.annotations import GOOD_ACCURACY, GOOD_FLUENCY, TIERS
from feedback.quality.quarantine import HELD_RATERS, HELD_VERDICTS
from feedback.ratings import GOOD_STARS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]
    Codes = NDArray[np.int64]
    Flags = NDArray[np.bool_]

ANONYMOUS = ""
_LATEST = f"""
    SELECT turn_id, rater, max(created_at) AS moment,
           arg_max(coalesce(stars >= {GOOD_STARS}, verdict = 'up'), (created_at, rating_id)) AS good
    FROM ratings
    WHERE created_at >= $since AND rater NOT IN ({HELD_RATERS}) AND rating_id NOT IN ({HELD_VERDICTS})
    GROUP BY turn_id, rater
"""
_VOTES = f"""
    SELECT hash(turn_id) AS turn, hash(rater) AS rater, epoch_us(moment) AS us, good FROM ({_LATEST}) ORDER BY us, turn
"""
_RANK = "CASE tier " + " ".join(f"WHEN '{tier}' THEN {rank}" for rank, tier in enumerate(TIERS)) + " END"
_TRAINED = f"""
    SELECT hash(turn_id) AS turn,
           arg_max(accuracy >= {GOOD_ACCURACY} AND fluency >= {GOOD_FLUENCY},
                   ({_RANK}, created_at, annotation_id)) AS good
    FROM annotations
    WHERE annotator NOT IN ({HELD_RATERS}) AND annotation_id NOT IN ({HELD_VERDICTS})
    GROUP BY turn_id ORDER BY turn
"""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Votes:
    """Ratings in the order in which they were given; all but `raters` and `trained` have one entry for each."""

    turn: Codes
    """Which turn, 0 to turns - 1."""
    rater: Codes
    """Which rater: a place in `raters`."""
    at: Codes
    """When, microseconds since 1970."""
    good: Flags
    raters: list[str]
    trained: Numbers
    """For each turn: 1 where trained people found the reply good, 0 where not, NaN where they said nothing."""

    def __len__(self) -> int:
        return len(self.good)


def read_votes(cursor: duckdb.DuckDBPyConnection, since: dt.datetime) -> Votes:
    """The ratings given since then. Some 50 bytes of memory for each while it works."""
    import numpy as np

    moment = since.astimezone(dt.UTC).replace(tzinfo=None)
    rows: Mapping[str, Any] = cursor.execute(_VOTES, {"since": moment}).fetchnumpy()
    turns, turn = np.unique(rows["turn"], return_inverse=True)
    hashes, rater = np.unique(rows["rater"], return_inverse=True)
    named = cursor.execute("SELECT DISTINCT hash(rater), rater FROM ratings WHERE created_at >= ?", [moment]).fetchall()
    names = dict(named)
    return Votes(
        turn=turn.astype(np.int64),
        rater=rater.astype(np.int64),
        at=np.asarray(rows["us"], dtype=np.int64),
        good=np.asarray(rows["good"], dtype=np.bool_),
        raters=[names[int(one)] for one in hashes],
        trained=_trained(cursor, turns),
    )


def _trained(cursor: duckdb.DuckDBPyConnection, turns: NDArray[np.uint64]) -> Numbers:
    import numpy as np

    rows = cursor.execute(_TRAINED).fetchnumpy()
    found = np.full(len(turns), np.nan)
    if len(turns) and len(rows["turn"]):
        places = np.minimum(np.searchsorted(turns, rows["turn"]), len(turns) - 1)
        known = turns[places] == rows["turn"]
        found[places[known]] = np.asarray(rows["good"], dtype=np.float64)[known]
    return found
