"""Embeddings, in both dialects. Their texts pass the filter like a prompt; nobody said anything, so they are no turns.

A text with a word that blocks refuses the whole request, since a list of vectors has no place for an excuse.
"""

from __future__ import annotations

import base64
import struct
from typing import Any, Literal, NamedTuple

import msgspec
from litestar import post
from litestar.response.base import ASGIResponse

from feedback.errors import BlockedText, MalformedBody, Unsupported, UpstreamBroke
from learner.alias import Served
from service.callers import Caller, caller_of
from service.chat.asked import decode_object, folded
from service.chat.awaited import Awaited
from service.chat.fields import Fields
from service.chat.ollama import converted as converted_ollama
from service.chat.openai import converted
from service.parts import AnyRequest, Parts, parts_of

NO_TEXT = frozenset({"truncate", "dimensions", "options"})
OURS = frozenset({"model", "input", "prompt", "keep_alive", "stream", "store"})
INPUTS_LIMIT = 2048
"""Texts in one request, as OpenAI has it."""


class Embed(msgspec.Struct):
    model: str
    input: str | list[str]


class OldEmbed(msgspec.Struct):
    model: str
    prompt: str = ""


class OpenAIEmbed(msgspec.Struct):
    model: str
    input: str | list[Any]
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


@post("/api/embed", status_code=200, summary="Embeddings, in Ollama's dialect", allow="user")
async def embed_in_ollamas(request: AnyRequest) -> ASGIResponse:
    """One vector for each text of `input`."""
    given = folded(decode_object(await request.body()))
    asked: Embed = converted_ollama(given, Embed, "POST /api/embed")
    return _passed(request, "/api/embed", asked.model, {"input": asked.input}, given)


@post("/api/embeddings", status_code=200, summary="One embedding, in Ollama's former dialect", allow="user")
async def embed_in_old_ollamas(request: AnyRequest) -> ASGIResponse:
    """The vector of `prompt`."""
    given = folded(decode_object(await request.body()))
    asked: OldEmbed = converted_ollama(given, OldEmbed, "POST /api/embeddings")
    return _passed(request, "/api/embeddings", asked.model, {"prompt": asked.prompt}, given)


@post("/v1/embeddings", status_code=200, summary="Embeddings, in OpenAI's dialect", allow="user")
async def embed_in_openais(request: AnyRequest) -> ASGIResponse:
    """One vector for each text of `input`, as numbers or, with `"encoding_format": "base64"`, as 32-bit floats."""
    asked: OpenAIEmbed = converted(await request.body(), OpenAIEmbed, "POST /v1/embeddings")
    texts = [asked.input] if isinstance(asked.input, str) else asked.input
    if not all(isinstance(text, str) for text in texts):
        raise Unsupported("input has tokens, which the word filter can't read.", "Send texts.")
    more = {"dimensions": asked.dimensions} if asked.dimensions is not None else {}
    question = _question(request, "/api/embed", asked.model, {"input": texts}, more)

    async def translated() -> ASGIResponse:
        found = await question.asked()
        vectors = found.get("embeddings")
        if not isinstance(vectors, list):
            raise UpstreamBroke("The upstream gave no embeddings.", "See its log.")
        coded = [_base64(vector) for vector in vectors] if asked.encoding_format == "base64" else vectors
        tokens = found.get("prompt_eval_count", 0)
        data = [{"object": "embedding", "index": number, "embedding": vector} for number, vector in enumerate(coded)]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return _answer(question.served, {"object": "list", "data": data, "model": asked.model, "usage": usage})

    return Awaited(translated)


def _passed(request: AnyRequest, path: str, model: str, texts: dict[str, Any], given: dict[str, Any]) -> ASGIResponse:
    more = {key: value for key, value in given.items() if key not in OURS and value is not None and key[:1] != "_"}
    question = _question(request, path, model, texts, more)

    async def renamed() -> ASGIResponse:
        found = await question.asked()
        return _answer(question.served, {**found, "model": model} if "model" in found else found)

    return Awaited(renamed)


class Question(NamedTuple):
    """What the upstream is asked, once the filter has let it through."""

    parts: Parts
    caller: Caller
    served: Served
    path: str
    body: bytes

    async def asked(self) -> dict[str, Any]:
        """Ask, and count what it cost. Raises as the upstream does."""
        parts, wait_s = self.parts, self.parts.gateway.first_token_timeout_s
        found = await parts.upstream.fetch("POST", self.path, self.body, tag=self.served.tag, wait_s=wait_s)
        tokens = found.get("prompt_eval_count", 0)
        parts.limits.spent(self.caller, tokens if isinstance(tokens, int) else 0)
        return found


def _question(request: AnyRequest, path: str, model: str, texts: dict[str, Any], more: dict[str, Any]) -> Question:
    """Raises UnknownAlias, BlockedText, MalformedBody."""
    parts, caller = parts_of(request), caller_of(request)
    served = parts.aliases.resolve(model, caller).shown
    if isinstance(listed := texts.get("input"), list) and not 0 < len(listed) <= INPUTS_LIMIT:
        raise MalformedBody(f"input has {len(listed)} texts.", f"Send 1 to {INPUTS_LIMIT}.")
    fields = Fields(parts.words.filter, "in")
    body = {key: fields.value(value, key) for key, value in texts.items()}
    body |= {key: value if key in NO_TEXT else fields.value(value, "*") for key, value in more.items()}
    parts.words.note(fields.hits, {}, route=path)
    if fields.blocked:
        raise BlockedText("A text has a word that blocks.", "Leave it out.")
    return Question(parts, caller, served, path, msgspec.json.encode({**body, "model": served.tag}))


def _answer(served: Served, body: dict[str, Any]) -> ASGIResponse:
    headers = {"x-model-version": served.version}
    return ASGIResponse(body=msgspec.json.encode(body), headers=headers, media_type="application/json")


def _base64(vector: Any) -> str:
    """Little-endian 32-bit floats, as OpenAI's clients read them."""
    try:
        return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
    except (struct.error, TypeError, OverflowError) as error:
        raise UpstreamBroke("The upstream's embeddings are no numbers.", "See its log.") from error
