"""What is said of one route beside its code. Each room lists its own routes' with `ours`; `operations` joins them."""

from __future__ import annotations

from typing import Any

import msgspec

JSON, NDJSON, SSE = "application/json", "application/x-ndjson", "text/event-stream"
BYTES, ZIP, TEXT = "application/octet-stream", "application/zip", "text/plain"
HTML, CSS, JS = "text/html", "text/css", "text/javascript"
Status = int


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """One body: its content type, its shape (none: bytes or lines), an example."""

    type: str = JSON
    shape: Any = None
    example: Any = None


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """One route."""

    tag: str
    body: Body | None = None
    body_optional: bool = False
    answers: dict[Status, tuple[Body, ...]] = {}
    """Status → its bodies, one for each content type; no body at all for an empty one."""
    errors: tuple[Status, ...] = ()
    """Statuses beyond those that every route has."""
    headers: tuple[str, ...] = ()
    """Names of request headers that it takes: see `document`."""


def ours(
    tag: str,
    shape: Any,
    example: Any,
    *,
    body: Body | None = None,
    status: int = 200,
    errors: tuple[int, ...] = (),
    **more: Any,
) -> Operation:
    """A route that answers with one body of JSON."""
    return Operation(tag=tag, body=body, answers={status: (Body(shape=shape, example=example),)}, errors=errors, **more)
