"""The folder of requests: what operators want of the learner, as files that the gateway drops and the daemon takes up.

`requests/<id>.json`, taken in the order of their ids, which is that of their time. A request that is done moves to
`requests/done/` with its result beside it; the result is written first, so that one whose daemon died in between is
known as done. What must never happen: a request lost, or one done twice after its result stands.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from feedback.errors import RatchetError
from feedback.files import replace_file, sync_folder
from feedback.mint import now
from learner.records import Request, RequestResult


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """One file that waits; `request` is none where it can't be read."""

    path: Path
    request: Request | None

    @property
    def request_id(self) -> str:
        return self.path.stem


class Requests:
    """The folder. One daemon takes from it; anybody may drop a file into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done = folder / "done"

    def drop(self, request: Request) -> Path:
        """Ask for something: the file is there whole, or not at all."""
        path = self.folder / f"{request.request_id}.json"
        replace_file(path, msgspec.json.encode(request))
        return path

    def waiting(self) -> list[Waiting]:
        """What waits, oldest first. A request whose result stands already is moved away, and not given again."""
        found = []
        for path in sorted(self.folder.glob("request-*.json")):
            if self._result_file(path.stem).exists():
                self._move(path)
                continue
            try:
                request = msgspec.json.decode(path.read_bytes(), type=Request)
            except FileNotFoundError:
                continue  # taken back by whoever dropped it
            except (msgspec.DecodeError, msgspec.ValidationError):
                request = None
            found.append(Waiting(path=path, request=request))
        return found

    def finish(self, waiting: Waiting, *, ok: bool, detail: dict[str, Any]) -> None:
        """Write the result, then move the request away."""
        result = RequestResult(request_id=waiting.request_id, at=now(), ok=ok, detail=detail)
        replace_file(self._result_file(waiting.request_id), msgspec.json.format(msgspec.json.encode(result), indent=2))
        self._move(waiting.path)

    def fail(self, waiting: Waiting, error: RatchetError) -> None:
        """Finish one with an error's code, message and mend."""
        self.finish(waiting, ok=False, detail={"code": error.code, "message": error.message, "mend": error.mend})

    def result(self, request_id: str) -> RequestResult | None:
        """What came of a request; none while it waits."""
        try:
            return msgspec.json.decode(self._result_file(request_id).read_bytes(), type=RequestResult)
        except FileNotFoundError:
            return None

    def _result_file(self, request_id: str) -> Path:
        return self.done / f"{request_id}.result.json"

    def _move(self, path: Path) -> None:
        self.done.mkdir(parents=True, exist_ok=True)
        os.replace(path, self.done / path.name)
        sync_folder(self.folder)
