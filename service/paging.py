"""Long lists in pages: `?cursor=…&limit=…`, answered with `items` and the cursor of the next page.

A cursor is the last item's sort key, so a page neither repeats nor leaves out what was there when the reading began,
however much is added meanwhile, and nothing is kept for it here. It is opaque: clients pass it back as it came.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import msgspec

from feedback.errors import InvalidInput

PAGE_LIMIT = 500
"""Most items in a page."""
CURSOR_LIMIT = 1024
"""Most characters of a cursor."""

Item = TypeVar("Item")


class Page(msgspec.Struct, Generic[Item], frozen=True, kw_only=True):
    """A part of a list."""

    items: list[Item]
    next_cursor: str | None
    """Send it as `cursor` for the next page; null on the last one."""


def check_limit(limit: int) -> int:
    """Raise InvalidInput unless a page may have so many."""
    if not 1 <= limit <= PAGE_LIMIT:
        raise InvalidInput(f"limit is {limit}, outside 1 to {PAGE_LIMIT}.", "Ask for less, and go on with the cursor.")
    return limit


def cursor_of(kind: str, key: str) -> str:
    """The cursor behind the item of that sort key, in a list of that kind."""
    return base64.urlsafe_b64encode(f"{kind}\n{key}".encode()).decode().rstrip("=")


def key_of(kind: str, cursor: str) -> str:
    """The sort key in a cursor; empty for the first page. Raises InvalidInput for a cursor of another list, or none."""
    if not cursor:
        return ""
    try:
        if len(cursor) > CURSOR_LIMIT:
            raise ValueError
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):  # UnicodeDecodeError among them
        text = ""
    found, _, key = text.partition("\n")
    if found != kind:
        raise InvalidInput("cursor is none of this list's.", "Send next_cursor as it came, or leave cursor out.")
    return key


def page_of(kind: str, found: Sequence[Item], limit: int, sort_key: Callable[[Item], str]) -> Page[Item]:
    """A page of items that were asked for one more than it may have: that one says that there is a next page."""
    items = list(found[:limit])
    more = len(found) > limit
    return Page(items=items, next_cursor=cursor_of(kind, sort_key(items[-1])) if more else None)


def page_behind(
    kind: str, items: Sequence[Item], cursor: str, limit: int, sort_key: Callable[[Item], str], *, newest: bool = False
) -> Page[Item]:
    """A page of a list that is at hand whole, ordered by its sort key, `newest` (greatest) first or last."""
    check_limit(limit)
    key = key_of(kind, cursor)
    if key:
        items = [item for item in items if (sort_key(item) < key if newest else sort_key(item) > key)]
    return page_of(kind, items[: limit + 1], limit, sort_key)
