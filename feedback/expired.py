"""Which turns retention removed that a snapshot may still hold, so that an erasure still finds whose they were.

A snapshot's rows name turns and no people. Once the store has forgotten a turn, only this list can tell that it was
somebody's: by a salted hash of the name, never by the name. Of turns that nobody judged no snapshot has rows, so they
are not in it. Formats only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from feedback.erasure import hash_of
from feedback.files import drop_cut_line, replace_file, whole_lines


class Expired(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `erasures/expired.jsonl`."""

    turn_id: str
    salt: str
    """The same for what was removed at one time."""
    whose_sha256: str


class ExpiredBook:
    """The list."""

    def __init__(self, data_dir: Path) -> None:
        self.file = data_dir / "erasures" / "expired.jsonl"

    def note(self, whose: Iterable[tuple[str, str]]) -> None:
        """Write down (turn's id, subject) of turns, durably, before they are removed."""
        salt = os.urandom(16).hex()
        lines = [Expired(turn_id=turn_id, salt=salt, whose_sha256=hash_of(salt, subject)) for turn_id, subject in whose]
        if not lines:
            return
        self.file.parent.mkdir(parents=True, exist_ok=True)
        drop_cut_line(self.file)
        with self.file.open("ab") as out:
            out.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
            out.flush()
            os.fsync(out.fileno())

    def of(self, subject: str) -> set[str]:
        """Ids of the turns that were this person's."""
        return {line.turn_id for line, theirs in self._lines(subject) if theirs}

    def forget(self, subject: str) -> None:
        """Take this person's lines out: no snapshot has their turns any more."""
        lines = self._lines(subject)
        kept = [line for line, theirs in lines if not theirs]
        if len(kept) < len(lines):
            replace_file(self.file, b"".join(msgspec.json.encode(line) + b"\n" for line in kept))

    def _lines(self, subject: str) -> list[tuple[Expired, bool]]:
        """Every line, and whether it is this person's. Hashed once for a salt, since many lines share it."""
        lines = [msgspec.json.decode(line, type=Expired) for line in whole_lines(self.file)]
        theirs = {salt: hash_of(salt, subject) for salt in {line.salt for line in lines}}
        return [(line, line.whose_sha256 == theirs[line.salt]) for line in lines]
