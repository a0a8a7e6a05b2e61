"""Our own format, whole: one JSON object a line, with a turn and every rating, annotation and preference of it.

    {"turn": {"turn_id": "turn-…", "messages": […], "reply": "…", …}, "ratings": […], "annotations": […],
     "preferences": […]}

The rows are those that the API shows. Ids are kept, so that what is imported twice, or where it already is, adds
nothing.
"""

from __future__ import annotations

from typing import Any

import msgspec

from feedback.annotations import Annotation, AnnotationInput, Tier
from feedback.formats.entries import AnnotationRead, Entry, Format, InvalidRecord, Judged, RatingRead, Which
from feedback.preferences import Preference
from feedback.ratings import Rating, RatingInput
from feedback.turns import Turn


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a file."""

    turn: Turn
    ratings: list[Rating] = []
    annotations: list[Annotation] = []
    preferences: list[Preference] = []


def read(record: Any, tier: Tier) -> list[Entry]:
    """One line."""
    try:
        line = msgspec.convert(record, Line)
    except msgspec.ValidationError as problem:
        raise InvalidRecord(f"The line is not in shape: {problem}.", "Write it as the export does.") from problem
    turn = line.turn
    rows: list[Rating | Annotation | Preference] = [*line.ratings, *line.annotations, *line.preferences]
    if any(row.turn_id != turn.turn_id for row in rows):
        raise InvalidRecord("A verdict names another turn than its line's.", "A line holds one turn and its verdicts.")
    return [
        Entry(
            messages=turn.messages,
            reply=turn.reply,
            turn=turn,
            turn_id=turn.turn_id,
            record_id=turn.turn_id,
            model=turn.model_tag,
            subject=turn.subject,
            at=turn.created_at,
            ratings=[
                RatingRead(given=_like(one, RatingInput), at=one.created_at, rating_id=one.rating_id)
                for one in line.ratings
            ],
            annotations=[
                AnnotationRead(
                    given=_like(one, AnnotationInput),
                    at=one.created_at,
                    seconds=one.seconds,
                    annotation_id=one.annotation_id,
                )
                for one in line.annotations
            ],
            preferences=line.preferences,
        )
    ]


def write(judged: Judged, which: Which) -> list[Any]:
    """The turn and all that was said of it."""
    kept = which == "all" or (judged.judged if which == "judged" else judged.target is not None)
    line = Line(
        turn=judged.turn,
        ratings=judged.ratings,
        annotations=judged.annotations,
        preferences=[one.preference for one in judged.preferences],
    )
    return [line] if kept else []


def _like(row: Rating | Annotation, kind: Any) -> Any:
    """What a client would have sent to make this row."""
    return kind(**{field.name: getattr(row, field.name) for field in msgspec.structs.fields(kind)})


FORMAT = Format(name="jsonl", read=read, write=write, which="all", array=False)
