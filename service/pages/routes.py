"""Serving the chat page. Its files are read once; a strict policy keeps it from fetching anything from elsewhere."""

from __future__ import annotations

import functools
import hashlib
import importlib.resources
import re

from litestar import Response, get, route
from litestar.params import FromPath
from litestar.response import Redirect

from feedback.errors import UnknownRoute
from service.parts import AnyRequest, parts_of

CSS, JAVASCRIPT = "text/css; charset=utf-8", "text/javascript; charset=utf-8"
TYPES = {
    **dict.fromkeys(("tokens.css", "house.css", "desk.css", "figures.css", "chat.css", "login.css"), CSS),
    **dict.fromkeys(("htmx.js", "desk.js", "keys.js", "changes.js", "guide.js", "quality.js", "login.js"), JAVASCRIPT),
}
HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}

TO_DESKS = b' href="/desks" data-label="desks" aria-label="Ratchet: all desks"'
"""On the chat page, for whom there are desks."""


@route("/", http_method=["GET", "HEAD"], summary="The chat page", include_in_schema=False, allow="anybody")
async def chat_page(request: AnyRequest) -> Response[bytes] | Redirect:
    """The page, in Chinese for a browser that prefers it. Ollama's clients ask HEAD here whether anybody is up."""
    door = parts_of(request).door
    session = door.session(dict(request.scope["headers"])) if door.required else None
    if request.method == "GET" and door.required and session is None:
        return Redirect("/login", status_code=303, headers={"cache-control": "no-store"})
    language = page_language(request.headers.get("accept-language", ""))
    if request.cookies.get("ratchet_language") in ("en", "zh"):  # chosen on some page of the house
        language = request.cookies["ratchet_language"]
    share = f'data-drafts-share="{parts_of(request).gateway.drafts_share:g}"'
    body = page_bytes("chat.html").replace(b'<html lang="en"', f'<html lang="{language}" {share}'.encode())
    if session is not None and not door.ring.get(session.key_id).caller.may("annotator"):
        body = body.replace(TO_DESKS, b"")
    if request.method == "HEAD":
        return Response(b"", headers=HEADERS, media_type="text/html; charset=utf-8")
    return Response(body, headers=HEADERS, media_type="text/html; charset=utf-8")


@get("/page/{name:str}", summary="A file of the chat page", include_in_schema=False, allow="anybody")
async def page_file(name: FromPath[str]) -> Response[bytes]:
    """Its style sheet or its script."""
    if name not in TYPES:
        raise UnknownRoute("The chat page has no such file.", f"It has {', '.join(TYPES)}.")
    return Response(page_bytes(name), headers=HEADERS, media_type=TYPES[name])


@get("/page/chat/{name:str}", summary="A script of the chat page", include_in_schema=False, allow="anybody")
async def chat_file(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
    """One of its modules; unchanged since the browser's copy: 304."""
    if name not in chat_files():
        raise UnknownRoute("The chat page has no such script.", f"It has {', '.join(sorted(chat_files()))}.")
    etag = f'"{hashlib.sha256(page_bytes(f"chat/{name}")).hexdigest()[:32]}"'
    headers = {**HEADERS, "etag": etag}
    if request.headers.get("if-none-match") == etag:
        return Response(b"", status_code=304, headers=headers)
    return Response(page_bytes(f"chat/{name}"), headers=headers, media_type=JAVASCRIPT)


@functools.cache
def chat_files() -> frozenset[str]:
    """The names of the chat page's modules."""
    folder = importlib.resources.files("service.pages").joinpath("chat")
    return frozenset(file.name for file in folder.iterdir() if file.name.endswith(".js"))


@functools.cache
def page_bytes(name: str) -> bytes:
    """A file of this package."""
    return importlib.resources.files("service.pages").joinpath(name).read_bytes()


def own_path(said: str, otherwise: str) -> str:
    """A path on this gateway that somebody asked to be led on to; `otherwise` where it is none."""
    return said if re.fullmatch(r"/(?!/)[\w\-/?=&%.]*", said) else otherwise


def page_language(accepted: str) -> str:
    """`zh` or `en`, whichever of the two the browser prefers; English where it says neither."""
    best, best_weight = "en", 0.0
    for entry in accepted.split(","):
        tag, _, weight_text = entry.strip().partition(";q=")
        try:
            weight = float(weight_text) if weight_text else 1.0
        except ValueError:
            continue
        language = tag.split("-")[0].lower()
        if language in ("zh", "en") and weight > best_weight:
            best, best_weight = language, weight
    return best
