"""What operators asked of the learner, as a list: the files that wait, and those that it has done."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Literal

import msgspec
from litestar import get
from litestar.params import FromQuery

from learner.records import Request, RequestResult
from service.paging import Page, page_behind
from service.parts import AnyRequest, parts_of


class RequestListed(msgspec.Struct, frozen=True, kw_only=True):
    """A request in the list of them."""

    request: Request
    state: Literal["waiting", "done"]
    result: RequestResult | None = None


@get("/requests", summary="Requests to the learner, newest first", allow="operator")
async def read_requests(
    request: AnyRequest, cursor: FromQuery[str] = "", limit: FromQuery[int] = 50
) -> Page[RequestListed]:
    """A page of `limit` (1 to 500) requests, those that wait and those that are done."""
    folder = parts_of(request).data_dir / "requests"
    ids = await asyncio.to_thread(_ids, folder)
    page = page_behind("requests", ids, cursor, limit, str, newest=True)
    found = await asyncio.to_thread(lambda: [_listed(folder, one) for one in page.items])
    return Page(items=[one for one in found if one is not None], next_cursor=page.next_cursor)


def _ids(folder: Path) -> list[str]:
    """Newest first: ids sort by time."""
    waiting = {file.stem for file in folder.glob("request-*.json")}
    done = {file.stem for file in (folder / "done").glob("request-*.json") if not file.stem.endswith(".result")}
    return sorted(waiting | done, reverse=True)


def _listed(folder: Path, request_id: str) -> RequestListed | None:
    """One request and its result; none for a file that was never a request, or went away just now."""
    result = folder / "done" / f"{request_id}.result.json"
    for file in (folder / f"{request_id}.json", folder / "done" / f"{request_id}.json"):
        with contextlib.suppress(FileNotFoundError, msgspec.DecodeError):
            wish = msgspec.json.decode(file.read_bytes(), type=Request)
            if not result.is_file():
                return RequestListed(request=wish, state="waiting")
            told = msgspec.json.decode(result.read_bytes(), type=RequestResult)
            return RequestListed(request=wish, state="done", result=told)
    return None
