"""The routes that answer with a model's words. Each reads its dialect, the core does the rest."""

from __future__ import annotations

import asyncio
import functools
import math
from collections.abc import Callable

from litestar import post
from litestar.exceptions.http_exceptions import RequestEntityTooLarge
from litestar.response.base import ASGIResponse

from feedback.errors import MalformedBody, StoreUnavailable
from service.callers import caller_of, said_person
from service.chat import attachments, completions, drafts, generate, ollama, openai
from service.chat.asked import Asked, Sender, Voice, checked_conversation
from service.chat.awaited import Awaited
from service.chat.delivery import ChatAnswer
from service.chat.exchange import Exchange
from service.chat.generate import GenerateVoice
from service.chat.keeping import Keeping
from service.chat.memory import preloaded
from service.chat.ollama import OllamaVoice
from service.chat.openai_voice import CompletionVoice, OpenAIVoice
from service.chat.replay import Telling, replayed
from service.chat.uncertainty import wanted
from service.idempotency import NO_KEY, Once, has_key
from service.parts import AnyRequest, Parts, parts_of
from service.recording import STORE_HEADER, recorded, refuses

CONVERSATION_HEADER = b"x-conversation-id"


@post("/api/chat", status_code=200, summary="Chat, in Ollama's dialect", allow="user", short_way=True)
async def chat_in_ollamas(request: AnyRequest) -> ASGIResponse:
    """NDJSON, streamed unless `"stream": false`. The last line carries `turn_id`. No messages: it loads the model."""
    body = await whole_body(request)
    asked = ollama.read(body, sender_of(request))
    return await _answered(request, body, asked, lambda exchange: OllamaVoice(asked.model))


@post(
    "/api/generate", status_code=200, summary="Go on from one prompt, in Ollama's dialect", allow="user", short_way=True
)
async def generate_in_ollamas(request: AnyRequest) -> ASGIResponse:
    """NDJSON, streamed unless `"stream": false`. The last line carries `turn_id`. No prompt: it loads the model."""
    body, contexts = await whole_body(request), parts_of(request).contexts
    asked = generate.read(body, sender_of(request), contexts)
    return await _answered(request, body, asked, lambda exchange: GenerateVoice(asked.model, contexts))


@post("/v1/chat/completions", status_code=200, summary="Chat, in OpenAI's dialect", allow="user", short_way=True)
async def chat_in_openais(request: AnyRequest) -> ASGIResponse:
    """One JSON object, or SSE with `"stream": true`. The object and the finishing chunk carry `turn_id`."""
    body = await whole_body(request)
    asked = openai.read(body, sender_of(request))
    return await _answered(request, body, asked, lambda exchange: _voice(OpenAIVoice, exchange))


@post(
    "/v1/completions",
    status_code=200,
    summary="Go on from one prompt, in OpenAI's dialect",
    allow="user",
    short_way=True,
)
async def complete_in_openais(request: AnyRequest) -> ASGIResponse:
    """One JSON object, or SSE with `"stream": true`. The object and the finishing chunk carry `turn_id`."""
    body = await whole_body(request)
    asked = completions.read(body, sender_of(request))
    return await _answered(request, body, asked, lambda exchange: _voice(CompletionVoice, exchange))


async def whole_body(request: AnyRequest) -> bytes:
    """As `request.body()`, in a third of the time. Raises RequestEntityTooLarge, MalformedBody where it breaks off."""
    limit = request.route_handler.resolve_request_max_body_size() or math.inf
    announced = dict(request.scope["headers"]).get(b"content-length", b"0")
    size, more, parts = 0, True, []
    while more:
        if size > limit or (announced.isdigit() and int(announced) > limit):
            raise RequestEntityTooLarge
        message = await request.receive()
        if message["type"] != "http.request":
            raise MalformedBody("The body broke off.", "Send all of it.")
        parts.append(message["body"])
        size += len(message["body"])
        more = message.get("more_body", False)
    if size > limit:
        raise RequestEntityTooLarge
    return parts[0] if len(parts) == 1 else b"".join(parts)


