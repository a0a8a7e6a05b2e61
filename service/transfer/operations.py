"""What the code alone does not say of this room's routes; see `service.openapi.operation`."""

from __future__ import annotations

from service.openapi.examples import TURN_ID
from service.openapi.operation import JSON, NDJSON, Body, Operation, ours
from service.transfer.importing import ImportReport
from service.transfer.ratings import RatingAnswers, RatingBatch

TAG = "Feedback in and out"
RATING_ID = "rating-019937a1b2c3d4e5f60718293a4b5c6d"
BATCH = {"ratings": [{"turn_id": TURN_ID, "verdict": "up"}, {"turn_id": "turn-0", "stars": 2, "rater": "anna"}]}
UNKNOWN = {"code": "unknown-turn", "message": "There is no turn 'turn-0'.", "mend": "Take the id from the answer."}
ANSWERS = {
    "stored": 1,
    "failed": 1,
    "answers": [{"turn_id": TURN_ID, "rating_id": RATING_ID}, {"turn_id": "turn-0", "error": UNKNOWN}],
}
LINE = (
    '{"messages":[{"role":"user","content":"When do you open?"},{"role":"assistant","content":"At 7:40."}]}\n'
    '{"messages":[{"role":"user","content":"几点开门?"},{"role":"assistant","content":"七点四十。"}]}\n'
)
BAD = {"line": 7, "code": "invalid-record", "message": "instruction is missing or empty.", "mend": "Mend it."}
REPORT = {
    "format": "openai", "dry_run": False, "records": 3, "turns": 1, "ratings": 0, "annotations": 0, "preferences": 0,
    "known": 1, "failed": 1, "problems": [BAD],
}  # fmt: skip

OPERATIONS: dict[str, Operation] = {
    "POST /imports": ours(TAG, ImportReport, REPORT, body=Body(type=NDJSON, example=LINE)),
    "GET /exports/feedback": Operation(
        tag=TAG, answers={200: (Body(type=NDJSON, example=LINE), Body(type=JSON, example=[]))}
    ),
    "POST /ratings": ours(
        TAG, RatingAnswers, ANSWERS, body=Body(shape=RatingBatch, example=BATCH), headers=("Idempotency-Key",)
    ),
    "POST /webhooks/ratings": ours(TAG, RatingAnswers, ANSWERS, body=Body(shape=RatingBatch, example=BATCH)),
}
