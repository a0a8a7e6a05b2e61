"""What the code alone does not say of this room's routes; see `service.openapi.operation`."""

from __future__ import annotations

from service.measures.routes import Measures
from service.openapi.operation import HTML, Body, Operation

_ESTIMATE = {"value": 0.8125, "low": 0.7113, "high": 0.8841, "count": 80}
_GRADE = {"value": 3.2, "low": 2.9, "high": 3.5, "count": 24}
_ROW = {
    "alias": "assistant", "version": "1.2.0", "week": "", "topic": "", "language": "", "turns": 1250,
    "satisfaction": _ESTIMATE, "completion": _ESTIMATE, "accuracy": _GRADE, "fluency": None, "preference": None,
}  # fmt: skip
EXAMPLE = {"as_of": "2026-11-24T09:30:00Z", "by": ["version"], "confidence": 0.95, "rows": [_ROW]}
_CSV = "alias,version,week,topic,language,turns,satisfaction,satisfaction_low,satisfaction_high,satisfaction_count\r\n"
TAG = "Measures"

OPERATIONS: dict[str, Operation] = {
    "GET /measures": Operation(tag=TAG, answers={200: (Body(shape=Measures, example=EXAMPLE), Body(type=HTML))}),
    "GET /measures.csv": Operation(tag=TAG, answers={200: (Body(type="text/csv", example=_CSV),)}),
}
