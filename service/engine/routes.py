"""The routes: Ollama's API, each handler short, each refusal in Ollama's words with its status.

A streamed answer begins only when its first line is there, so that what fails before has a status of its own; what
fails later ends the stream with an `{"error": …}` line. Must never end a stream without either that or a last line.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, Literal

from aiohttp import web

from service.engine import bodies
from service.engine.answers import ndjson, no_content, ok
from service.engine.blobs import parse_digest
from service.engine.bodies import read_body
from service.engine.cards import loaded_card, model_card, tag_card
from service.engine.library import Library, Model
from service.engine.making import Wish, make_model, parse_wish
from service.engine.names import parse_name
from service.engine.options import read_format, read_keep_alive, read_options
from service.engine.prompts import Prompt, chat_prompt, conversation, raw_prompt
from service.engine.refusal import Refusal
from service.engine.replies import Line, Request, loaded_line, rendered_line, reply_lines, whole_reply
from service.engine.runner import Runner
from service.engine.runners import Runners

LIBRARY: web.AppKey[Library] = web.AppKey("library", Library)
RUNNERS: web.AppKey[Runners] = web.AppKey("runners", Runners)
VERSION = "0.32.15+ratchet"
"""The Ollama whose API this speaks, and who really does."""
MAX_TOP_LOGPROBS = 20

routes = web.RouteTableDef()


@routes.get("/")
async def alive(_: web.Request) -> web.Response:
    return web.Response(text="Ollama is running")


@routes.get("/api/version")
async def version(_: web.Request) -> web.Response:
    return ok({"version": VERSION})


@routes.get("/api/tags")
async def tags(request: web.Request) -> web.Response:
    models = await asyncio.to_thread(request.app[LIBRARY].all)
    return ok({"models": [tag_card(model) for model in models]})


@routes.get("/api/ps")
async def loaded(request: web.Request) -> web.Response:
    return ok({"models": [loaded_card(runner) for runner in request.app[RUNNERS].loaded()]})


@routes.post("/api/show")
async def show(request: web.Request) -> web.Response:
    body = await read_body(request, "ShowRequest", bodies.NAMED)
    text = body.get("model") or body.get("name") or ""
    if not text:
        raise Refusal(400, "model is required")
    name = parse_name(text)
    if name is None:
        raise Refusal(400, "invalid model name")
    model = request.app[LIBRARY].find(name)
    if model is None:
        raise Refusal(404, f"model '{name.short}' not found")
    return ok(await asyncio.to_thread(model_card, model, verbose=bool(body.get("verbose"))))


@routes.head("/api/blobs/{digest}")
async def has_blob(request: web.Request) -> web.Response:
    digest = parse_digest(request.match_info["digest"])
    if not request.app[LIBRARY].blobs.has(digest):
        raise Refusal(404, f"blob {digest} not found")
    return no_content(200)


@routes.post("/api/blobs/{digest}")
async def put_blob(request: web.Request) -> web.Response:
    digest = parse_digest(request.match_info["digest"])
    blobs = request.app[LIBRARY].blobs
    if blobs.has(digest):
        return no_content(200)
    await blobs.receive(digest, request.content.iter_any())
    return no_content(201)


@routes.post("/api/create")
async def create(request: web.Request) -> web.StreamResponse:
    body = await read_body(request, "CreateRequest", bodies.CREATE)
    statuses = _created(request.app, parse_wish(body))
    if body.get("stream", True):
        return await ndjson(request, statuses, refused_as="application/json")
    try:
        said = [line async for line in statuses]
    except Refusal as refusal:
        return ok({"error": refusal.text}, status=refusal.status, content_type="application/json")
    return ok(said[-1], content_type="application/json")


@routes.post("/api/copy")
async def copy(request: web.Request) -> web.Response:
    body = await read_body(request, "CopyRequest", bodies.COPY)
    source, target = body.get("source", ""), body.get("destination", "")
    source_name, target_name = parse_name(source), parse_name(target)
    if source_name is None:
        raise Refusal(400, f'source "{source}" is invalid')
    if target_name is None:
        raise Refusal(400, f'destination "{target}" is invalid')
    try:
        gone = await asyncio.to_thread(request.app[LIBRARY].copy, source_name, target_name)
    except FileNotFoundError as error:
        raise Refusal(404, f'model "{source}" not found') from error
    await _unload_all(request.app, gone)
    return no_content(200)


@routes.delete("/api/delete")
async def delete(request: web.Request) -> web.Response:
    body = await read_body(request, "DeleteRequest", bodies.NAMED)
    text = body.get("model") or body.get("name") or ""
    if not text:
        raise Refusal(400, "model is required")
    name = parse_name(text)
    if name is None:
        raise Refusal(400, f'name "{text}" is invalid')
    try:
        gone = await asyncio.to_thread(request.app[LIBRARY].delete, name)
    except FileNotFoundError as error:
        raise Refusal(404, f"model '{text}' not found") from error
    await _unload_all(request.app, gone)
    return no_content(200)


@routes.post("/api/chat")
async def chat(request: web.Request) -> web.StreamResponse:
    body = await read_body(request, "ChatRequest", bodies.CHAT)
    text = body.get("model", "")
    name = parse_name(text)
    if name is None:
        raise Refusal(400, "model is required")
    model = request.app[LIBRARY].find(name)
    if model is None:
        raise Refusal(404, f"model '{text}' not found")
    if body.get("tools"):
        raise Refusal(400, f"{name.full} does not support tools")
    return await _answer(request, "chat", model, body, has_prompt=bool(body.get("messages")))


@routes.post("/api/generate")
async def generate(request: web.Request) -> web.StreamResponse:
    body = await read_body(request, "GenerateRequest", bodies.GENERATE)
    text = body.get("model", "")
    name = parse_name(text)
    model = request.app[LIBRARY].find(name) if name else None
    if name is None or model is None:
        raise Refusal(404, f"model '{text}' not found")
    if body.get("suffix"):
        raise Refusal(400, f"{name.full} does not support insert")
    if body.get("template"):
        raise Refusal(400, "the embedded engine renders the model's own template and takes none in a request")
    return await _answer(request, "generate", model, body, has_prompt=bool(body.get("prompt")))


@routes.post("/api/embed")
@routes.post("/api/embeddings")
async def embed(request: web.Request) -> web.Response:
    """Refused as Ollama refuses it for a model that completes texts: the engine runs no other."""
    body = await read_body(request, "EmbedRequest", bodies.NAMED)
    text = body.get("model", "")
    name = parse_name(text)
    if name is None or request.app[LIBRARY].find(name) is None:
        raise Refusal(404, f'model "{text}" not found, try pulling it first')
    # The older of the two routes has another status for it, in Ollama too.
    status = 501 if request.path == "/api/embed" else 500
    raise Refusal(status, "This server does not support embeddings. Start it with `--embeddings`")


# ----------------------------------------------------------------------------------------------------------------


async def _answer(
    request: web.Request, route: Literal["chat", "generate"], model: Model, body: dict[str, Any], *, has_prompt: bool
) -> web.StreamResponse:
    """What chat and generate share: load, unload, render, or reply."""
    started = time.monotonic()
    keep_alive_s = read_keep_alive(body.get("keep_alive"))
    asked = _request_of(route, model, body)
    runners = request.app[RUNNERS]
    if not has_prompt and keep_alive_s == 0:
        await runners.unload(model.weights_digest)
        return ok(loaded_line(route, asked.model, "unload"))
    if not has_prompt or body.get("_debug_render_only"):
        async with runners.lease(model, keep_alive_s) as runner:
            if not has_prompt:
                return ok(loaded_line(route, asked.model, "load"))
            return ok(rendered_line(asked, await _prompt(runner, asked, model, body, runner.context_tokens)))
    lines = _replied(runners, model, keep_alive_s, asked, body, started)
    if body.get("stream", True):
        return await ndjson(request, lines)
    async with aclosing(lines):
        return ok(await whole_reply(lines))


async def _replied(
    runners: Runners, model: Model, keep_alive_s: float | None, asked: Request, body: dict[str, Any], started: float
) -> AsyncGenerator[Line, None]:
    async with runners.lease(model, keep_alive_s) as runner:
        loaded_at = time.monotonic()
        wanted = asked.options["num_ctx"]
        limit = min(wanted, runner.context_tokens) if wanted > 0 else runner.context_tokens
        prompt = await _prompt(runner, asked, model, body, limit)
        async with aclosing(reply_lines(runner, asked, prompt, limit, started, loaded_at)) as lines:
            async for line in lines:
                yield line


def _request_of(route: Literal["chat", "generate"], model: Model, body: dict[str, Any]) -> Request:
    if body.get("think"):
        raise Refusal(400, f'"{body["model"]}" does not support thinking')
    top = body.get("top_logprobs", 0)
    if not 0 <= top <= MAX_TOP_LOGPROBS:
        raise Refusal(400, f"top_logprobs must be between 0 and {MAX_TOP_LOGPROBS}")
    return Request(
        route=route, model=body["model"], options=read_options(model.parameters, body.get("options", {})),
        constraint=read_format(body.get("format")), raw=bool(body.get("raw")),
        logprobs=bool(body.get("logprobs")), top_logprobs=top,
    )  # fmt: skip


async def _prompt(runner: Runner, asked: Request, model: Model, body: dict[str, Any], limit: int) -> Prompt:
    truncate = body.get("truncate", True)
    if asked.route == "chat":
        return await chat_prompt(runner, conversation(model, body["messages"]), limit, truncate=truncate)
    if asked.raw:
        return await raw_prompt(runner, body["prompt"], limit, truncate=truncate)
    given = [{"role": "user", "content": body["prompt"], "images": body.get("images")}]
    if body.get("system"):
        given.insert(0, {"role": "system", "content": body["system"]})
    if not body.get("context"):
        return await chat_prompt(runner, conversation(model, given), limit, truncate=truncate)
    # A reply's `context` is all its tokens; the next question is rendered alone and goes on from there.
    asked_now = await chat_prompt(runner, conversation(model, given), limit, truncate=True)
    before = [token for token in body["context"] if isinstance(token, int)]
    return Prompt(asked_now.text, [*before, *asked_now.tokens][-(limit - 1) :])


async def _created(app: web.Application, wish: Wish) -> AsyncGenerator[Line, None]:
    """The statuses of a create, each step in a thread."""
    gone: list[str] = []
    steps = make_model(app[LIBRARY], wish, gone)
    while (status := await asyncio.to_thread(next, steps, "")) != "":
        yield {"status": status}
    await _unload_all(app, gone)


async def _unload_all(app: web.Application, gone: list[str]) -> None:
    """Weights that are off the disk need no memory either, once their last reply has ended."""
    for digest in gone:
        await app[RUNNERS].unload(digest)
