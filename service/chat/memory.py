"""How long a model stays in memory: what a client may ask of it, which is not to take the champion away.

`keep_alive` belongs to the model, not to the request: one client's `0` would have everybody else wait for a reload, and
the learner keeps what serves loaded for ever. So only an operator's reaches the upstream, and none that would unload.
"""

from __future__ import annotations

from typing import Any

import msgspec
from litestar.response.base import ASGIResponse

from feedback.errors import MalformedBody
from feedback.mint import now
from learner.alias import Served
from service.chat.asked import Asked
from service.engine.options import read_keep_alive
from service.engine.refusal import Refusal
from service.parts import Parts

LEAST_S = 300.0
"""Ollama's own default, seconds: a shorter `keep_alive` is not passed on."""


def checked_keep_alive(given: dict[str, Any], *, operator: bool) -> tuple[bool, bool]:
    """Whether to pass a request's `keep_alive` on, and whether it asks for unloading. Raises MalformedBody."""
    try:
        seconds = read_keep_alive(given.get("keep_alive"))
    except Refusal as error:
        raise MalformedBody("keep_alive is no duration.", 'Send seconds, or "10m".') from error
    if seconds is None:
        return False, False
    return operator and seconds >= LEAST_S, seconds == 0


async def preloaded(parts: Parts, asked: Asked, served: Served) -> ASGIResponse:
    """The answer to a request without a prompt, which only loads a model. Raises what asking the upstream raises.

    To `keep_alive: 0` Ollama says at once that it unloads, and keeps a busy model until it is idle. So do we, and go on
    keeping what serves.
    """
    if asked.unload:
        said = {"response": ""} if asked.route == "generate" else {"message": {"role": "assistant", "content": ""}}
        answer = {"model": asked.model, "created_at": now(), **said, "done": True, "done_reason": "unload"}
        return _answer(served, answer)
    wanted = {"model": served.tag, "stream": False}
    if "keep_alive" in asked.upstream:
        wanted["keep_alive"] = asked.upstream["keep_alive"]
    body = msgspec.json.encode(wanted)
    wait_s = parts.gateway.first_token_timeout_s
    found = await parts.upstream.fetch("POST", f"/api/{asked.route}", body, tag=served.tag, wait_s=wait_s)
    return _answer(served, {**found, "model": asked.model})


def _answer(served: Served, body: dict[str, Any]) -> ASGIResponse:
    headers = {"x-model-version": served.version}
    return ASGIResponse(body=msgspec.json.encode(body), headers=headers, media_type="application/json")
