"""Argilla's records, as `dataset.records.to_json` writes them: one JSON array.

    {"id": "…", "fields": {"messages": [{"role": "user", "content": "…"}], "reply": "…"}, "metadata": {…},
     "suggestions": {}, "responses": {"accuracy": [{"value": 4, "user_id": "…"}], …}, "vectors": {}}

Responses stand by question; the answers of one user are one verdict. A record whose metadata names a turn of ours is
about that turn: what was exported, labelled there and imported again finds its way back. Users are UUIDs there, so who
gave a verdict is an answer of its own on the way out (`annotator`, `rater`).
"""

from __future__ import annotations

import uuid
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
    part,
)
from feedback.ratings import Rating


def read(record: Any, tier: Tier) -> list[Entry]:
    """One record."""
    fields, metadata = part(record, "fields", dict, {}), part(record, "metadata", dict, {})
    messages, reply = asked(fields)
    found = [verdict_of(answers, person, tier) for person, answers in _by_user(record).items()]
    return [
        Entry(
            messages=messages,
            reply=reply,
            turn_id=part(metadata, "turn_id", str, ""),
            record_id=part(record, "id", str, "")[:200],
            model=part(metadata, "model", str, ""),
            subject=part(metadata, "subject", str, ""),
            ratings=[one for one in found if isinstance(one, RatingRead)],
            annotations=[one for one in found if isinstance(one, AnnotationRead)],
        )
    ]


def write(judged: Judged, which: Which) -> list[Any]:
    """One record for the turn."""
    turn = judged.turn
    if judged.text(which) is None:
        return []
    responses: dict[str, list[dict[str, Any]]] = {}
    verdicts: list[Rating | Annotation] = [*judged.ratings, *judged.annotations]
    latest = {_user_of(one): one for one in verdicts}  # one user has one answer to a question there
    for user, verdict in latest.items():
        for question, value in answers_of(verdict).items():
            responses.setdefault(question, []).append({"value": value, "user_id": user})
    metadata = {
        "turn_id": turn.turn_id, "project": turn.alias, "version": turn.version, "model": judged.model,
        "subject": turn.subject,
    }  # fmt: skip
    return [
        {
            "id": turn.turn_id,
            "fields": {
                "messages": [{"role": one.role, "content": one.content} for one in turn.messages],
                "reply": turn.reply,
            },
            "metadata": {name: value for name, value in metadata.items() if value},
            "suggestions": {},
            "responses": responses,
            "vectors": {},
        }
    ]


def _by_user(record: Any) -> dict[str, dict[str, Any]]:
    """Each user's answers, by question. Raises InvalidRecord."""
    found: dict[str, dict[str, Any]] = {}
    for question, responses in part(record, "responses", dict, {}).items():
        for response in responses if isinstance(responses, list) else [responses]:
            if not isinstance(response, dict) or "value" not in response:
                raise InvalidRecord("A response has no value.", 'Write {"value": …, "user_id": …}.')
            if response.get("status") in ("discarded", "draft"):
                continue
            found.setdefault(str(response.get("user_id") or ""), {})[question] = response["value"]
    return found


def _user_of(verdict: Rating | Annotation) -> str:
    """A UUID for whoever gave it: their own if their name is one."""
    name = verdict.annotator if isinstance(verdict, Annotation) else verdict.rater
    kind = "annotator" if isinstance(verdict, Annotation) else "rater"
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{kind}/{name}"))


FORMAT = Format(name="argilla", read=read, write=write, which="all", array=True)
