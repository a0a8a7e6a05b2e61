"""Things as the API shows them, for its examples: each is checked against its shape by a test."""

from __future__ import annotations

from typing import Any

AT = "2026-11-24T00:00:00Z"
TURN_ID = "turn-019937a1b2c3d4e5f60718293a4b5c6d"
CYCLE_ID = "cycle-019937a1b2c3d4e5f60718293a4b5c6d"
REQUEST_ID = "request-019937a1b2c3d4e5f60718293a4b5c6d"
KEY_ID = "key-019937a1b2c3d4e5f60718293a4b5c6d"

TURN: dict[str, Any] = {
    "turn_id": TURN_ID,
    "conversation_id": "conversation-0f1e2d",
    "created_at": AT,
    "alias": "assistant",
    "version": "1.1.0",
    "model_tag": "assistant:1.1.0",
    "dialect": "ollama",
    "messages": [{"role": "user", "content": "When do you open?"}],
    "reply": "At 7:40.",
    "status": "whole",
    "done_reason": "stop",
    "prompt_tokens": 12,
    "reply_tokens": 6,
}
ANNOTATION: dict[str, Any] = {
    "annotator": "li",
    "tier": "annotator",
    "accuracy": 1,
    "fluency": 3,
    "corrected_reply": "At 7:40.",
    "accept": ["7:40"],
}
CONVERSATION: dict[str, Any] = {
    "conversation_id": "conversation-0f1e2d",
    "title": "When do you open?",
    "alias": "assistant",
    "turns": 2,
    "began_at": AT,
    "last_at": AT,
    "last_turn_id": TURN_ID,
}
VERSION: dict[str, Any] = {
    "model": "assistant",
    "version": "1.1.0",
    "created_at": AT,
    "kind": "trained",
    "parent": "1.0.0",
    "base_sha256": "0" * 64,
    "gguf": "model.gguf",
    "gguf_sha256": "1" * 64,
}
REQUEST: dict[str, Any] = {
    "request_id": REQUEST_ID,
    "at": AT,
    "kind": "promote",
    "alias": "assistant",
    "version": "1.2.0",
    "reason": "it passed",
}
CYCLE: dict[str, Any] = {
    "cycle": CYCLE_ID,
    "status": "running",
    "reason": "schedule",
    "started_at": AT,
    "step": "train",
    "done": {},
    "progress": {"share": 0.4, "text": "step 40 of 100"},
    "outcome": {},
}
ERASURE: dict[str, Any] = {
    "erasure_id": "erasure-019937a1b2c3d4e5f60718293a4b5c6d",
    "asked_at": AT,
    "kind": "subject",
    "salt": "5f2a",
    "whose_sha256": "2" * 64,
    "state": "done",
    "finished_at": AT,
    "turns": 31,
    "ratings": 4,
}
WORDS: dict[str, Any] = {
    "lists": [],
    "policy": {},
    "rules": 0,
    "loaded_at": AT,
    "load_s": 0.01,
    "error": None,
    "statistics": {"since": AT, "hits": 0, "categories": {}, "rules": []},
}
KEY: dict[str, Any] = {
    "key_id": KEY_ID,
    "state": "live",
    "name": "anna's laptop",
    "role": "user",
    "subject": "anna",
    "store": True,
    "created_at": AT,
    "expires_at": None,
    "revoked_at": None,
    "requests_per_minute": 60,
    "tokens_per_minute": 0,
    "scopes": [],
    "aliases": [],
}
LISTED: dict[str, Any] = {
    "id": "assistant",
    "object": "model",
    "created": 1795478400,
    "owned_by": "ratchet",
    "version": "1.1.0",
}
READY: dict[str, Any] = {
    "ready": True,
    "parts": {name: {"ready": True} for name in ("store", "upstream", "alias")},
}
