"""The guard before every route: who asks, may they, and is it not too often.

It runs after the router, as its middleware, and reads the route's own `opt`, so no spelling of a path leads past it:
what is guarded is the handler that will run. (Litestar's own guards copy the handler for each request, which costs more
than all of this.) A route that does not say `allow` refuses everybody. Must never let a request through without putting
its caller into the scope, nor log or repeat what it was shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from litestar.routes import HTTPRoute
from litestar.types import ASGIApp, Receive, Scope, Send

from feedback.errors import Forbidden, Unauthorized
from service.callers import ANYBODY, AREA_OF, NOBODY, SCOPE_KEY, Allow, Area, Caller
from service.keys.hosts import SAFE, OwnNames
from service.keys.limits import Limits
from service.keys.ring import KeyRing
from service.keys.sessions import COOKIE, CSRF_HEADER, Session, Sessions, cookie_of, shows_csrf

HOW = "Send `Authorization: Bearer <key>`; in a browser, sign in at /login."


class Door:
    """What the guard knows: keys, sessions, limits, and the names that the gateway goes by."""

    def __init__(self, *, required: bool, names: OwnNames, ring: KeyRing, sessions: Sessions, limits: Limits) -> None:
        self.required = required
        """Whether requests need a key."""
        self.names = names
        self.ring = ring
        self.sessions = sessions
        self.limits = limits

    async def admit(self, method: str, headers: Mapping[bytes, bytes], opt: Mapping[str, Any]) -> Caller:
        """Who may go on to the handler. Raises Unauthorized, Forbidden, RateLimited."""
        allow: Allow | None = opt.get("allow")
        if allow is None:
            raise Forbidden("Nobody may use this route: it does not say who may.", "That is a fault; please report it.")
        if not self.required:
            self.names.refuse_strangers(method, headers)
            return ANYBODY
        if allow == "anybody":
            return NOBODY
        caller = await self._caller(method, headers)
        area: Area = opt.get("scope") or AREA_OF[allow]
        if not caller.may(allow):
            raise Forbidden(f"This needs the role {allow}, and this key has {caller.role}.", "Ask the operator.")
        if not caller.may_use(area):
            raise Forbidden(f"This key is not for the area {area!r}.", "Ask the operator for one whose scopes have it.")
        if caller.requests_per_minute or caller.tokens_per_minute:
            self.limits.admit(caller, tokens=area == "chat" and method == "POST")
        return caller

    def session(self, headers: Mapping[bytes, bytes]) -> Session | None:
        """The session that a browser's cookie names, while it and its key hold."""
        session = self.sessions.find(cookie_of(headers.get(b"cookie", b""), COOKIE))
        return session if session is not None and self.ring.get(session.key_id).live else None

    def check_page(self, session: Session, headers: Mapping[bytes, bytes]) -> None:
        """Raise Forbidden unless one of our own pages sent this. For what changes something and shows a cookie only."""
        self.names.refuse_other_sites(headers)
        if not shows_csrf(session, headers.get(CSRF_HEADER.encode(), b"")):
            raise Forbidden(
                "This came with a session's cookie, but without its X-CSRF-Token.",
                "Send the cookie ratchet_csrf's value in that header; programs send their key instead of a cookie.",
            )

    async def _caller(self, method: str, headers: Mapping[bytes, bytes]) -> Caller:
        token = shown_token(headers)
        if token:
            key = self.ring.recall(token) or await self.ring.prove(token)
            return key.check()
        session = self.session(headers)
        if session is None:
            raise Unauthorized("This gateway needs a key.", HOW)
        if method not in SAFE:
            self.check_page(session, headers)
        return self.ring.get(session.key_id).check()


class Guard:
    """The middleware: asks the door, and puts the caller where `caller_of` finds them."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method = str(scope.get("method", ""))
        if method == "OPTIONS":  # asks for nothing but the methods, of which Litestar's own answer forgets some
            await _list_methods(scope, send)
            return
        door: Door = scope["litestar_app"].state.parts.door
        opt = scope["route_handler"].opt
        scope[SCOPE_KEY] = await door.admit(method, dict(scope["headers"]), opt)  # type: ignore[literal-required]
        await self._app(scope, receive, send)


async def _list_methods(scope: Scope, send: Send) -> None:
    methods: set[str] = set()
    for route in scope["litestar_app"].routes:
        if isinstance(route, HTTPRoute) and route.path_format == scope["path_template"]:
            methods |= route.methods
    headers = [(b"allow", ", ".join(sorted(methods)).encode()), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 204, "headers": headers})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


def shown_token(headers: Mapping[bytes, bytes]) -> bytes:
    """The key that a request shows; empty where it shows none."""
    given = headers.get(b"authorization", b"")
    if given[:7].lower() == b"bearer ":
        return given[7:].strip()
    return headers.get(b"x-api-key", b"").strip()
