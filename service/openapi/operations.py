"""What the code alone does not say of each route: its bodies, an example of each, the errors that it alone has.

One entry for each `METHOD /path`; a test finds a route without one. Parameters, summaries and who may use it are read
off the routes themselves.
"""

from __future__ import annotations

from typing import Any

from feedback.annotations import AnnotationInput
from feedback.erasure import Erasure
from feedback.preferences import PreferenceInput
from feedback.ratings import RatingInput
from feedback.turns import Turn
from learner.records import CycleState, Request
from service.artefacts import Asked, RequestInput, SnapshotInput, Versions
from service.chat.completions import OpenAICompletion
from service.chat.embeddings import Embed, OldEmbed, OpenAIEmbed
from service.chat.generate import OllamaGenerate
from service.chat.ollama import OllamaChat
from service.chat.openai import OpenAIChat
from service.conversations import Conversation, ConversationListed
from service.health import Readiness
from service.keys.inputs import KeyInput, KeyMade, KeyShown
from service.labelling.operations import OPERATIONS as LABELLING
from service.measures.operations import OPERATIONS as MEASURES
from service.openapi import shapes
from service.openapi.examples import (
    ANNOTATION,
    CONVERSATION,
    CYCLE,
    ERASURE,
    KEY,
    LISTED,
    READY,
    REQUEST,
    TURN,
    TURN_ID,
    VERSION,
    WORDS,
)
from service.openapi.operation import BYTES, CSS, HTML, JS, NDJSON, SSE, TEXT, ZIP, Body, Operation, ours
from service.pages.login import SignIn
from service.pages.operations import OPERATIONS as PAGES
from service.paging import Page
from service.preferences import PreferenceStored
from service.privacy.routes import ErasureInput, ExportInput
from service.quality.operations import OPERATIONS as QUALITY
from service.requests import RequestListed
from service.transfer.operations import OPERATIONS as TRANSFER
from service.turns import AnnotationStored, RatingStored, TurnWithVerdicts
from service.words.book import WordState
from service.words.routes import CheckInput, CheckResult, WordLists
from service.words.statistics import RuleCount


def _chat(shape: Any, example: Any, answer: Body, *stream: Body, headers: tuple[str, ...] = ()) -> Operation:
    return Operation(
        tag="Chat",
        body=Body(shape=shape, example=example),
        answers={200: (answer, *stream)},
        errors=(404, 409, 422, 502),
        headers=("X-Conversation-Id", "X-Store", "Idempotency-Key", "X-Person", *headers),
    )


def _models(shape: Any, example: Any, *, body: Body | None = None, errors: tuple[int, ...] = (502,)) -> Operation:
    return Operation(tag="Models", body=body, answers={200: (Body(shape=shape, example=example),)}, errors=errors)


def _managed(example: Any, shape: Any = shapes.ModelName, *, empty: bool = False) -> Operation:
    lines = Body(type=NDJSON, example='{"status":"pulling manifest"}\n{"status":"success"}\n')
    return Operation(
        tag="Models, for operators",
        body=Body(shape=shape, example=example),
        answers={200: () if empty else (lines, Body(example={"status": "success"}))},
        errors=(404, 409, 500, 502),
        headers=("X-Upstream-Host",),
    )


DRAFTS = ("X-Draft", "X-Draft-Pair")
HELLO = {"model": "assistant", "messages": [{"role": "user", "content": "When do you open?"}]}
USAGE = {"prompt_tokens": 12, "completion_tokens": 6, "total_tokens": 18}
OPENAI_HEAD = {"id": "chatcmpl-0199", "created": 1795478400, "model": "assistant"}
OLLAMA_HEAD = {"model": "assistant", "created_at": "2026-11-24T00:00:00Z", "done": True, "done_reason": "stop"}
REPLY = {"role": "assistant", "content": "At 7:40."}

PAGE = Operation(tag="Pages", answers={200: (Body(type=HTML),), 303: ()})
"""A page; or the way to another one, where that is the one to see."""

