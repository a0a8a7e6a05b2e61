"""Answers on the wire: JSON, lines of JSON, and the few plain texts, with the headers that Ollama sends.

The one place where a Refusal becomes HTTP, inside a stream as well as before it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import msgspec
from aiohttp import web

from service.engine.refusal import Refusal

log = logging.getLogger(__name__)

JSON = "application/json; charset=utf-8"
NDJSON = "application/x-ndjson"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def ok(body: dict[str, Any], *, status: int = 200, content_type: str = JSON) -> web.Response:
    """One JSON object."""
    return web.Response(body=msgspec.json.encode(body), status=status, headers={"Content-Type": content_type})


def no_content(status: int) -> web.Response:
    """An answer that is only its status."""
    return web.Response(status=status)


def plain_text(status: int, text: str) -> web.Response:
    """What Ollama's router says where there is no such route."""
    return web.Response(body=text.encode(), status=status, headers={"Content-Type": "text/plain"})


async def ndjson(
    request: web.Request, lines: AsyncGenerator[dict[str, Any], None], *, refused_as: str = JSON
) -> web.StreamResponse:
    """Stream the lines, each sent as it comes. `refused_as` is the content type where not even the first comes."""
    async with aclosing(lines):
        try:
            first = await anext(lines)
        except Refusal as refusal:
            return ok({"error": refusal.text}, status=refusal.status, content_type=refused_as)
        response = web.StreamResponse(headers={"Content-Type": NDJSON})
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            await response.write(msgspec.json.encode(first) + b"\n")
            async for line in lines:
                await response.write(msgspec.json.encode(line) + b"\n")
        except Refusal as refusal:
            await response.write(msgspec.json.encode({"error": refusal.text}) + b"\n")
        await response.write_eof()
        return response


@web.middleware
async def translate_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Every error below becomes an answer here."""
    try:
        return await handler(request)
    except Refusal as refusal:
        return ok({"error": refusal.text}, status=refusal.status)
    except web.HTTPNotFound:
        return plain_text(404, "404 page not found")
    except web.HTTPMethodNotAllowed as error:
        response = plain_text(405, "405 method not allowed")
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods - {"HEAD"} or error.allowed_methods))
        return response
    except web.HTTPRequestEntityTooLarge:
        return ok({"error": "http: request body too large"}, status=413)
    except (web.HTTPException, ConnectionError):
        raise
    except Exception as error:
        # The outermost door: whatever it is, the client gets JSON, and the log the kind of error without its text.
        log.error("%s %s failed: %s", request.method, request.path, type(error).__name__)
        return ok({"error": f"internal error: {type(error).__name__}"}, status=500)
