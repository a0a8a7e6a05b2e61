"""What clients ask before they chat: which models there are. They are told the aliases, never the versions' tags."""

from __future__ import annotations

from typing import Any

import msgspec
from litestar import get, post
from litestar.params import FromPath

from feedback.errors import MalformedBody
from learner.alias import Alias
from service.chat.asked import decode_object
from service.parts import AnyRequest, parts_of


@get("/api/version", summary="The upstream's version, in Ollama's dialect", allow="user")
async def version(request: AnyRequest) -> dict[str, Any]:
    """What the upstream says of itself: clients look here for what it can do."""
    return await parts_of(request).upstream.fetch("GET", "/api/version")


@get("/api/tags", summary="The models to chat with, in Ollama's dialect", allow="user")
async def tags(request: AnyRequest) -> dict[str, Any]:
    """The aliases, each with what the upstream says of its champion."""
    parts = parts_of(request)
    found = await parts.upstream.fetch("GET", "/api/tags")
    by_tag = {model.get("name"): model for model in found.get("models", [])}
    return {"models": [_tagged(name, alias, by_tag) for name, alias in sorted(parts.aliases.all().items())]}


@post("/api/show", status_code=200, summary="One model, in Ollama's dialect", allow="user")
async def show(request: AnyRequest) -> dict[str, Any]:
    """What the upstream says of the alias's champion."""
    parts = parts_of(request)
    asked = decode_object(await request.body())
    name = asked.get("model") or asked.get("name")
    if not isinstance(name, str):
        raise MalformedBody("model is missing.", 'Send {"model": "<name>"}.')
    _, alias = parts.aliases.find(name)
    return await parts.upstream.fetch("POST", "/api/show", msgspec.json.encode({"model": alias.champion.tag}))


@get("/v1/models", summary="The models to chat with, in OpenAI's dialect", allow="user")
async def models(request: AnyRequest) -> dict[str, Any]:
    """The aliases."""
    aliases = parts_of(request).aliases.all()
    return {"object": "list", "data": [_model(name, alias) for name, alias in sorted(aliases.items())]}


@get("/v1/models/{name:str}", summary="One model, in OpenAI's dialect", allow="user")
async def model(request: AnyRequest, name: FromPath[str]) -> dict[str, Any]:
    """The alias."""
    return _model(*parts_of(request).aliases.find(name))


def _tagged(name: str, alias: Alias, by_tag: dict[Any, dict[str, Any]]) -> dict[str, Any]:
    full = name if ":" in name else f"{name}:latest"
    known = by_tag.get(alias.champion.tag, {})
    return {
        "modified_at": alias.changed_at,
        "size": 0,
        "digest": "",
        "details": {},
        **known,
        "name": full,
        "model": full,
    }


def _model(name: str, alias: Alias) -> dict[str, Any]:
    return {
        "id": name,
        "object": "model",
        "created": int(alias.changed_at.timestamp()),
        "owned_by": "ratchet",
        "version": alias.champion.version,
    }
