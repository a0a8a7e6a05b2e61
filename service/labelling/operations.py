"""What the code alone does not say of this room's routes; see `service.openapi.operation`."""

from __future__ import annotations

from typing import Any

from feedback.annotations import Annotation
from feedback.labelling.records import Gold, Guideline, Review
from feedback.labelling.task import Draft, ReviewInput, SkipInput, Task, Today
from service.labelling.gold import GoldInput
from service.labelling.guidelines import GuidelineInput
from service.labelling.inputs import (
    Asked,
    AskInput,
    DraftKept,
    DraftShown,
    GradesInput,
    ItemState,
    Next,
    NextInput,
    Queue,
    Settled,
)
from service.labelling.profiles import ProfileInput, ProfileShown
from service.openapi.examples import AT, TURN_ID
from service.openapi.operation import Body, Operation, ours
from service.paging import Page

TAG = "Queue"
ITEM_ID = "item-019937a1b2c3d4e5f60718293a4b5c6d"
ITEM: dict[str, Any] = {
    "item_id": ITEM_ID,
    "turn_id": TURN_ID,
    "created_at": AT,
    "project": "assistant",
    "choice": "random",
    "probability": 1.0,
    "annotators": 1,
    "review": False,
    "language": "en",
    "topic": "facts",
    "version": "",
}
DRAFT: dict[str, Any] = {"accuracy": 2, "fluency": 3, "corrected_reply": "At 7:40."}
TASK: dict[str, Any] = {
    "item": ITEM,
    "stage": "annotate",
    "lease_id": "lease-019937a1b2c3d4e5f60718293a4b5c6d",
    "expires_at": AT,
    "messages": [{"role": "user", "content": "When do you open?"}],
    "reply": "At 9:30.",
    "attachments": [],
    "draft": DRAFT,
}
GUIDELINE: dict[str, Any] = {
    "guideline_id": "guideline-019937a1b2c3d4e5f60718293a4b5c6d",
    "created_at": AT,
    "project": "assistant",
    "version": 2,
    "author": "mei",
    "text": "# Opening hours\n\nA reply without the hour is at most 2.",
}
GOLD: dict[str, Any] = {
    "gold_id": "gold-019937a1b2c3d4e5f60718293a4b5c6d",
    "turn_id": TURN_ID,
    "item_id": ITEM_ID,
    "created_at": AT,
    "author": "mei",
    "accuracy": 1,
    "fluency": 3,
    "note": "",
    "retired": False,
}
PROFILE: dict[str, Any] = {
    "person": "mei",
    "languages": ["zh"],
    "topics": ["code"],
    "known_topics": ["code", "mathematics", "translation", "writing", "facts", "other"],
}
GRADES: dict[str, Any] = {"accuracy": 1, "fluency": 3, "corrected_reply": "At 7:40.", "accept": ["7:40"]}
STORED: dict[str, Any] = {
    **GRADES,
    "annotation_id": "annotation-019937a1b2c3d4e5f60718293a4b5c6d",
    "turn_id": TURN_ID,
    "created_at": AT,
    "annotator": "li",
    "tier": "annotator",
    "note": "",
    "item_id": ITEM_ID,
    "seconds": 41.5,
}
REVIEW: dict[str, Any] = {
    "review_id": "review-019937a1b2c3d4e5f60718293a4b5c6d",
    "turn_id": TURN_ID,
    "item_id": ITEM_ID,
    "created_at": AT,
    "person": "wang",
    "decision": "return",
    "annotation_id": STORED["annotation_id"],
    "reason": "The harbour opens earlier on market days.",
}
WAITING = {"annotate": 12, "returned": 1, "review": 3, "expert": 0}
TODAY: dict[str, Any] = {
    "annotated": 1,
    "reviewed": 0,
    "skipped": 0,
    "median_seconds": 41.5,
    "done": [
        {
            "item_id": ITEM_ID,
            "turn_id": TURN_ID,
            "at": AT,
            "what": "annotated",
            "accuracy": 1,
            "fluency": 3,
            "stage": "done",
        }
    ],
}