OPERATIONS: dict[str, Operation] = {
    "POST /api/chat": _chat(
        OllamaChat,
        {**HELLO, "stream": False},
        Body(shape=shapes.OllamaChatAnswer, example={**OLLAMA_HEAD, "message": REPLY, "turn_id": TURN_ID}),
        Body(type=NDJSON, example='{"model":"assistant","message":{"role":"assistant","content":"At"},"done":false}\n'),
        headers=DRAFTS,
    ),
    "POST /api/generate": _chat(
        OllamaGenerate,
        {"model": "assistant", "prompt": "The harbour opens", "stream": False},
        Body(shape=shapes.OllamaGenerateAnswer, example={**OLLAMA_HEAD, "response": " at 7:40.", "turn_id": TURN_ID}),
        Body(type=NDJSON, example='{"model":"assistant","response":" at","done":false}\n'),
    ),
    "POST /v1/chat/completions": _chat(
        OpenAIChat,
        HELLO,
        Body(
            shape=shapes.OpenAIChatAnswer,
            example={
                **OPENAI_HEAD, "object": "chat.completion", "usage": USAGE, "turn_id": TURN_ID,
                "choices": [{"index": 0, "message": REPLY, "finish_reason": "stop"}],
            },
        ),
        Body(type=SSE, example='data: {"object":"chat.completion.chunk"}\n\ndata: [DONE]\n\n'),
        headers=DRAFTS,
    ),
    "POST /v1/completions": _chat(
        OpenAICompletion,
        {"model": "assistant", "prompt": "The harbour opens"},
        Body(
            shape=shapes.OpenAICompletionAnswer,
            example={
                **OPENAI_HEAD, "object": "text_completion", "usage": USAGE, "turn_id": TURN_ID,
                "choices": [{"index": 0, "text": " at 7:40.", "finish_reason": "stop"}],
            },
        ),
        Body(type=SSE, example='data: {"object":"text_completion"}\n\ndata: [DONE]\n\n'),
    ),
    "POST /api/embed": _models(
        dict[str, Any], {"model": "assistant", "embeddings": [[0.1, 0.2]]},
        body=Body(shape=Embed, example={"model": "assistant", "input": ["港口"]}), errors=(404, 501, 502),
    ),
    "POST /api/embeddings": _models(
        dict[str, Any], {"embedding": [0.1, 0.2]},
        body=Body(shape=OldEmbed, example={"model": "assistant", "prompt": "港口"}), errors=(404, 501, 502),
    ),
    "POST /v1/embeddings": _models(
        shapes.OpenAIEmbeddings,
        {
            "object": "list", "model": "assistant", "usage": {"prompt_tokens": 2, "total_tokens": 2},
            "data": [{"object": "embedding", "index": 0, "embedding": [0.1, 0.2]}],
        },
        body=Body(shape=OpenAIEmbed, example={"model": "assistant", "input": ["港口"]}), errors=(404, 501, 502),
    ),
    "GET /api/version": _models(dict[str, Any], {"version": "0.32.15"}),
    "GET /api/tags": _models(
        shapes.OllamaModels, {"models": [{"name": "assistant:latest", "model": "assistant:latest"}]}
    ),
    "GET /api/ps": _models(shapes.OllamaModels, {"models": []}),
    "POST /api/show": _models(
        dict[str, Any], {"details": {"family": "llama"}},
        body=Body(shape=shapes.ModelName, example={"model": "assistant"}), errors=(404, 502),
    ),
    "GET /v1/models": _models(shapes.OpenAIModels, {"object": "list", "data": [LISTED]}),
    "GET /v1/models/{name}": _models(shapes.OpenAIModel, LISTED, errors=(404,)),
    "POST /api/create": _managed({"model": "mine", "from": "llama3.2"}),
    "POST /api/pull": _managed({"model": "llama3.2"}),
    "POST /api/push": _managed({"model": "me/mine"}),
    "POST /api/copy": _managed({"source": "llama3.2", "destination": "mine"}, shapes.CopyNames, empty=True),
    "DELETE /api/delete": _managed({"model": "mine"}, empty=True),
    "HEAD /api/blobs/{digest}": Operation(
        tag="Models, for operators", answers={200: ()}, errors=(404, 500, 502), headers=("X-Upstream-Host",)
    ),
    "POST /api/blobs/{digest}": Operation(
        tag="Models, for operators",
        body=Body(type=BYTES),
        answers={200: (), 201: ()},
        errors=(404, 500, 502),
        headers=("X-Upstream-Host",),
    ),
    "POST /turns/{turn_id}/ratings": ours(
        "Verdicts", RatingStored, {"rating_id": "rating-0199", "turn_id": TURN_ID}, status=201, errors=(404, 409, 422),
        body=Body(shape=RatingInput, example={"verdict": "down", "corrected_reply": "At 7:40."}),
        headers=("Idempotency-Key",),
    ),
    "POST /turns/{turn_id}/annotations": ours(
        "Verdicts", AnnotationStored, {"annotation_id": "annotation-0199", "turn_id": TURN_ID}, status=201,
        errors=(404, 409, 422), body=Body(shape=AnnotationInput, example=ANNOTATION), headers=("Idempotency-Key",),
    ),
    "GET /turns/{turn_id}": ours(
        "Verdicts", TurnWithVerdicts, {"turn": TURN, "ratings": [], "annotations": []}, errors=(404,)
    ),
    "GET /turns": ours("Verdicts", Page[Turn], {"items": [TURN], "next_cursor": None}),
    "POST /preferences": ours(
        "Verdicts", PreferenceStored,
        {
            "preference_id": "preference-0199", "first": TURN_ID, "second": "turn-0199", "first_version": "1.1.0",
            "second_version": "1.2.0",
        },
        status=201, errors=(404, 409, 422), headers=("Idempotency-Key", "X-Person"),
        body=Body(shape=PreferenceInput, example={"first": TURN_ID, "second": "turn-0199", "preferred": "second"}),
    ),
    "GET /conversations": ours(
        "Chat", Page[ConversationListed], {"items": [CONVERSATION], "next_cursor": None}, headers=("X-Person",)
    ),
    "GET /conversations/{conversation_id}": ours(
        "Chat", Conversation,
        {
            "conversation_id": "conversation-0f1e2d", "alias": "assistant", "attachments": 0,
            "messages": [
                {"role": "user", "content": "When do you open?"},
                {"role": "assistant", "content": "At 7:40.", "turn_id": TURN_ID, "version": "1.1.0", "status": "whole"},
            ],
        },
        errors=(404,), headers=("X-Person",),
    ),
    "PUT /tokenizers/{sha256}": ours(
        "Learning", shapes.Kept, {"sha256": "0" * 64}, status=201, body=Body(type=BYTES)
    ),
    "POST /snapshots": ours(
        "Learning", dict[str, Any], {"id": "snapshot-0199"}, status=201, errors=(404, 409), body_optional=True,
        body=Body(shape=SnapshotInput, example={"guard": ["What is the capital of France?"]}),
    ),
    "GET /snapshots/{snapshot_id}": ours("Learning", dict[str, Any], {"id": "snapshot-0199"}, errors=(404,)),
    "GET /pool": ours("Learning", dict[str, int], {"in": 812, "out:no-verdict": 9120}),
    "GET /versions": ours(
        "Learning", Versions, {"aliases": {}, "versions": [VERSION], "next_cursor": None}
    ),
    "GET /requests": ours(
        "Learning", Page[RequestListed], {"items": [{"request": REQUEST, "state": "waiting"}], "next_cursor": None}
    ),
    "POST /requests": ours(
        "Learning", Request, REQUEST, status=202, errors=(404,),
        body=Body(shape=RequestInput, example={"kind": "promote", "version": "1.2.0", "reason": "it passed"}),
    ),
    "GET /requests/{request_id}": ours("Learning", Asked, {"state": "waiting", "result": None}, errors=(404,)),
    "GET /cycles": ours("Learning", Page[CycleState], {"items": [CYCLE], "next_cursor": None}),
    "GET /cycles/{cycle_id}": ours("Learning", CycleState, CYCLE, errors=(404,)),
    "POST /backups": ours(
        "Operation", shapes.BackedUp, {"file": "backups/ratchet.duckdb", "bytes": 1048576}, status=201, errors=(409,)
    ),
    "DELETE /subjects/{subject}": Operation(
        tag="Privacy", errors=(404, 409),
        answers={status: (Body(shape=Erasure, example=ERASURE),) for status in (200, 202)},
    ),
    "POST /erasures": Operation(
        tag="Privacy", errors=(404, 409), body=Body(shape=ErasureInput, example={"subject": "anna"}),
        answers={status: (Body(shape=Erasure, example=ERASURE),) for status in (200, 202)},
    ),
    "GET /erasures": ours("Privacy", Page[Erasure], {"items": [ERASURE], "next_cursor": None}),
    "GET /erasures/{erasure_id}": ours("Privacy", Erasure, ERASURE, errors=(404,)),
    "GET /subjects/{subject}/export": Operation(tag="Privacy", answers={200: (Body(type=ZIP),)}, errors=(404,)),
    "POST /exports": Operation(
        tag="Privacy", body=Body(shape=ExportInput, example={"subject": "team/anna"}),
        answers={200: (Body(type=ZIP),)}, errors=(404,),
    ),
    "GET /words": ours("Word filter", WordState, WORDS),
    "GET /words/hits": ours("Word filter", Page[RuleCount], {"items": [], "next_cursor": None}),
    "PUT /words": ours(
        "Word filter", WordState, WORDS, body_optional=True,
        body=Body(shape=WordLists, example={"lists": {"insults.txt": "darn\n", "old.txt": None}}),
    ),
    "PUT /words/{name}": ours("Word filter", WordState, WORDS, body=Body(type=TEXT, example="darn\n")),
    "POST /words/check": ours(
        "Word filter", CheckResult, {"hits": [], "text": "hello", "blocked": False},
        body=Body(shape=CheckInput, example={"text": "hello", "direction": "in"}),
    ),
    "GET /keys": ours("Keys", Page[KeyShown], {"items": [KEY], "next_cursor": None}),
    "POST /keys": ours(
        "Keys", KeyMade, {"key": KEY, "token": "rk_…"}, status=201,
        body=Body(shape=KeyInput, example={"name": "anna's laptop", "role": "user", "subject": "anna"}),
    ),
    "DELETE /keys/{key_id}": ours("Keys", KeyShown, KEY, errors=(404, 409)),
    "POST /login": ours(
        "Keys", shapes.SignedIn, {"role": "user", "subject": "anna"}, errors=(409,),
        body=Body(shape=SignIn, example={"key": "rk_…"}),
    ),
    "POST /logout": ours("Keys", shapes.SignedOut, {"status": "signed out"}),
    "GET /": PAGE,
    "HEAD /": Operation(tag="Pages", answers={200: (), 303: ()}),
    "GET /login": PAGE,
    "GET /page/{name}": Operation(tag="Pages", answers={200: (Body(type=CSS), Body(type=JS))}, errors=(404,)),
    "GET /schema": PAGE,
    "GET /schema/openapi.json": ours("Pages", dict[str, Any], {"openapi": "3.1.0"}),
    "GET /schema/{name}": Operation(
        tag="Pages", answers={200: (Body(type=CSS), Body(type=JS), Body(type=TEXT))}, errors=(404,)
    ),
    "GET /health": ours("Operation", shapes.Status, {"status": "up"}),
    "GET /ready": Operation(
        tag="Operation", answers={status: (Body(shape=Readiness, example=READY),) for status in (200, 503)}
    ),
    "GET /metrics": Operation(
        tag="Operation", answers={200: (Body(type=TEXT, example="ratchet_active_streams 3.0\n"),)}
    ),
    **PAGES,
    **LABELLING,
    **QUALITY,
    **MEASURES,
    **TRANSFER,
}  # fmt: skip
