"""Pages that the server writes: Jinja's templates in English or Chinese, whole or as a part that htmx swaps in.

A room's own page extends `base.html`, lies in its `templates/` folder, and is served by a handler that carries `PAGE`:

    @get("/quality", summary="…", allow="operator", **PAGE)
    async def quality_page(request: PageRequest) -> Response[str]:
        return page(request, "quality.html", here="/quality", figures=…)

Its words stand in both languages where they are used: `{{ t("Accept", "采纳") }}`. Values are escaped unless a template
says `|safe`, which only what we rendered ourselves may. Must never: let a page fetch or run anything that is not ours
(the policy in HEADERS; no inline script or style), nor say more of an error than `service.errors` does.
"""

from __future__ import annotations

import datetime as dt
import functools
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlencode, urlsplit

import jinja2
import msgspec
from litestar import Response
from litestar.datastructures import Cookie
from litestar.exceptions import HTTPException
from litestar.plugins.htmx import HTMXRequest
from litestar.response import Redirect

from service.callers import SCOPE_KEY, Allow, Caller, caller_of
from service.errors import failure_of, log_unforeseen, to_response
from service.keys.guard import shown_token
from service.pages.changes import changes
from service.pages.labels import LABELS, name_of, sentence_of
from service.pages.routes import HEADERS, page_language

PageRequest = HTMXRequest
HTML = "text/html; charset=utf-8"
PAGE_HEADERS = {
    **HEADERS,
    "content-security-policy": HEADERS["content-security-policy"].replace("form-action 'none'", "form-action 'self'"),
    "cache-control": "no-store",
}
LANGUAGE_COOKIE = "ratchet_language"
PERSON_COOKIE = "ratchet_person"
SHIFT_COOKIE = "ratchet_minutes"
YEAR_S = 365 * 86_400
ROOMS_FOLDER = Path(__file__).parent.parent


class Room(msgspec.Struct, frozen=True, kw_only=True):
    """A page that the frame links to."""

    path: str
    english: str
    chinese: str
    allow: Allow


ROOMS = (
    Room(path="/", english="Chat", chinese="聊天", allow="user"),
    Room(path="/annotate", english="Annotate", chinese="标注", allow="annotator"),
    Room(path="/review", english="Review", chinese="复核", allow="reviewer"),
    Room(path="/expert", english="Decide", chinese="裁决", allow="expert"),
    Room(path="/quality", english="Quality", chinese="质量", allow="operator"),
    Room(path="/measures", english="Measures", chinese="指标", allow="operator"),
)


def page(request: PageRequest, template: str, *, here: str = "", status: int = 200, **values: Any) -> Response[str]:
    """A whole page. `here` is the room that it belongs to, by its path."""
    caller = caller_of(request)
    shown = {
        **values,
        "here": here,
        "person": values.get("person") or shown_person(request),
        "other_language": _in_the_other(request),
        "rooms": [room for room in ROOMS if caller.may(room.allow)],
    }
    return part(request, template, status=status, **shown)


def part(request: PageRequest, template: str, *, status: int = 200, **values: Any) -> Response[str]:
    """A template as it stands: what htmx puts into a page that is there already."""
    language = language_of(request)
    text = (
        _environment()
        .get_template(template)
        .render(
            {
                **values,
                "language": language,
                "t": in_language(language),
                "named": functools.partial(name_of, language),
                "local": functools.partial(_local, shift_of(request)),
                "caller": caller_of(request),
            }
        )
    )
    return Response(text, status_code=status, headers=PAGE_HEADERS, cookies=_chosen(request), media_type=HTML)


def language_of(request: PageRequest) -> str:
    """`zh` or `en`: what `?lang=` or the cookie that it left says, else what the browser prefers."""
    for said in (request.query_params.get("lang"), request.cookies.get(LANGUAGE_COOKIE)):
        if said in ("zh", "en"):
            return str(said)
    return page_language(request.headers.get("accept-language", ""))


def in_language(language: str) -> Callable[[str, str], str]:
    """`t(english, chinese)` of one language."""
    return (lambda english, chinese: chinese) if language == "zh" else (lambda english, chinese: english)


