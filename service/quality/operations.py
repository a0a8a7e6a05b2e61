"""What the code alone does not say of this room's routes; see `service.openapi.operation`."""

from __future__ import annotations

from feedback.quality.quarantine import LiftInput, QuarantineInput, QuarantineShown
from feedback.quality.records import Lift, Quarantine
from feedback.quality.trust import Trust
from service.openapi.operation import HTML, Body, Operation, ours
from service.paging import Page
from service.quality.routes import Quality

_AGREEMENT = {"units": 240, "raters": 4, "share": 0.81, "alpha": 0.74, "fleiss": 0.7, "cohen": None}
_QUALITY = {
    "as_of": "2026-11-24T09:30:00Z", "agreement": {"good": _AGREEMENT}, "annotators": {}, "drifts": [], "raters": 12,
    "quarantined": 1,
}  # fmt: skip
_TRUST = {
    "rater": "mei", "trained": True, "trust": 0.91, "weight": 1.0, "compared": 120, "agreed": 0.93, "gold": 14,
    "gold_right": 0.93,
}  # fmt: skip
_QUARANTINE = {
    "quarantine_id": "quarantine-0199", "created_at": "2026-11-24T09:30:00Z", "kind": "rater", "target": "bot-7",
    "reason": "burst", "evidence": "80 verdicts within 60 s; 30 are many.",
}  # fmt: skip
_LIFT = {
    "lift_id": "lift-0199", "quarantine_id": "quarantine-0199", "created_at": "2026-11-24T10:00:00Z",
    "operator": "ada", "reason": "it was a demonstration",
}  # fmt: skip
TAG = "Quality"

OPERATIONS: dict[str, Operation] = {
    "GET /quality": Operation(tag=TAG, answers={200: (Body(shape=Quality, example=_QUALITY), Body(type=HTML))}),
    "GET /quality/raters": ours(TAG, Page[Trust], {"items": [_TRUST], "next_cursor": None}),
    "GET /quarantines": ours(
        TAG, Page[QuarantineShown], {"items": [{"quarantine": _QUARANTINE, "lift": None}], "next_cursor": None}
    ),
    "POST /quarantines": ours(
        TAG, Quarantine, _QUARANTINE, status=201,
        body=Body(shape=QuarantineInput, example={"kind": "rater", "target": "bot-7", "evidence": "see ticket 12"}),
    ),
    "POST /quarantines/{quarantine_id}/lift": ours(
        TAG, Lift, _LIFT, status=201, errors=(404, 409), body_optional=True,
        body=Body(shape=LiftInput, example={"reason": "it was a demonstration"}),
    ),
    "POST /quality/{quarantine_id}/lift": Operation(tag="Pages", answers={200: (Body(type=HTML),), 303: ()}),
}  # fmt: skip
