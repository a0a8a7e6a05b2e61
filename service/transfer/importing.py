"""Importing a file as it comes: cut into records, a batch at a time in one transaction.

    pieces ─► records ─► entries ─► known already? ─► words ─► rows ─► one commit a batch

A record is taken whole or not at all, and one that is refused is told by its line. Nothing is remembered but the record
under way, the batch and the first hundred refusals. The same file again adds nothing, so an import that was cut is
simply sent once more. Batches of all imports go one after another: between looking and committing nobody else may add
the same. Must never stop because of one bad record, nor hold the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from feedback.annotations import Annotation, Tier
from feedback.errors import InvalidInput
from feedback.formats.entries import Entry, InvalidRecord
from feedback.formats.registry import format_of
from feedback.formats.splitting import Raw, Splitter
from feedback.mint import now
from feedback.preferences import Preference
from feedback.ratings import Rating
from feedback.store.database import Store
from service.commits import committed
from service.transfer.batch import Batch, Problem, is_turn, table_of
from service.transfer.known import Known
from service.transfer.making import (
    Origin,
    Spot,
    annotation_of,
    comparison,
    key_of,
    preference_of,
    rating_of,
    rival_of,
    turn_of,
)
from service.words.book import WordBook

BATCH_RECORDS = 256
BATCH_BYTES = 2 << 20
"""A batch ends with whichever comes first."""
PIECE_BYTES = 256 << 10
PROBLEMS_TOLD = 100
"""Refusals that are told in full; the others are counted."""


class ImportReport(msgspec.Struct, kw_only=True):
    """What became of a file."""

    format: str
    dry_run: bool
    records: int = 0
    turns: int = 0
    """Added, as the other three."""
    ratings: int = 0
    annotations: int = 0
    preferences: int = 0
    known: int = 0
    """Records that added nothing: all of it was there."""
    failed: int = 0
    """Records that were refused."""
    problems: list[Problem] = []
    """The first hundred of these."""


class Importer:
    """One import."""

    def __init__(
        self, store: Store, words: WordBook, gate: asyncio.Lock, origin: Origin, tier: Tier, *, dry_run: bool
    ) -> None:
        """`gate`: held for each batch. Raises InvalidInput for a format that is none."""
        self._store = store
        self._words = words
        self._gate = gate
        self._origin = origin
        self._tier = tier
        self._format = format_of(origin.format)
        self.report = ImportReport(format=origin.format, dry_run=dry_run)

    async def run(self, pieces: AsyncIterator[bytes]) -> ImportReport:
        """Import all of it. Raises StoreUnavailable, StoreBusy; what was committed until then stays."""
        splitter, waiting, piece = Splitter(), list[Raw](), bytearray()
        async for data in pieces:
            piece += data
            if len(piece) >= PIECE_BYTES:
                waiting = await self._full(waiting + await asyncio.to_thread(splitter.feed, bytes(piece)))
                piece.clear()
        waiting += await asyncio.to_thread(splitter.feed, bytes(piece))
        waiting = await self._full(waiting + splitter.end())
        if waiting:
            await self._batch(waiting)
        return self.report

    async def _full(self, waiting: list[Raw]) -> list[Raw]:
        """Store every full batch; what is left."""
        batch, size = list[Raw](), 0
        for raw in waiting:
            batch.append(raw)
            size += len(raw.data)
            if len(batch) >= BATCH_RECORDS or size >= BATCH_BYTES:
                await self._batch(batch)
                batch, size = [], 0
        return batch

    async def _batch(self, raws: Sequence[Raw]) -> None:
        # Shielded: whoever hangs up does so between two batches, not between looking and committing.
        await asyncio.shield(asyncio.ensure_future(self._store_batch(raws)))

    async def _store_batch(self, raws: Sequence[Raw]) -> None:
        async with self._gate:
            batch = await asyncio.to_thread(self._prepare, raws)
            if batch.rows and not self.report.dry_run:
                await committed(await asyncio.to_thread(batch.add, self._store))
                await asyncio.to_thread(batch.take_back_orphans, self._store)
        report = self.report
        for name, count in batch.counts.items():
            setattr(report, name, getattr(report, name) + count)
        report.problems += batch.problems[: PROBLEMS_TOLD - len(report.problems)]

    def _prepare(self, raws: Sequence[Raw]) -> Batch:
        batch = Batch()
        read: list[tuple[Raw, list[Entry]]] = []
        for raw in raws:
            try:
                read.append((raw, self._read(raw)))
            except InvalidInput as error:
                batch.refuse(raw, error)
        known = Known(self._store, (key for _, entries in read for key in _keys(entries)))
        for raw, entries in read:
            try:
                batch.take(self._rows(entries, known))
            except InvalidInput as error:
                batch.refuse(raw, error)
        batch.about = known.stored
        batch.count("records", len(raws))
        return batch

    def _read(self, raw: Raw) -> list[Entry]:
        if raw.wrong:
            raise InvalidRecord(raw.wrong, "Mend the file there.")
        try:
            record = msgspec.json.decode(raw.data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
            raise InvalidRecord("The record is not JSON in UTF-8.", "One object a line, or one array.") from problem
        if not isinstance(record, dict):
            raise InvalidRecord("The record is no object.", "One object a line, or one array of objects.")
        entries = self._format.read(record, self._tier)
        _keys(entries)
        return entries

    def _rows(self, entries: Sequence[Entry], known: Known) -> list[Any]:
        """What a record adds; all of it is known from then on. Raises InvalidInput, and then nothing is."""
        rows: list[Any] = []
        turns: dict[str, str] = {}
        for entry in entries:
            spot = self._turn(entry, known, turns, rows)
            words = self._words
            verdicts: list[tuple[Rating | Annotation | Preference, bool]] = [
                *((rating_of(words, one, spot), bool(one.rating_id)) for one in entry.ratings),
                *((annotation_of(words, one, spot), bool(one.annotation_id)) for one in entry.annotations),
                *((preference_of(words, one, spot), True) for one in entry.preferences),
            ]
            if entry.rival is not None:
                other = self._turn(rival_of(entry, entry.rival), known, turns, rows)
                verdicts.append((comparison(entry.rival, spot, other.turn_id), False))
            rows += [one for one, by_id_only in verdicts if not known.has(one, by_id_only=by_id_only)]
        # By id, so that none is there twice; this raises for what can't be stored, while it is one record's fault.
        rows = list({table_of(row).row(row)[0]: row for row in rows}.values())
        for key, turn_id in turns.items():
            known.take(key, turn_id)
        for row in rows:
            if not is_turn(row):
                known.remember(row)
        return rows

    def _turn(self, entry: Entry, known: Known, turns: dict[str, str], rows: list[Any]) -> Spot:
        """Where the entry's verdicts go; its turn is added where it is new."""
        key = key_of(entry)
        found = known.turn(key) or turns.get(key)
        if found is not None:
            return Spot(turn_id=found, at=entry.at or now())
        turn = turn_of(self._words, entry, key, self._origin)
        turns[key] = turn.turn_id
        rows.append(turn)
        return Spot(turn_id=turn.turn_id, at=turn.created_at)


def _keys(entries: Sequence[Entry]) -> list[str]:
    """Of all turns that the entries speak of. Raises InvalidInput."""
    rivals = [rival_of(entry, entry.rival) for entry in entries if entry.rival is not None]
    return [key_of(one) for one in (*entries, *rivals)]
