"""Turns, ratings and annotations to test with: whole and valid, every field nameable."""

from __future__ import annotations

from typing import Any

from feedback.annotations import Annotation
from feedback.mint import new_id, now
from feedback.ratings import Rating
from feedback.turns import FilterHit, Message, Turn


def a_turn(**fields: Any) -> Turn:
    """A whole turn about the capital of France, freshly minted."""
    given: dict[str, Any] = {
        "turn_id": new_id("turn"),
        "conversation_id": "conversation-1",
        "created_at": now(),
        "alias": "assistant",
        "version": "1.0.0",
        "model_tag": "assistant:1.0.0",
        "dialect": "ollama",
        "messages": [Message(role="user", content="What is the capital of France? 法国的首都是哪里？")],
        "reply": "Paris. 巴黎。",
        "status": "whole",
        "done_reason": "stop",
        "prompt_tokens": 12,
        "reply_tokens": 3,
        "first_token_ms": 12.5,
        "total_ms": 40.25,
        "options": {"temperature": 0.5, "stop": ["\n"]},
    }
    return Turn(**(given | fields))


def a_hit(**fields: Any) -> FilterHit:
    given: dict[str, Any] = {
        "rule": "word-1", "category": "test", "action": "mask", "direction": "in", "field": "messages[0].content",
        "start": 0, "end": 4,
    }  # fmt: skip
    return FilterHit(**(given | fields))


def a_rating(turn_id: str, **fields: Any) -> Rating:
    """A thumb up by nobody in particular."""
    given: dict[str, Any] = {
        "rating_id": new_id("rating"),
        "turn_id": turn_id,
        "created_at": now(),
        "verdict": "up",
        "stars": None,
        "comment": "",
        "reasons": [],
        "corrected_reply": None,
        "task_completed": None,
        "rater": "",
    }
    return Rating(**(given | fields))


def an_annotation(turn_id: str, **fields: Any) -> Annotation:
    """An expert's verdict that the reply is right."""
    given: dict[str, Any] = {
        "annotation_id": new_id("annotation"),
        "turn_id": turn_id,
        "created_at": now(),
        "annotator": "王芳",
        "tier": "expert",
        "accuracy": 4,
        "fluency": 3,
        "corrected_reply": None,
        "accept": ["Paris", "巴黎"],
        "note": "",
    }
    return Annotation(**(given | fields))
