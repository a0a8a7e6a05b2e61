"""Who are you: asked once, on a gateway without keys, since work at the desks is somebody's."""

from __future__ import annotations

from typing import Any

from litestar import Response, get, post

from feedback.errors import Conflict
from service.labelling.people import NAME_LIMIT, NoPerson
from service.pages.forms import form_of, text
from service.pages.render import PAGE, PageRequest, page, person_cookie, shown_person, to_page
from service.pages.routes import own_path
from service.parts import parts_of


@get("/who", summary="Who are you", allow="annotator", **PAGE)
async def who_page(request: PageRequest) -> Response[Any]:
    """A form for a name; with keys there is nothing to ask."""
    after = own_path(request.query_params.get("next", ""), "/desks")
    if parts_of(request).door.required:
        return to_page(request, after)
    return page(request, "who.html", after=after, name=shown_person(request), limit=NAME_LIMIT)


@post("/who", summary="Say who you are", status_code=200, allow="annotator", **PAGE)
async def say_who(request: PageRequest) -> Response[Any]:
    """Keeps the name in a cookie for a year. Raises NoPerson, Conflict."""
    if parts_of(request).door.required:
        raise Conflict("This gateway knows people by their keys.", "Sign in with a key of your own.")
    form = await form_of(request)
    name = text(form, "name")
    if not name or len(name) > NAME_LIMIT or not name.isprintable():
        raise NoPerson("The name is none.", f"Write up to {NAME_LIMIT} characters that can be printed.")
    return to_page(request, own_path(text(form, "next"), "/desks"), [person_cookie(name)])
