"""Ollama's management of models, for operators: create, pull, push, copy, delete, blobs.

Each is a route of its own and goes to one host as it came, streamed both ways, so that a blob of gigabytes passes in a
few hundred kilobytes of memory. Must never: be reached by a catch-all, take a user's request, or touch the model that
an alias serves; those are made by cycles, and moved by `ratchet promote`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import aiohttp
import msgspec
from litestar import Response, delete, head, post
from litestar.params import FromPath
from litestar.response.base import ASGIResponse
from litestar.types import ControllerRouterHandler, Receive, Scope, Send

from feedback.errors import Conflict, InvalidInput, MalformedBody, UpstreamBroke
from service.aliases import OLLAMAS_OWN
from service.chat.asked import decode_object, folded
from service.chat.listening import ClientLeft, WhileListening
from service.parts import AnyRequest, Parts, parts_of
from service.upstream.host import Host, full_name

DIGEST = re.compile(r"sha256[:-][0-9a-f]{64}")
HOST_HEADER = "x-upstream-host"
NAMES = ("model", "name", "destination")
"""Fields that name the model which a call makes, overwrites or deletes."""
ANSWER_LIMIT_BYTES = 64 * 1024
"""Longest answer to an upload; Ollama's has no more than one error."""


class PassedOn(ASGIResponse):
    """An upstream's answer, status and all, passed on as it comes; a client that leaves ends the work."""

    __slots__ = ("_asked", "_parts")

    def __init__(self, parts: Parts, asked: tuple[Host, str, str, bytes]) -> None:
        """`asked`: the host, method, path and body."""
        super().__init__(status_code=200)
        self._parts = parts
        self._asked = asked

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        host, method, path, body = self._asked
        answer: aiohttp.ClientResponse | None = None
        try:
            async with WhileListening(scope, receive):
                answer = await self._parts.upstream.session.pass_on(host, method, path, {}, body)
                await _send_all(answer, send)
        except ClientLeft:
            return
        finally:
            if answer is not None:
                answer.close()


