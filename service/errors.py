"""How an error becomes HTTP: one table from class to status, one body in each dialect's own words.

Everything that a client can be told goes through `failure_of`: our own tree, Litestar's HTTPException, and what nobody
foresaw, which becomes `internal` and is logged by its type and place only. Must never put an exception's own text into
an answer or a log unless it is a RatchetError: it may hold what people wrote.
"""

from __future__ import annotations

import logging
import re
import traceback
from typing import Any, Literal

import msgspec
from litestar import Litestar, Request, Response
from litestar.exceptions import HTTPException
from litestar.routes import HTTPRoute

from feedback import errors
from feedback.errors import RatchetError
from learner.alias import AliasCorrupt

log = logging.getLogger(__name__)

Speech = Literal["ollama", "openai", "ours"]
"""Whose error shape a client expects."""

STATUS: dict[type[RatchetError], int] = {
    errors.InvalidInput: 400,
    errors.IdempotencyMismatch: 422,
    errors.BodyTooLarge: 413,
    errors.MethodNotAllowed: 405,
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Unauthorized: 401,
    errors.Forbidden: 403,
    errors.Unavailable: 503,
    errors.UpstreamBroke: 502,
    errors.UpstreamRefused: 502,
    errors.Overloaded: 429,
    errors.RateLimited: 429,
    AliasCorrupt: 503,
    errors.CycleFailed: 500,
    RatchetError: 500,
}
"""Class → status; a class that is not here has its nearest ancestor's."""

RETRY_AFTER_S = {"store-busy": 1, "upstream-down": 5, "overloaded": 2, "measures-not-ready": 2}
"""Code → seconds after which asking again may help, for the `Retry-After` header."""

OPENAI_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """An error as a client is told it."""

    status: int
    code: str
    message: str
    mend: str
    headers: dict[str, str] = {}

    def body(self, speech: Speech) -> dict[str, Any]:
        """The body in one dialect; the same code, sentence and mend in each."""
        sentence = f"{self.message} {self.mend}".strip()
        match speech:
            case "ollama":  # its clients read `error` as a string
                return {"error": sentence, "code": self.code, "mend": self.mend}
            case "openai":
                kind = OPENAI_TYPES.get(self.status, "server_error" if self.status >= 500 else "invalid_request_error")
                told = {"message": sentence, "type": kind, "param": None, "code": self.code, "mend": self.mend}
                return {"error": told}
            case "ours":
                return {"error": {"code": self.code, "message": self.message, "mend": self.mend}}


def speech_of(path: str) -> Speech:
    """Whose words to use, by the path that was asked for."""
    if path.startswith("/api/"):
        return "ollama"
    return "openai" if path.startswith("/v1/") else "ours"


def failure_of(error: BaseException) -> Failure:
    """What a client is told of this error."""
    if isinstance(error, HTTPException):
        error = translated(error)
    if not isinstance(error, RatchetError):
        return Failure(
            status=500,
            code="internal",
            message="The gateway failed in a way that nobody foresaw.",
            mend="Its log names the place; please report it.",
        )
    status = next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)
    if isinstance(error, errors.UpstreamRefused) and (400 <= error.status < 500 or error.status == 501):
        status = error.status if error.status != 404 else status  # the client's own doing; a missing tag (404) is ours
    wait = error.retry_after_s if isinstance(error, errors.RateLimited) else RETRY_AFTER_S.get(error.code)
    headers = {"retry-after": str(wait)} if wait is not None else {}
    if status == 401:
        headers["www-authenticate"] = 'Bearer realm="ratchet"'
    return Failure(status=status, code=error.code, message=error.message, mend=error.mend, headers=headers)


def translated(error: HTTPException) -> RatchetError:
    """Litestar's own exceptions in our words."""
    match error.status_code:
        case 404:
            return errors.UnknownRoute("There is nothing at this path.", "GET /schema/openapi.json lists every route.")
        case 405:
            return errors.MethodNotAllowed(
                "This path does not take that method.", "The Allow header lists those it takes."
            )
        case 413:
            return errors.BodyTooLarge(
                "The body is larger than the gateway takes.", "Send less, or raise gateway.body_limit_bytes."
            )
        case status if status < 500:
            return errors.MalformedBody("The request is not in the shape that this route takes.", _shape_mend(error))
        case _:
            return RatchetError("The gateway failed in a way that nobody foresaw.", "Its log names the place.")


def _shape_mend(error: HTTPException) -> str:
    """Names of the parameters that Litestar refused, which it lists in `extra`; never their values."""
    extra = error.extra if isinstance(error.extra, list) else []
    keys = [str(item["key"]) for item in extra if isinstance(item, dict) and "key" in item]
    return f"Mend {', '.join(keys)}: GET /schema/openapi.json has the shape." if keys else "See /schema/openapi.json."


def to_response(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's exception handler for every exception there is."""
    failure = failure_of(error)
    if failure.code == "internal":
        log_unforeseen(error)
    headers = dict(failure.headers)
    if failure.status == 405:
        headers["allow"] = ", ".join(methods_at(request.app, request.url.path))
    return Response(
        msgspec.json.encode(failure.body(speech_of(request.url.path))),
        status_code=failure.status,
        headers=headers,
        media_type="application/json",
    )


def methods_at(app: Litestar, path: str) -> list[str]:
    """The methods that a path takes; Litestar's own exception does not say."""
    found: set[str] = set()
    for route in app.routes:
        pattern = re.sub(r"\\\{.*?\\\}", "[^/]+", re.escape(route.path_format))
        if isinstance(route, HTTPRoute) and re.fullmatch(pattern, path):
            found |= set(route.methods)
    return sorted(found)


def log_unforeseen(error: BaseException) -> None:
    """Type and place, never the message: it may hold what people wrote."""
    frames = traceback.extract_tb(error.__traceback__)
    places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames[-8:]]
    log.error("unforeseen", extra={"fields": {"type": type(error).__qualname__, "places": places}})
