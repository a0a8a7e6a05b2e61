"""The lines of a fake Ollama's answers, its prompts and its vectors, in the shapes that a real one was seen to have."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.fakes.ollama_library import Refused, stamp

if TYPE_CHECKING:
    from tests.fakes.ollama import Seen


def line_of(name: str, chat: bool, text: str) -> dict[str, Any]:
    said: dict[str, Any] = {"message": {"role": "assistant", "content": text}} if chat else {"response": text}
    return {"model": name, "created_at": stamp(), **said, "done": False}


def cut(request: web.Request, seen: Seen) -> None:
    seen.ended = "broken"
    assert request.transport is not None
    request.transport.close()


def render(system: str, messages: list[dict[str, Any]]) -> str:
    """The prompt as chatml, with the model's own system prompt where the conversation has none."""
    if system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": system}, *messages]
    turns = "".join(f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n" for message in messages)
    return f"{turns}<|im_start|>assistant\n"


def json_of(text: str) -> dict[str, Any]:
    try:
        body = json.loads(text)
    except ValueError:
        raise Refused(400, "unexpected EOF") from None
    if not isinstance(body, dict):
        raise Refused(400, "json: cannot unmarshal into Go value")
    return body


def vectors_of(body: dict[str, Any]) -> list[list[float]]:
    """One vector for each text: always the same for the same one, of `dimensions` numbers or 4. Raises Refused."""
    if not str(body.get("model", "")).startswith("embedder"):
        raise Refused(501, "This server does not support embeddings. Start it with `--embeddings`")
    given = body.get("input", body.get("prompt"))
    texts = given if isinstance(given, list) else [given]
    size = body.get("dimensions") or 4
    if not isinstance(size, int) or abs(size) >= 2**63:
        raise Refused(400, "json: cannot unmarshal into Go struct field EmbedRequest.dimensions of type int")
    digests = [hashlib.sha256(str(text).encode()).digest() for text in texts]
    return [[digest[number % 32] / 256 for number in range(min(size, 768) if size > 0 else 4)] for digest in digests]