OPERATIONS: dict[str, Operation] = {
    "POST /queue/next": ours(
        TAG,
        Next,
        {"task": TASK},
        body=Body(shape=NextInput, example={"desk": "annotate", "filters": {"language": "zh"}}),
    ),
    "GET /queue": ours(TAG, Queue, {"yours": WAITING, "all": WAITING}),
    "GET /queue/items": ours(
        TAG,
        Page[ItemState],
        {"items": [{"item": ITEM, "stage": "annotate", "annotations": 0, "people": ["li"]}], "next_cursor": None},
    ),
    "POST /queue": ours(
        TAG,
        Asked,
        {"items": [{**ITEM, "choice": "asked"}]},
        body=Body(shape=AskInput, example={"turn_ids": [TURN_ID], "annotators": 2}),
        status=201,
        errors=(404,),
    ),
    "GET /queue/today": ours(TAG, Today, TODAY),
    "GET /queue/{item_id}": ours(TAG, Task, TASK, errors=(404, 409)),
    "GET /queue/{item_id}/draft": ours(TAG, DraftShown, {"draft": DRAFT}, errors=(404,)),
    "PUT /queue/{item_id}/draft": ours(
        TAG,
        DraftKept,
        {"saved_at": AT, "expires_at": AT},
        body=Body(shape=Draft, example=DRAFT),
        errors=(404, 409),
    ),
    "POST /queue/{item_id}/annotation": ours(
        TAG, Annotation, STORED, body=Body(shape=GradesInput, example=GRADES), status=201, errors=(404, 409)
    ),
    "POST /queue/{item_id}/skip": ours(
        TAG,
        Settled,
        {"item_id": ITEM_ID},
        body=Body(shape=SkipInput, example={"reason": "not-my-topic"}),
        status=201,
        errors=(404, 409),
    ),
    "POST /queue/{item_id}/decision": ours(
        TAG,
        Review,
        REVIEW,
        body=Body(
            shape=ReviewInput,
            example={
                "decision": "return",
                "annotation_id": STORED["annotation_id"],
                "reason": "The harbour opens earlier on market days.",
            },
        ),
        status=201,
        errors=(404, 409),
    ),
    "POST /queue/{item_id}/release": ours(TAG, Settled, {"item_id": ITEM_ID}, errors=(404, 409)),
    "GET /guidelines/{project}": ours("Guidelines", Guideline, GUIDELINE, errors=(404,)),
    "GET /guidelines/{project}/versions": ours(
        "Guidelines", Page[Guideline], {"items": [GUIDELINE], "next_cursor": None}
    ),
    "PUT /guidelines/{project}": ours(
        "Guidelines",
        Guideline,
        GUIDELINE,
        body=Body(shape=GuidelineInput, example={"text": GUIDELINE["text"], "based_on": 1}),
        errors=(409,),
    ),
    "POST /gold": ours(
        "Gold",
        Gold,
        GOLD,
        body=Body(shape=GoldInput, example={"turn_id": TURN_ID, "accuracy": 1, "fluency": 3}),
        status=201,
        errors=(404, 409),
    ),
    "GET /gold": ours("Gold", Page[Gold], {"items": [GOLD], "next_cursor": None}),
    "DELETE /gold/{turn_id}": ours("Gold", Gold, {**GOLD, "retired": True}, errors=(404,)),
    "GET /profiles/{person}": ours("Profiles", ProfileShown, PROFILE, errors=(404,)),
    "PUT /profiles/{person}": ours(
        "Profiles",
        ProfileShown,
        PROFILE,
        body=Body(shape=ProfileInput, example={"languages": ["zh"], "topics": ["code"]}),
        errors=(404,),
    ),
}
