"""What clients ask before they chat: which models there are.

They are told the aliases, never the versions' tags, and the upstream's other models as far as they may use them; each
caller only those of their key.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import Any

import msgspec
from litestar import get, post
from litestar.params import FromPath

from feedback.errors import MalformedBody
from service.aliases import Target
from service.callers import Caller, caller_of
from service.chat.asked import decode_object, folded
from service.parts import AnyRequest, Parts, parts_of

FROM = re.compile(r"^(#\s*)?FROM .*$", re.M)
LONG_AGO = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@get("/api/version", summary="The upstream's version, in Ollama's dialect", allow="user")
async def version(request: AnyRequest) -> dict[str, Any]:
    """What the upstream says of itself: clients look here for what it can do."""
    return await parts_of(request).upstream.fetch("GET", "/api/version")


@get("/api/tags", summary="The models to chat with, in Ollama's dialect", allow="user")
async def tags(request: AnyRequest) -> dict[str, Any]:
    """The names to chat with, each with what the upstream's hosts say of who answers."""
    parts = parts_of(request)
    by_tag = {model.get("name"): model for model in await parts.upstream.models("/api/tags")}
    return {"models": [_tagged(target, by_tag) for target in _targets(parts, caller_of(request))]}


@get("/api/ps", summary="The models in memory, in Ollama's dialect", allow="user")
async def loaded(request: AnyRequest) -> dict[str, Any]:
    """Those names whose model any host has in memory."""
    parts = parts_of(request)
    by_tag = {model.get("name"): model for model in await parts.upstream.models("/api/ps")}
    targets = _targets(parts, caller_of(request))
    return {"models": [_tagged(target, by_tag) for target in targets if target.shown.tag in by_tag]}


@post("/api/show", status_code=200, summary="One model, in Ollama's dialect", allow="user")
async def show(request: AnyRequest) -> dict[str, Any]:
    """What the upstream says of who answers to a name."""
    parts = parts_of(request)
    asked = folded(decode_object(await request.body()))
    name = asked.get("model") or asked.get("name")
    if not isinstance(name, str):
        raise MalformedBody("model is missing.", 'Send {"model": "<name>"}.')
    tag = parts.aliases.resolve(name, caller_of(request)).shown.tag
    wanted = {"model": tag, "verbose": asked.get("verbose") is True}
    found = await parts.upstream.fetch("POST", "/api/show", msgspec.json.encode(wanted), tag=tag)
    if isinstance(file := found.get("modelfile"), str):  # it names the version's tag, or a file on the host's disk
        found["modelfile"] = FROM.sub(lambda _: f"FROM {name}", file)
    return found


@get("/v1/models", summary="The models to chat with, in OpenAI's dialect", allow="user")
async def models(request: AnyRequest) -> dict[str, Any]:
    """The names to chat with."""
    return {"object": "list", "data": [_model(one) for one in _targets(parts_of(request), caller_of(request))]}


@get("/v1/models/{name:path}", summary="One model, in OpenAI's dialect", allow="user")
async def model(request: AnyRequest, name: FromPath[str]) -> dict[str, Any]:
    """Who answers to a name, which may have slashes in it."""
    name = name.removeprefix("/")
    target = parts_of(request).aliases.resolve(name, caller_of(request))
    return {**_model(target), "id": name}


def _targets(parts: Parts, caller: Caller) -> list[Target]:
    """Everything that this caller may chat with."""
    names = [*sorted(parts.aliases.visible(caller)), *parts.aliases.others(caller)]
    return [parts.aliases.resolve(name, caller) for name in names]


def _tagged(target: Target, by_tag: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    full = target.name if ":" in target.name else f"{target.name}:latest"
    known = by_tag.get(target.shown.tag, {})
    return {
        "modified_at": _changed_at(target),
        "size": 0,
        "digest": "",
        "details": {},
        **known,
        "name": full,
        "model": full,
    }


def _model(target: Target) -> dict[str, Any]:
    return {
        "id": target.name,
        "object": "model",
        "created": int(_changed_at(target).timestamp()),
        "owned_by": "ratchet" if target.alias else "upstream",
        "version": target.shown.version,
    }


def _changed_at(target: Target) -> dt.datetime:
    """When the name last got another model; not known of those that are none of ours."""
    return target.alias.changed_at if target.alias else LONG_AGO
