"""A project's guideline as a page: the version that holds, or an older one, and the images that a turn carried.

Markdown is rendered without raw HTML; what a guideline links to opens elsewhere, and nothing is fetched from there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from litestar import Response, get
from litestar.params import FromPath, FromQuery
from markdown_it import MarkdownIt
from markupsafe import Markup

from feedback.errors import NotFound
from feedback.labelling.records import Guideline
from feedback.store.database import Store
from feedback.store.tables import GUIDELINES
from service.chat.attachments import is_image
from service.pages.render import PAGE, PageRequest, page
from service.pages.routes import HEADERS
from service.parts import AnyRequest, parts_of

IMAGE_TYPES = {b"\x89": "image/png", b"\xff": "image/jpeg", b"G": "image/gif", b"R": "image/webp"}
_MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("image")


class UnknownImage(NotFound):
    code = "unknown-image"


@get("/guide/{project:str}", summary="A project's guideline as a page", allow="annotator", **PAGE)
async def guide_page(request: PageRequest, project: FromPath[str], version: FromQuery[int] = 0) -> Response[Any]:
    """The version that holds, or the one that was asked for; experts may write the next one here."""
    known = await asyncio.to_thread(_versions, parts_of(request).store, project)
    shown = next((one for one in known if one.version == version), known[0] if known else None)
    return page(
        request,
        "guide.html",
        here="/guide",
        project=project,
        versions=known,
        shown=shown,
        body=Markup(_MARKDOWN.render(shown.text)) if shown else "",
    )


@get(
    "/desks/images/{turn_id:str}/{number:str}", summary="An image of a turn", include_in_schema=False, allow="annotator"
)
async def turn_image(request: AnyRequest, turn_id: FromPath[str], number: FromPath[str]) -> Response[bytes]:
    """The image of that number, from 1. Raises UnknownTurn, UnknownImage."""
    parts = parts_of(request)
    turn = await asyncio.to_thread(parts.store.turn, turn_id)
    if number not in map(str, range(1, len(turn.attachments) + 1)):
        raise UnknownImage("This turn has no such image.", f"It has {len(turn.attachments)}.")
    data = await asyncio.to_thread(_image, parts.data_dir / "attachments" / turn.attachments[int(number) - 1])
    return Response(data, headers={**HEADERS, "cache-control": "private, max-age=600"}, media_type=_type(data))


def projects(store: Store) -> list[str]:
    """Those that have a guideline, by name."""
    with store.reader() as cursor:
        return [row[0] for row in cursor.execute("SELECT DISTINCT project FROM guidelines ORDER BY 1").fetchall()]


def _versions(store: Store, project: str) -> Sequence[Guideline]:
    """Newest first."""
    return store.rows(GUIDELINES, "WHERE project = ? ORDER BY version DESC", [project])


def _image(path: Path) -> bytes:
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise UnknownImage("This image is no longer kept.", "It was erased with whoever sent it.") from error
    if not is_image(data):
        raise UnknownImage("This attachment is no image that a browser shows.", "Read the turn by the API.")
    return data


def _type(data: bytes) -> str:
    return IMAGE_TYPES[data[:1]]
