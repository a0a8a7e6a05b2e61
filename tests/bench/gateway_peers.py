"""Three proxies as one would first write them: `python -m tests.bench.gateway_peers asgi|litestar|httpx UPSTREAM`.

They pass a chat on and its answer back, and do nothing else: no JSON is read, nothing filtered, nothing kept. `asgi` is
a bare ASGI function with aiohttp, `litestar` the same inside Litestar, `httpx` Litestar with httpx. All run in uvicorn
with uvloop and httptools and without an access log. Prints its port.
"""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import httpx
import uvicorn
from litestar import Litestar, Request, post
from litestar.response import Stream

CHAT = "/api/chat"
JSON = {"content-type": "application/json"}


def asgi(upstream: str) -> Any:
    """A bare ASGI function."""
    sessions: list[aiohttp.ClientSession] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        if not sessions:
            sessions.append(_session())
        body, more = b"", True
        while more:
            message = await receive()
            body += message["body"]
            more = message["more_body"]
        async with sessions[0].post(upstream + scope["path"], data=body, headers=JSON) as answer:
            headers = [(b"content-type", answer.headers["content-type"].encode())]
            if "content-length" in answer.headers:
                headers.append((b"content-length", answer.headers["content-length"].encode()))
            await send({"type": "http.response.start", "status": answer.status, "headers": headers})
            async for chunk in answer.content.iter_any():
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    return app


def litestar(upstream: str) -> Litestar:
    """Litestar with aiohttp."""
    sessions: list[aiohttp.ClientSession] = []

    @contextlib.asynccontextmanager
    async def opened(_: Litestar) -> AsyncIterator[None]:
        async with _session() as session:
            sessions.append(session)
            yield

    @post(CHAT, status_code=200)
    async def chat(request: Request[Any, Any, Any]) -> Stream:
        answer = await sessions[0].post(upstream + CHAT, data=await request.body(), headers=JSON)

        async def chunks() -> AsyncIterator[bytes]:
            async with answer:
                async for chunk in answer.content.iter_any():
                    yield chunk

        return Stream(chunks(), status_code=answer.status, media_type=answer.headers["content-type"])

    return Litestar([chat], lifespan=[opened], logging_config=None, openapi_config=None)


def with_httpx(upstream: str) -> Litestar:
    """Litestar with httpx."""
    clients: list[httpx.AsyncClient] = []

    @contextlib.asynccontextmanager
    async def opened(_: Litestar) -> AsyncIterator[None]:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
        async with httpx.AsyncClient(timeout=None, limits=limits) as client:
            clients.append(client)
            yield

    @post(CHAT, status_code=200)
    async def chat(request: Request[Any, Any, Any]) -> Stream:
        asked = clients[0].build_request("POST", upstream + CHAT, content=await request.body(), headers=JSON)
        answer = await clients[0].send(asked, stream=True)

        async def chunks() -> AsyncIterator[bytes]:
            async for chunk in answer.aiter_raw():
                yield chunk
            await answer.aclose()

        return Stream(chunks(), status_code=answer.status_code, media_type=answer.headers["content-type"])

    return Litestar([chat], lifespan=[opened], logging_config=None, openapi_config=None)


def _session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), auto_decompress=False)


PEERS = {"asgi": asgi, "litestar": litestar, "httpx": with_httpx}


def main() -> None:
    kind, upstream = sys.argv[1:]
    listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
    print(listening.getsockname()[1], flush=True)
    config = uvicorn.Config(
        PEERS[kind](upstream), loop="uvloop", http="httptools", ws="none", access_log=False, log_level="error",
        lifespan="off" if kind == "asgi" else "on",
    )  # fmt: skip
    uvicorn.Server(config).run([listening])


if __name__ == "__main__":
    main()