def sender_of(request: AnyRequest) -> Sender:
    """What the request says beside its body, and whose it is. Raises MalformedBody for headers that can't be."""
    headers, caller = dict(request.scope["headers"]), caller_of(request)
    store, place = headers.get(STORE_HEADER), headers.get(drafts.DRAFT_HEADER)
    return Sender(
        conversation_id=checked_conversation(headers.get(CONVERSATION_HEADER, b"").decode("latin-1")),
        subject=caller.subject or said_person(caller, headers),
        operator=caller.may("operator"),
        store=store is None or not refuses(store.decode("latin-1")),
        draft=None if place is None else drafts.draft_of(place, headers),
    )


async def _answered(request: AnyRequest, body: bytes, asked: Asked, voice: Callable[[Telling], Voice]) -> ASGIResponse:
    parts = parts_of(request)
    attachments.check_size(len(body), asked.images, parts.gateway)
    if not asked.messages:
        served = parts.aliases.resolve(asked.model, caller_of(request)).shown
        return Awaited(functools.partial(preloaded, parts, asked, served))
    once = await parts.replays.claim(request, body) if has_key(request) else NO_KEY
    try:
        if once.known is not None:
            return await replayed(parts.store, once.known, asked, voice)
        return await _chat(request, parts, asked, voice, once)
    except BaseException:  # a request that is cancelled, too, must not keep its key
        once.let_go()
        raise


async def _chat(
    request: AnyRequest, parts: Parts, asked: Asked, voice: Callable[[Telling], Voice], once: Once
) -> ChatAnswer:
    exchange, keeping = _exchange(request, parts, asked), Keeping(parts.store, parts.gateway)
    keeping.look(exchange)
    if asked.images:
        await _attach(parts, exchange, keeping)
    spent = functools.partial(parts.limits.spent, caller_of(request))
    return ChatAnswer(exchange, voice(exchange), parts.upstream, keeping, parts.words, spent, once)


async def _attach(parts: Parts, exchange: Exchange, keeping: Keeping) -> None:
    """Check the images and, where there will be a turn, keep them before it. Raises StoreUnavailable for the disk."""
    images, data_dir = exchange.asked.images, parts.data_dir

    def decoded_and_kept() -> list[str]:
        found = attachments.decoded(images)
        names = [one.sha256 for one in found]
        if exchange.recorded:
            parts.eraser.in_use.hold(exchange, names)
            attachments.keep(data_dir, found)
        return names

    try:
        exchange.attachments = await asyncio.to_thread(decoded_and_kept)
    except OSError:
        trouble = StoreUnavailable("The images could not be kept.", "Look at the disk's space and health.")
        keeping.failed(exchange, trouble)


def _voice(kind: type[OpenAIVoice], exchange: Telling) -> OpenAIVoice:
    tag = exchange.served.tag if exchange.asked.draft is None else drafts.NOBODYS_TAG
    return kind(exchange.asked, exchange.turn_id, tag)


def _exchange(request: AnyRequest, parts: Parts, asked: Asked) -> Exchange:
    caller = caller_of(request)
    target = parts.aliases.resolve(asked.model, caller)
    if asked.draft is not None:
        target = drafts.target_of(target, asked.draft)
    kept = recorded(asked, caller, target.name, parts.gateway)
    keep_texts = kept and parts.gateway.words_log_text
    measured = kept and wanted(parts.gateway.record_uncertainty)
    exchange = Exchange(asked, target, parts.words.filter, keep_texts=keep_texts, recorded=kept, measured=measured)
    if not exchange.hits("in"):
        return exchange
    if kept:
        parts.words.note(exchange.hits("in"), exchange.hit_texts("in"), turn=exchange.turn_id)
    else:
        parts.words.statistics.add(exchange.hits("in"))
    return exchange
