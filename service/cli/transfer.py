"""`ratchet import` and `ratchet export-feedback`: files through the gateway's API, streamed both ways."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec

from feedback.errors import InvalidInput, UpstreamBroke, UpstreamDown
from feedback.files import move_file
from feedback.operator_key import operator_headers
from service.cli.operations import gateway_url, refusal_of
from service.cli.settings import Settings

PIECE_BYTES = 256 << 10
TIMEOUT_S = httpx.Timeout(30.0, read=3600.0)
"""An import is answered once all of it is stored."""
COUNTS = ("turns", "ratings", "annotations", "preferences")


def import_feedback(settings: Settings, file: Path, asked: dict[str, str]) -> int:
    """`ratchet import`: 0 where every record was taken, 1 where some were refused; each is told by its line."""
    try:
        source = file.expanduser().open("rb")
    except OSError as error:
        raise InvalidInput(f"{file} can't be read: {error.strerror}.", "Name an existing file.") from error
    with source, _asking(settings, "POST", "/imports", asked, _pieces(source)) as answer:
        report = msgspec.json.decode(answer.read())
    for problem in report["problems"]:
        said = f"{problem['message']} {problem['mend']} [{problem['code']}]"
        print(f"{file}:{problem['line']}: {said}", file=sys.stderr)
    if (untold := report["failed"] - len(report["problems"])) > 0:
        print(f"… and {untold} more", file=sys.stderr)
    what = "would be added" if report["dry_run"] else "added"
    print(f"{report['records']} records: {', '.join(f'{report[name]} {name}' for name in COUNTS)} {what}; ", end="")
    print(f"{report['known']} known already, {report['failed']} refused")
    return 1 if report["failed"] else 0


def export_feedback(settings: Settings, to: Path, asked: dict[str, str]) -> int:
    """`ratchet export-feedback`: write a file, whole or not at all. Never overwrites."""
    to = to.expanduser().absolute()
    if to.exists():
        raise InvalidInput(f"{to} is there already.", "Name a file that does not exist: exports are never overwritten.")
    part = to.with_name(f".{to.name}.part")
    try:
        with _asking(settings, "GET", "/exports/feedback", asked) as answer, part.open("wb") as out:
            for data in answer.iter_bytes():
                out.write(data)
        move_file(part, to)
    finally:
        part.unlink(missing_ok=True)
    print(to)
    return 0


def _pieces(source: Any) -> Iterator[bytes]:
    while data := source.read(PIECE_BYTES):
        yield data


@contextlib.contextmanager
def _asking(
    settings: Settings, method: str, route: str, asked: dict[str, str], content: Iterator[bytes] | None = None
) -> Iterator[httpx.Response]:
    """The gateway's answer, while it comes. Raises its error as ours, UpstreamDown, UpstreamBroke."""
    url = gateway_url(settings)
    given = {name: value for name, value in asked.items() if value}
    headers = operator_headers(settings.store.data_dir)
    try:
        with httpx.stream(
            method, url + route, params=given, content=content, headers=headers, timeout=TIMEOUT_S
        ) as answer:
            if answer.is_error:
                raise refusal_of(answer.status_code, msgspec.json.decode(answer.read()))
            yield answer
    except httpx.ConnectError as error:
        raise UpstreamDown(f"No gateway answers at {url}.", "Start it with `ratchet up`.") from error
    except httpx.TransportError as error:
        raise UpstreamBroke(
            f"The transfer was cut ({type(error).__name__}).", "Start it again: what is there is not added twice."
        ) from error
