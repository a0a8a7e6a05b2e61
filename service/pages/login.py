"""Signing in and out on a page: a key is shown once, and a cookie stands for it until the session ends.

The cookie that counts can't be read by scripts; the other one is what our own pages show in `X-CSRF-Token`. Neither is
sent along with what another site's page posts (SameSite), and over TLS both go over TLS only. Must never: put the key
into a cookie, an answer or a log.
"""

from __future__ import annotations

import msgspec
from litestar import Response, get, post
from litestar.datastructures import Cookie
from litestar.response import Redirect

from feedback.errors import Conflict, MalformedBody
from service.keys.sessions import COOKIE, CSRF_COOKIE, cookie_of
from service.pages.routes import HEADERS, own_path, page_bytes, page_language
from service.parts import AnyRequest, parts_of
from service.turns import decode

NO_STORE = {"cache-control": "no-store"}


class SignIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the page sends."""

    key: str


@get("/login", summary="The sign-in page", include_in_schema=False, allow="anybody")
async def login_page(request: AnyRequest) -> Response[bytes] | Redirect:
    """The page; or the chat page, where no key is needed or somebody is signed in already."""
    door = parts_of(request).door
    if not door.required or door.session(_headers(request)) is not None:
        return Redirect(own_path(request.query_params.get("next", ""), "/"), status_code=303, headers=NO_STORE)
    language = page_language(request.headers.get("accept-language", ""))
    if request.cookies.get("ratchet_language") in ("en", "zh"):  # chosen on some page of the house
        language = request.cookies["ratchet_language"]
    body = page_bytes("login.html").replace(b'<html lang="en">', f'<html lang="{language}">'.encode())
    return Response(body, headers=HEADERS, media_type="text/html; charset=utf-8")


@post("/login", status_code=200, summary="Sign in with a key", allow="anybody")
async def sign_in(request: AnyRequest) -> Response[dict[str, str]]:
    """Starts a session in two cookies: one counts, the other's value goes into `X-CSRF-Token`."""
    door, headers = parts_of(request).door, _headers(request)
    if not door.required:
        raise Conflict("This gateway needs no key.", "Use it as it is.")
    door.names.refuse_other_sites(headers)
    if headers.get(b"content-type", b"").split(b";")[0].strip().lower() != b"application/json":
        raise MalformedBody("Signing in takes JSON.", 'Send {"key": "rk_…"} as application/json.')
    token = decode(await request.body(), SignIn, MalformedBody).key.strip().encode()
    key = door.ring.recall(token) or await door.ring.prove(token)
    caller = key.check()
    door.sessions.end(cookie_of(headers.get(b"cookie", b""), COOKIE))
    session_id, session = door.sessions.start(key.made.key_id)
    secure, age = _secure(request), int(door.sessions.seconds)
    cookies = [_cookie(COOKIE, session_id, age, secure), _cookie(CSRF_COOKIE, session.csrf, age, secure)]
    return Response({"role": caller.role, "subject": caller.subject}, cookies=cookies, headers=NO_STORE)


@post("/logout", status_code=200, summary="Sign out", allow="anybody")
async def sign_out(request: AnyRequest) -> Response[dict[str, str]]:
    """Ends the session of the cookie, if there is one."""
    door, headers = parts_of(request).door, _headers(request)
    session = door.session(headers)
    if session is not None:
        door.check_page(session, headers)
        door.sessions.end(cookie_of(headers.get(b"cookie", b""), COOKIE))
    secure = _secure(request)
    cookies = [_cookie(name, "", 0, secure) for name in (COOKIE, CSRF_COOKIE)]
    return Response({"status": "signed out"}, cookies=cookies, headers=NO_STORE)


def _cookie(name: str, value: str, age_s: int, secure: bool) -> Cookie:
    httponly = name == COOKIE
    return Cookie(key=name, value=value, max_age=age_s, httponly=httponly, secure=secure, samesite="lax")


def _headers(request: AnyRequest) -> dict[bytes, bytes]:
    return dict(request.scope["headers"])


def _secure(request: AnyRequest) -> bool:
    """Whether the browser speaks TLS, to us or to the proxy before us. Who lies here locks out only themselves."""
    return request.scope["scheme"] == "https" or request.headers.get("x-forwarded-proto", "").startswith("https")
