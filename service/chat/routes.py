"""The two chat routes. Each reads its dialect, the core does the rest."""

from __future__ import annotations

from litestar import post

from service.chat import ollama, openai
from service.chat.asked import Asked, checked_conversation
from service.chat.delivery import ChatAnswer
from service.chat.exchange import Exchange
from service.chat.ollama import OllamaVoice
from service.chat.openai import OpenAIVoice
from service.parts import AnyRequest, Parts, parts_of

CONVERSATION_HEADER = "x-conversation-id"


@post("/api/chat", status_code=200, summary="Chat, in Ollama's dialect", allow="user")
async def chat_in_ollamas(request: AnyRequest) -> ChatAnswer:
    """NDJSON, streamed unless `"stream": false`. The last line carries `turn_id`."""
    parts = parts_of(request)
    asked = ollama.read(await request.body(), checked_conversation(request.headers.get(CONVERSATION_HEADER)))
    exchange = _exchange(parts, asked)
    return ChatAnswer(exchange, OllamaVoice(asked.model), parts.upstream, parts.store, parts.words)


@post("/v1/chat/completions", status_code=200, summary="Chat, in OpenAI's dialect", allow="user")
async def chat_in_openais(request: AnyRequest) -> ChatAnswer:
    """One JSON object, or SSE with `"stream": true`. The object and the finishing chunk carry `turn_id`."""
    parts = parts_of(request)
    asked = openai.read(await request.body(), checked_conversation(request.headers.get(CONVERSATION_HEADER)))
    exchange = _exchange(parts, asked)
    voice = OpenAIVoice(asked, exchange.turn_id, exchange.served.tag)
    return ChatAnswer(exchange, voice, parts.upstream, parts.store, parts.words)


def _exchange(parts: Parts, asked: Asked) -> Exchange:
    name, alias = parts.aliases.find(asked.model)
    exchange = Exchange(asked, name, alias, parts.words.filter, keep_texts=parts.gateway.words_log_text)
    parts.words.note(exchange.hits("in"), exchange.hit_texts("in"), turn=exchange.turn_id)
    return exchange
