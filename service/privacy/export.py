"""One person's data as a ZIP file: everything that the store has of them, one JSON object a line.

    README.txt           what is what
    turns.jsonl          their turns, as GET /turns/{turn_id} gives them
    ratings.jsonl        ratings of their turns, and those that they gave
    annotations.jsonl    annotations of their turns, and those that they gave
    preferences.jsonl …  whatever else there is of the kind, in the tables' own names
    attachments/<sha256> what their turns name, as it came

Rows and files go through in small pieces, so that a person with a million turns costs no more memory than one with ten.
All of it is one state of the store. The file has no name on the disk: nothing is left of it when the answer has been
sent, or the process has died.
"""

from __future__ import annotations

import datetime as dt
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import duckdb
import msgspec

from feedback.mint import now
from feedback.store.database import Store
from feedback.store.table import Table
from feedback.store.tables import ANNOTATIONS, KEYED, RATINGS, TABLES, TURNS

ROWS = 256
"""Rows that are in memory at a time."""
CHUNK_BYTES = 256 * 1024
OTHERS = [
    table for table in TABLES if (table.by or table.of_turns) and table not in (TURNS, RATINGS, ANNOTATIONS, KEYED)
]
THEIRS = "turn_id IN (SELECT turn_id FROM turns WHERE subject = $whose)"
README = """What Ratchet's store has of one person, {at:%Y-%m-%d %H:%M} UTC.

Subject: {subject}

turns.jsonl        {turns} turns: prompt with its history, reply, time, version, word hits (rule and place)
ratings.jsonl      {ratings} ratings of these turns by anybody, and ratings by this person of any turn
annotations.jsonl  {annotations} annotations of these turns by anybody, and annotations by this person of any turn
attachments/       {attachments} files that the turns name, by the SHA-256 of their content
{others}

One JSON object a line, UTF-8, times in UTC (RFC 3339). turn_id joins the three. Snapshots that models were trained on
hold copies of some of these turns and nothing else.
"""


def write_export(store: Store, data_dir: Path, subject: str) -> IO[bytes]:
    """The ZIP, at its beginning; closing it deletes it. Raises OSError, StoreUnavailable."""
    file = tempfile.TemporaryFile(dir=data_dir)  # noqa: SIM115  whoever sends it closes it
    try:
        with store.reader() as cursor, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            names: set[str] = set()
            counts = {
                "turns": _table(archive, cursor, TURNS, "subject = $whose", subject, names),
                "ratings": _table(archive, cursor, RATINGS, f"rater = $whose OR {THEIRS}", subject, names),
                "annotations": _table(archive, cursor, ANNOTATIONS, f"annotator = $whose OR {THEIRS}", subject, names),
                "attachments": sum(_attachment(archive, data_dir / "attachments", name) for name in sorted(names)),
            }
            others = {table.name: _table(archive, cursor, table, _whose(table), subject, names) for table in OTHERS}
            lines = [f"{name}.jsonl: {count}, of these turns or by this person" for name, count in others.items()]
            archive.writestr("README.txt", README.format(at=now(), subject=subject, others="\n".join(lines), **counts))
        file.seek(0)
    except BaseException:  # interrupted as well: nobody else closes it
        file.close()
        raise
    return file


def _whose(table: Table[Any]) -> str:
    """Which rows of a table are about this person's turns, or by this person."""
    return " OR ".join([f"{table.by} = $whose"] * bool(table.by) + [THEIRS] * table.of_turns)


def chunks(file: IO[bytes]) -> Iterator[bytes]:
    """The file in pieces; it is closed at the end, and when nobody wants more of it."""
    with file:
        while data := file.read(CHUNK_BYTES):
            yield data


def _table(
    archive: zipfile.ZipFile,
    cursor: duckdb.DuckDBPyConnection,
    table: Table[Any],
    condition: str,
    subject: str,
    attachments: set[str],
) -> int:
    count = 0
    entry = zipfile.ZipInfo(f"{table.name}.jsonl", _zip_time())
    entry.compress_type = zipfile.ZIP_DEFLATED
    with archive.open(entry, "w", force_zip64=True) as out:
        cursor.execute(f"{table.select} WHERE {condition}", {"whose": subject})
        while rows := cursor.fetchmany(ROWS):
            items = [table.item(row) for row in rows]
            out.write(b"".join(msgspec.json.encode(item) + b"\n" for item in items))
            attachments.update(name for item in items for name in getattr(item, "attachments", ()))
            count += len(items)
    return count


def _attachment(archive: zipfile.ZipFile, folder: Path, name: str) -> int:
    """0 where the file is gone: the rest of the export is still theirs to have."""
    path = folder / Path(name).name
    if not path.is_file():
        return 0
    entry = zipfile.ZipInfo(f"attachments/{path.name}", _zip_time())
    with path.open("rb") as source, archive.open(entry, "w", force_zip64=True) as out:
        shutil.copyfileobj(source, out, CHUNK_BYTES)
    return 1


def _zip_time() -> tuple[int, int, int, int, int, int]:
    at: dt.datetime = now()
    return at.year, at.month, at.day, at.hour, at.minute, at.second
