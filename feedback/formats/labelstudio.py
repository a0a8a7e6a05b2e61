"""Label Studio's tasks, as its JSON export has them: one JSON array.

    {"id": 1, "data": {"messages": [{"role": "user", "content": "…"}], "reply": "…"}, "annotations": [{
     "result": [{"from_name": "accuracy", "to_name": "reply", "type": "rating", "value": {"rating": 4}}],
     "completed_by": {"email": "mei@example.org"}, "lead_time": 12.5, "created_at": "2026-11-24T00:00:00Z"}]}

The regions of an annotation are answers by `from_name`. Those that were cancelled are left out. A task whose data names
a turn of ours is about that turn. The guide has the labelling interface that asks our questions.
"""

from __future__ import annotations

from typing import Any

from feedback.annotations import Annotation, Tier
from feedback.formats.answers import answers_of, asked, verdict_of
from feedback.formats.entries import (
    AnnotationRead,
    Entry,
    Format,
    InvalidRecord,
    Judged,
    RatingRead,
    Which,
    moment,
    part,
)
from feedback.ratings import Rating

TYPE_OF = {
    "accuracy": "rating", "fluency": "rating", "stars": "rating", "tier": "choices", "flags": "choices",
    "verdict": "choices", "task_completed": "choices", "category": "choices",
}  # fmt: skip
"""The control that asks each question; the others are text areas."""


def read(record: Any, tier: Tier) -> list[Entry]:
    """One task."""
    data = part(record, "data", dict, {})
    messages, reply = asked(data)
    found = [
        _verdict(one, tier) for one in part(record, "annotations", list, []) if not part(one, "was_cancelled", bool)
    ]
    return [
        Entry(
            messages=messages,
            reply=reply,
            turn_id=part(data, "turn_id", str, ""),
            record_id=str(record.get("id") or "")[:200],
            model=part(data, "model", str, ""),
            subject=part(data, "subject", str, ""),
            at=moment(data.get("created_at")),
            ratings=[one for one in found if isinstance(one, RatingRead)],
            annotations=[one for one in found if isinstance(one, AnnotationRead)],
        )
    ]


def write(judged: Judged, which: Which) -> list[Any]:
    """One task for the turn. Its annotations are numbered in it; tasks have no ids, which the tool gives."""
    turn = judged.turn
    if judged.text(which) is None:
        return []
    data = {
        "messages": [{"role": one.role, "content": one.content} for one in turn.messages],
        "reply": turn.reply,
        "turn_id": turn.turn_id,
        "created_at": turn.created_at,
        "project": turn.alias,
        "version": turn.version,
        "model": judged.model,
        "subject": turn.subject,
    }
    verdicts: list[Rating | Annotation] = [*judged.ratings, *judged.annotations]
    return [{"data": data, "annotations": [_annotation(one) for one in verdicts], "predictions": []}]


def _verdict(annotation: Any, tier: Tier) -> RatingRead | AnnotationRead | None:
    answers: dict[str, Any] = {}
    for region in part(annotation, "result", list, []):
        name, value = part(region, "from_name", str, ""), part(region, "value", dict, {})
        kind = part(region, "type", str, "")
        # The value stands under the control's own name; a text area's under `text`, whatever its type says.
        answer = value.get("text" if kind == "textarea" else kind)
        if name and answer is not None:
            answers[name] = answer
    lead = annotation.get("lead_time")
    seconds = float(lead) if isinstance(lead, int | float) and not isinstance(lead, bool) and lead >= 0 else None
    return verdict_of(answers, _person(annotation), tier, moment(annotation.get("created_at")), seconds)


def _person(annotation: Any) -> str:
    """Who completed it: an e-mail address where there is one, else the number. Raises InvalidRecord."""
    by = annotation.get("completed_by")
    if isinstance(by, dict):
        by = by.get("email") or by.get("username") or by.get("id")
    if by is not None and not isinstance(by, str | int):
        raise InvalidRecord("completed_by names nobody.", "It is a number, or an object with an email.")
    return str(by or "")


def _annotation(verdict: Rating | Annotation) -> dict[str, Any]:
    seconds = verdict.seconds if isinstance(verdict, Annotation) else None
    return {
        "result": [
            {"from_name": name, "to_name": "reply", "type": _type(name), "value": _value(name, value)}
            for name, value in answers_of(verdict).items()
        ],
        "created_at": verdict.created_at,
        "was_cancelled": False,
        "ground_truth": False,
        **({} if seconds is None else {"lead_time": seconds}),
    }


def _type(name: str) -> str:
    return TYPE_OF.get(name, "textarea")


def _value(name: str, value: Any) -> dict[str, Any]:
    kind = _type(name)
    if kind == "rating":
        return {"rating": value}
    return {"text" if kind == "textarea" else kind: value if isinstance(value, list) else [value]}


FORMAT = Format(name="labelstudio", read=read, write=write, which="all", array=True)
