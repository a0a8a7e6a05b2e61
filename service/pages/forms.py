"""What the desks' forms hold, as the structs that the desks take. A form says all in strings, and may lack any."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from litestar import Request

from feedback.annotations import AnnotationInput
from feedback.errors import InvalidAnnotation, InvalidInput
from feedback.labelling.records import SkipReason
from feedback.labelling.task import Filters, ReviewInput, SkipInput

Form = dict[str, list[str]]
Kind = TypeVar("Kind", bound=msgspec.Struct)
GRADED = frozenset({"annotate", "mend", "decide"})
"""What is sent with grades."""


async def form_of(request: Request[Any, Any, Any]) -> Form:
    """The fields of the form that was sent, each with all its values."""
    found: Form = {}
    for name, value in (await request.form()).multi_items():
        if isinstance(value, str):
            found.setdefault(name, []).append(value)
    return found


def text(form: Form, name: str) -> str:
    """A field's only value; empty where it is not there."""
    return form.get(name, [""])[0].strip()


def annotation_in(form: Form, person: str, reply: str) -> AnnotationInput:
    """Raises InvalidAnnotation where a grade is missing."""
    return _checked({"annotator": person, **_grades(form, reply)}, AnnotationInput)


def review_in(form: Form, reply: str) -> ReviewInput:
    """What the button that was pressed says: `accept:<annotation>`, `mend`, `escalate`, …"""
    decision, _, annotation_id = text(form, "act").partition(":")
    given: dict[str, Any] = {"decision": decision, "annotation_id": annotation_id, "reason": text(form, "reason")}
    if decision == "mend":
        given["annotation_id"] = text(form, "mends")
    if decision in GRADED:
        given |= _grades(form, reply)
    return _checked(given, ReviewInput)


def skip_in(form: Form) -> SkipInput:
    """Why somebody would rather not."""
    reason: SkipReason = "other"
    return _checked({"reason": text(form, "skip_reason") or reason, "note": text(form, "skip_note")}, SkipInput)


def filters_in(query: Any) -> Filters:
    """What somebody wants to look at, of a page's query."""
    given = {name: str(query.get(name, "")).strip()[:200] for name in Filters.__struct_fields__}
    try:
        return msgspec.convert(given, Filters)
    except msgspec.ValidationError:
        return Filters()


def _grades(form: Form, reply: str) -> dict[str, Any]:
    """A correction that says what the reply said is none: its field is filled in beforehand."""
    given: dict[str, Any] = {}
    for name in ("accuracy", "fluency"):
        value = text(form, name)
        if not value.isdecimal():
            raise InvalidAnnotation(f"{name} has no grade yet.", "Choose one of its steps.")
        given[name] = int(value)
    corrected = form.get("corrected_reply", [""])[0].replace("\r\n", "\n")
    if corrected.strip() and corrected.strip() != reply.replace("\r\n", "\n").strip():
        given["corrected_reply"] = corrected
    given["flags"] = form.get("flags", [])
    given["accept"] = [line.strip() for line in text(form, "accept").splitlines() if line.strip()]
    return {**given, "category": text(form, "category"), "note": text(form, "note")}


def _checked(given: dict[str, Any], kind: type[Kind]) -> Kind:
    try:
        return msgspec.convert(given, kind)
    except msgspec.ValidationError as problem:
        raise InvalidInput(f"The form is not in shape: {problem}.", "Load the page anew and try again.") from problem
