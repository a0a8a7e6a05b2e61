"""What people at the desks have filled in and not sent: a small file for each item and person.

    drafts/<item_id>.<hash of the person's name>.json

Kept until it is sent, so that neither a closed browser nor a lease that ran out costs anybody their words; a month at
most. It holds text about a turn, so it goes with the turn and with its person (`clear_drafts`, from erasures).
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from feedback.files import replace_file
from feedback.labelling.task import Draft
from feedback.mint import now

KEPT = dt.timedelta(days=30)


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A draft as its file has it."""

    turn_id: str
    item_id: str
    at: dt.datetime
    draft: Draft


class Drafts:
    """The folder. `item_id` is always one that the store knows, never what somebody sent."""

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "drafts"

    def read(self, item_id: str, person: str) -> Draft | None:
        """What they had filled in. A file that was damaged is as good as none."""
        kept = _read(self._file(item_id, person))
        return kept.draft if kept is not None else None

    def write(self, turn_id: str, item_id: str, person: str, draft: Draft) -> None:
        """Put it in place of the one before, durably. Raises OSError."""
        kept = Kept(turn_id=turn_id, item_id=item_id, at=now(), draft=draft)
        replace_file(self._file(item_id, person), msgspec.json.encode(kept))

    def remove(self, item_id: str, person: str) -> None:
        """It was sent, or is not wanted."""
        self._file(item_id, person).unlink(missing_ok=True)

    def items_of(self, person: str) -> list[str]:
        """Items for which this person has a draft, the one that was written last first."""
        files = sorted(self._folder.glob(f"*.{_hash(person)}.json"), key=lambda file: file.stat().st_mtime)
        return [file.name.partition(".")[0] for file in reversed(files)]

    def drop_old(self) -> int:
        """Remove those that nobody has touched for a month; gives how many. Raises OSError."""
        oldest = (now() - KEPT).timestamp()
        old = [file for file in self._folder.glob("*.json") if file.stat().st_mtime < oldest]
        for file in old:
            file.unlink(missing_ok=True)
        return len(old)

    def _file(self, item_id: str, person: str) -> Path:
        return self._folder / f"{item_id}.{_hash(person)}.json"


def clear_drafts(data_dir: Path, turn_ids: set[str], person: str = "") -> int:
    """Remove the drafts about these turns, and those of this person; gives how many. Raises OSError."""
    theirs = f".{_hash(person)}.json" if person else ""
    gone = 0
    for file in _files(data_dir / "drafts"):
        kept = None if theirs and file.name.endswith(theirs) else _read(file)
        if kept is None or kept.turn_id in turn_ids:  # one that can't be read may be about anybody
            file.unlink(missing_ok=True)
            gone += 1
    return gone


def _files(folder: Path) -> Iterator[Path]:
    """Also what a kill left half written."""
    yield from folder.glob("*.json")
    yield from folder.glob(".*.part")


def _read(file: Path) -> Kept | None:
    try:
        return msgspec.json.decode(file.read_bytes(), type=Kept)
    except (FileNotFoundError, msgspec.DecodeError):
        return None


def _hash(person: str) -> str:
    """A name of any script and length as a part of a file's name."""
    return hashlib.sha256(person.encode()).hexdigest()[:32]