async def _send_all(answer: aiohttp.ClientResponse, send: Send) -> None:
    headers = [(b"cache-control", b"no-store")]
    if (kind := answer.headers.get("content-type")) is not None:  # an empty answer has none
        headers.append((b"content-type", kind.encode("latin-1", "replace")))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    try:
        async for data in answer.content.iter_any():
            await send({"type": "http.response.body", "body": data, "more_body": True})
    except aiohttp.ClientError:
        broke = {"error": "The upstream hung up before it was done. Ask again; its log says more."}
        await send({"type": "http.response.body", "body": msgspec.json.encode(broke) + b"\n", "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


@post("/api/create", status_code=200, summary="Make a model at an upstream's host", allow="operator")
async def create(request: AnyRequest) -> ASGIResponse:
    """Ollama's answer, streamed. A name that an alias serves is refused."""
    return await _managed(request, "POST", "/api/create")


@post("/api/pull", status_code=200, summary="Fetch a model to an upstream's host", allow="operator")
async def pull(request: AnyRequest) -> ASGIResponse:
    """Ollama's answer, streamed. A name that an alias serves is refused."""
    return await _managed(request, "POST", "/api/pull")


@post("/api/push", status_code=200, summary="Publish a model from an upstream's host", allow="operator")
async def push(request: AnyRequest) -> ASGIResponse:
    """Ollama's answer, streamed."""
    return await _managed(request, "POST", "/api/push", changes=False)


@post("/api/copy", status_code=200, summary="Copy a model at an upstream's host", allow="operator")
async def copy(request: AnyRequest) -> ASGIResponse:
    """Ollama's answer. A destination that an alias serves is refused."""
    return await _managed(request, "POST", "/api/copy")


@delete("/api/delete", status_code=200, summary="Delete a model at an upstream's host", allow="operator")
async def delete_model(request: AnyRequest) -> ASGIResponse:
    """Ollama's answer. A name that an alias serves is refused."""
    return await _managed(request, "DELETE", "/api/delete")


@head("/api/blobs/{digest:str}", summary="Whether an upstream's host has a blob", allow="operator")
async def has_blob(request: AnyRequest, digest: FromPath[str]) -> Response[None]:
    """200 or 404."""
    parts = parts_of(request)
    path = _blob_path(digest)
    return Response(None, status_code=await _status(parts, _host(parts, request), path))


@post(
    "/api/blobs/{digest:str}",
    status_code=201,
    summary="Bring a blob to an upstream's host",
    allow="operator",
    request_max_body_size=None,
)
async def put_blob(request: AnyRequest, digest: FromPath[str]) -> Response[bytes]:
    """201, or 200 where it is there already. Streamed, of any size."""
    parts, path = parts_of(request), _blob_path(digest)
    host = _host(parts, request)
    if await _status(parts, host, path) == 200:  # Ollama would answer without reading, and break the client's pipe
        async for _ in request.stream():
            pass
        return Response(b"", status_code=200)
    headers = {"Content-Type": "application/octet-stream"}
    if (length := request.headers.get("content-length", "")).isdecimal():
        headers["Content-Length"] = length
    answer = await parts.upstream.session.pass_on(host, "POST", path, headers, request.stream())
    try:
        body = await answer.content.read(ANSWER_LIMIT_BYTES)
    except aiohttp.ClientError as error:
        raise UpstreamBroke("The upstream hung up before it had answered.", "Send the blob again.") from error
    finally:
        answer.close()
    return Response(body, status_code=answer.status, media_type="application/json")


ROUTES: list[ControllerRouterHandler] = [create, pull, push, copy, delete_model, has_blob, put_blob]


async def _managed(request: AnyRequest, method: str, path: str, *, changes: bool = True) -> ASGIResponse:
    parts = parts_of(request)
    body = folded(decode_object(await request.body()))
    if changes:
        refuse_served(parts, [body[field] for field in NAMES if field in body])
    return PassedOn(parts, (_host(parts, request), method, path, msgspec.json.encode(body)))


def refuse_served(parts: Parts, names: Iterable[Any]) -> None:
    """Raise Conflict for a name whose model an alias serves now, however it is spelt; MalformedBody for no name."""
    aliases = parts.aliases.all().values()
    served = {bare_name(one.tag) for alias in aliases for one in (alias.champion, alias.challenger) if one is not None}
    for name in names:
        if not isinstance(name, str):
            raise MalformedBody("A model's name is no text.", 'Send {"model": "<name>"}.')
        if bare_name(name) in served:
            raise Conflict(
                f"{name[:100]!r} serves an alias: it may not be changed.", "`ratchet promote` another version first."
            )


def bare_name(name: str) -> str:
    """A model's name without what Ollama adds to it by itself."""
    bare = full_name(name.strip().partition("@")[0]).removeprefix("https://").removeprefix("http://")
    for beginning in OLLAMAS_OWN:
        bare = bare.removeprefix(beginning)
    return bare


def _host(parts: Parts, request: AnyRequest) -> Host:
    """The host that a request names by its number in `gateway.upstream_urls`, from 0; else the first one."""
    given = request.headers.get(HOST_HEADER, "0")
    hosts = parts.upstream.hosts
    if not given.isdecimal() or len(given) > 4 or int(given) >= len(hosts):
        raise InvalidInput(f"X-Upstream-Host is none of 0 to {len(hosts) - 1}.", "Send a host's number, or nothing.")
    return hosts[int(given)]


def _blob_path(digest: str) -> str:
    if not DIGEST.fullmatch(digest):
        raise InvalidInput("That is no digest.", "Send sha256: and 64 hexadecimal digits.")
    return f"/api/blobs/{digest}"


async def _status(parts: Parts, host: Host, path: str) -> int:
    answer = await parts.upstream.session.pass_on(host, "HEAD", path, {}, None)
    answer.close()
    return answer.status
