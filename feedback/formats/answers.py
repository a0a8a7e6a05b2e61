"""A verdict as answers to named questions: what the formats of labelling tools have in common.

A trained person answers `accuracy` and `fluency`, and perhaps the rest; a user `verdict` or `stars`. Whoever gave both
grades annotated, whoever gave a verdict or stars rated; other questions are not ours, and are left alone.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

from feedback.annotations import FLAGS, TIERS, Annotation, AnnotationInput, Tier
from feedback.formats.entries import AnnotationRead, InvalidRecord, RatingRead, message, part
from feedback.ratings import Rating, RatingInput
from feedback.turns import Message

CORRECTED = ("corrected_reply", "correction", "corrected", "correct_response")
REPLY = ("reply", "response", "completion", "answer", "output", "generation")
PROMPT = ("prompt", "instruction", "question", "input", "text", "query")
TALK = ("messages", "chat", "conversation", "dialogue", "history")
"""Names under which the tools' own templates and guides have these, most exact first."""


def verdict_of(
    answers: Mapping[str, Any], person: str, tier: Tier, at: dt.datetime | None = None, seconds: float | None = None
) -> RatingRead | AnnotationRead | None:
    """What somebody's answers come to; none where they say nothing that we ask. Raises InvalidRecord."""
    corrected = next((text for name in CORRECTED if (text := _text(answers, name))), None)
    accuracy, fluency = _grade(answers, "accuracy"), _grade(answers, "fluency")
    if accuracy is not None and fluency is not None:
        given = AnnotationInput(
            annotator=_text(answers, "annotator") or person,
            tier=_one_of(answers, "tier", TIERS) or tier,
            accuracy=accuracy,
            fluency=fluency,
            corrected_reply=corrected,
            accept=_texts(answers, "accept"),
            note=_text(answers, "note"),
            category=_text(answers, "category"),
            flags=[flag for flag in FLAGS if flag in _texts(answers, "flags")],
        )
        return AnnotationRead(given=given, at=at, seconds=seconds)
    if (accuracy is None) != (fluency is None):
        raise InvalidRecord("Somebody gave one of accuracy and fluency only.", "An annotation needs both grades.")
    stars, verdict = _grade(answers, "stars") or _grade(answers, "rating"), _one_of(answers, "verdict", ("up", "down"))
    if stars is None and not verdict:
        return None
    done = _one_of(answers, "task_completed", ("yes", "no"))
    rating = RatingInput(
        verdict="up" if verdict == "up" else "down" if verdict == "down" else None,
        stars=stars,
        comment=_text(answers, "comment"),
        reasons=_texts(answers, "reasons"),
        corrected_reply=corrected,
        task_completed=done == "yes" if done else None,
        rater=_text(answers, "rater") or person,
    )
    return RatingRead(given=rating, at=at)


def answers_of(verdict: Rating | Annotation) -> dict[str, Any]:
    """A verdict as answers; what was not said is left out."""
    if isinstance(verdict, Annotation):
        found: dict[str, Any] = {
            "accuracy": verdict.accuracy, "fluency": verdict.fluency, "tier": verdict.tier,
            "annotator": verdict.annotator, "category": verdict.category, "flags": list(verdict.flags),
            "accept": verdict.accept, "note": verdict.note,
        }  # fmt: skip
    else:
        done = {True: "yes", False: "no", None: ""}[verdict.task_completed]
        found = {
            "stars": verdict.stars, "verdict": verdict.verdict, "rater": verdict.rater, "comment": verdict.comment,
            "reasons": verdict.reasons, "task_completed": done,
        }  # fmt: skip
    return {name: value for name, value in (found | {"corrected_reply": verdict.corrected_reply}).items() if value}


def asked(fields: Mapping[str, Any]) -> tuple[list[Message], str]:
    """The conversation and its reply, out of a record's fields. Raises InvalidRecord.

    Where the fields have no reply of their own, the conversation's last message is it.
    """
    talk = next((fields[name] for name in TALK if isinstance(fields.get(name), list) and fields[name]), None)
    reply = next((fields[name] for name in REPLY if _says(fields.get(name))), "")
    if talk is not None:
        messages = [_message(one) for one in talk]
        if not reply and messages[-1].role == "assistant":
            reply = messages.pop().content
    else:
        prompt = next((fields[name] for name in PROMPT if _says(fields.get(name))), "")
        system = fields["system"] if _says(fields.get("system")) else ""
        messages = [Message(role="system", content=system)] if system else []
        messages += [Message(role="user", content=prompt)] if prompt else []
    if not reply.strip() or not any(one.role == "user" for one in messages):
        raise InvalidRecord(
            "The record has no prompt or no reply.", f"Name them {TALK[0]} or {PROMPT[0]}, and {REPLY[0]}."
        )
    return messages, reply


def _message(one: Any) -> Message:
    if not isinstance(one, dict):
        raise InvalidRecord("A message is no object.", 'Write {"role": …, "content": …}.')
    role = part(one, "role", str, part(one, "author", str, ""))
    return message(role.lower(), one.get("content", one.get("text")))


def _says(value: Any) -> bool:
    return isinstance(value, str) and bool(value.strip())


def _text(answers: Mapping[str, Any], name: str) -> str:
    texts = _texts(answers, name)
    return texts[0] if texts else ""


def _texts(answers: Mapping[str, Any], name: str) -> list[str]:
    value = answers.get(name)
    given = value if isinstance(value, list) else [value]
    return [one for one in given if isinstance(one, str) and one.strip()]


def _grade(answers: Mapping[str, Any], name: str) -> int | None:
    """A grade, as a number or as a text that is one. Raises InvalidRecord for what is neither."""
    value = answers.get(name)
    value = value[0] if isinstance(value, list) and value else value
    if value is None or value == [] or value == "":
        return None
    try:
        if isinstance(value, bool) or not isinstance(value, str | int | float) or float(value) != int(float(value)):
            raise ValueError
        return int(float(value))
    except (ValueError, OverflowError) as error:
        raise InvalidRecord(f"{name} is no whole number.", "Give the grade as a number.") from error


def _one_of(answers: Mapping[str, Any], name: str, known: tuple[Any, ...]) -> Any:
    """One of the known answers, or nothing. Raises InvalidRecord for another one."""
    value = _text(answers, name)
    if value and value not in known:
        raise InvalidRecord(f"{name} is none of its answers.", f"They are {', '.join(known)}.")
    return value