def shift_of(request: PageRequest) -> dt.timedelta:
    """How far the browser's clock is from UTC, as its page left it in a cookie; none: as UTC."""
    said = request.cookies.get(SHIFT_COOKIE, "")
    minutes = int(said) if re.fullmatch(r"-?\d{1,3}", said) else 0
    return dt.timedelta(minutes=minutes)


def shown_person(request: PageRequest) -> str:
    """Whose page it is, for its head; empty where nobody knows. Who may do what is decided elsewhere."""
    caller = caller_of(request)
    if caller.key_id:
        return caller.subject
    return unquote(request.headers.get("x-person", "") or request.cookies.get(PERSON_COOKIE, ""))


def person_cookie(person: str) -> Cookie:
    """Who somebody says they are, on a gateway without keys."""
    return Cookie(key=PERSON_COOKIE, value=quote(person), max_age=YEAR_S, httponly=False, samesite="lax")


def to_page(request: PageRequest, path: str, cookies: list[Cookie] | None = None) -> Response[Any]:
    """Lead on to another page, by htmx's own header where htmx asked."""
    if request.htmx:
        headers = {"hx-redirect": path, "cache-control": "no-store"}
        return Response("", headers=headers, cookies=cookies, media_type=HTML)
    return Redirect(path, status_code=303, headers={"cache-control": "no-store"}, cookies=cookies)


def trouble(request: PageRequest, error: Exception) -> Response[Any]:
    """What a page says of an error; who is not signed in is led to the sign-in page and back."""
    request = HTMXRequest(request.scope, request.receive)  # Litestar hands its own plain one to who handles errors
    failure = failure_of(error)
    if failure.code == "internal":
        log_unforeseen(error)
    if failure.status == 401 and not shown_token(dict(request.scope["headers"])):
        asked = urlsplit(request.headers.get("hx-current-url", "")).path if request.htmx else request.url.path
        return to_page(request, f"/login?next={quote(asked or '/')}")
    request.scope.setdefault(SCOPE_KEY, Caller())  # type: ignore[misc]
    sentence = sentence_of(language_of(request), failure)
    if request.htmx:
        return part(request, "trouble_part.html", status=failure.status, sentence=sentence)
    return page(request, "trouble.html", status=failure.status, sentence=sentence)


def wants_page(request: PageRequest) -> bool:
    """Browsers ask for HTML by name, programs don't."""
    return "text/html" in request.headers.get("accept", "")


def _trouble_in_kind(request: PageRequest, error: Exception) -> Response[Any]:
    return trouble(request, error) if wants_page(request) else to_response(request, error)


PAGE_OR_JSON: dict[str, Any] = {"request_class": HTMXRequest, "exception_handlers": {Exception: _trouble_in_kind}}
"""What a handler carries that answers browsers with a page and programs with JSON, as `wants_page` says."""
VARY = {"vary": "Accept", "cache-control": "no-store"}
"""Headers of its JSON."""
PAGE: dict[str, Any] = {
    "include_in_schema": False,
    "request_class": HTMXRequest,
    "exception_handlers": {Exception: trouble, HTTPException: trouble},
}
"""What every page's handler carries beside its own `summary` and `allow`."""


def _in_the_other(request: PageRequest) -> str:
    """The query by which this page, as it stands, is shown in the other language."""
    asked = {name: value for name, value in request.query_params.items() if name != "lang"}
    return "?" + urlencode({**asked, "lang": "en" if language_of(request) == "zh" else "zh"})


def _local(shift: dt.timedelta, at: dt.datetime, form: str = "%m-%d %H:%M") -> str:
    """A time as the clock on the wall says it."""
    return (at.astimezone(dt.UTC) + shift).strftime(form)


def _chosen(request: PageRequest) -> list[Cookie]:
    """Keeps the language that was just chosen."""
    said = request.query_params.get("lang")
    if said not in ("zh", "en"):
        return []
    return [Cookie(key=LANGUAGE_COOKIE, value=said, max_age=YEAR_S, httponly=False, samesite="lax")]


@functools.cache
def _environment() -> jinja2.Environment:
    folders = [ROOMS_FOLDER / room / "templates" for room in ("pages", "quality", "measures")]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.globals.update(changes=changes, labels=LABELS)
    return environment
