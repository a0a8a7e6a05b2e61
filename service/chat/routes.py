"""The two chat routes. Each reads its dialect, the core does the rest."""

from __future__ import annotations

import msgspec
from litestar import post

from service.callers import caller_of
from service.chat import ollama, openai
from service.chat.asked import Asked, checked_conversation
from service.chat.delivery import ChatAnswer
from service.chat.exchange import Exchange
from service.chat.ollama import OllamaVoice
from service.chat.openai import OpenAIVoice
from service.parts import AnyRequest, Parts, parts_of
from service.recording import STORE_HEADER, recorded, refuses

CONVERSATION_HEADER = "x-conversation-id"


@post("/api/chat", status_code=200, summary="Chat, in Ollama's dialect", allow="user")
async def chat_in_ollamas(request: AnyRequest) -> ChatAnswer:
    """NDJSON, streamed unless `"stream": false`. The last line carries `turn_id`."""
    parts = parts_of(request)
    asked = ollama.read(await request.body(), checked_conversation(request.headers.get(CONVERSATION_HEADER)))
    exchange = _exchange(request, parts, asked)
    return ChatAnswer(exchange, OllamaVoice(asked.model), parts.upstream, parts.store, parts.words)


@post("/v1/chat/completions", status_code=200, summary="Chat, in OpenAI's dialect", allow="user")
async def chat_in_openais(request: AnyRequest) -> ChatAnswer:
    """One JSON object, or SSE with `"stream": true`. The object and the finishing chunk carry `turn_id`."""
    parts = parts_of(request)
    asked = openai.read(await request.body(), checked_conversation(request.headers.get(CONVERSATION_HEADER)))
    exchange = _exchange(request, parts, asked)
    voice = OpenAIVoice(asked, exchange.turn_id, exchange.served.tag)
    return ChatAnswer(exchange, voice, parts.upstream, parts.store, parts.words)


def _exchange(request: AnyRequest, parts: Parts, asked: Asked) -> Exchange:
    caller = caller_of(request)
    target = parts.aliases.resolve(asked.model, caller)
    if refuses(request.headers.get(STORE_HEADER)):
        asked = msgspec.structs.replace(asked, store=False)
    kept = recorded(asked, caller, target.name, parts.gateway)
    keep_texts = kept and parts.gateway.words_log_text
    exchange = Exchange(asked, target, parts.words.filter, keep_texts=keep_texts, recorded=kept)
    if kept:
        parts.words.note(exchange.hits("in"), exchange.hit_texts("in"), turn=exchange.turn_id)
    else:
        parts.words.statistics.add(exchange.hits("in"))
    return exchange
