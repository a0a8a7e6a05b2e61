"""How a struct becomes a row and a row a struct.

A table's columns are its struct's fields, ids first and long text last: DuckDB reads by column, and a lookup or a
count then never touches text. Lists and objects are JSON text. Times are UTC without a zone, exact to the
microsecond: DuckDB hands zoned times to Python through pytz, which is not ours to ask for.

A value that can't come back as it went in is refused here, before it is queued, so that one client's odd text can't
fail its neighbours' batch. Must never be caught up in SQL: `migrations` makes the tables, this only fills and reads.
"""

from __future__ import annotations

import datetime as dt
import operator
from typing import Any, Generic, TypeVar

import msgspec

from feedback.errors import InvalidInput

Kind = TypeVar("Kind", bound=msgspec.Struct)
Row = tuple[Any, ...]
EMPTY: dict[type, str] = {list: "[]", dict: "{}"}


class Table(Generic[Kind]):
    """One table and the struct whose fields are its columns."""

    def __init__(
        self,
        name: str,
        kind: type[Kind],
        columns: tuple[str, ...],
        json: tuple[str, ...] = (),
        *,
        of_turns: bool = True,
        by: str = "",
    ) -> None:
        """`of_turns`: each row is a turn or about one, whose id is then in the second column. `by`: the column that
        names who wrote the row; it goes when they are erased."""
        self.name = name
        self.of_turns = of_turns
        self.by = by
        self.kind = kind
        self.columns = columns
        """The first one is the row's own id."""
        self._cells = operator.attrgetter(*columns)
        self._json_at = {place: name for place, name in enumerate(columns) if name in json}
        self.select = f"SELECT {', '.join(columns)} FROM {name}"
        self._decoders = {
            field.name: msgspec.json.Decoder(field.type) for field in msgspec.structs.fields(kind) if field.name in json
        }

    def row(self, item: Kind) -> Row:
        """The item as a row, in the order of `columns`. Raises InvalidInput for what would not come back unchanged."""
        row = list(self._cells(item))
        for place, value in enumerate(row):
            if (name := self._json_at.get(place)) is not None:
                empty = None if value else EMPTY.get(type(value))
                row[place] = self._json(name, value) if empty is None else empty
            elif not (value is None or (type(value) is str and value.isascii())):  # most cells have nothing to check
                row[place] = self._cell(self.columns[place], value)
        return tuple(row)

    def item(self, row: Row) -> Kind:
        """The item that a row of `select` holds."""
        values: dict[str, Any] = {}
        for name, cell in zip(self.columns, row, strict=True):
            decoder = self._decoders.get(name)
            if decoder is not None:
                values[name] = decoder.decode(cell)
            else:
                values[name] = cell.replace(tzinfo=dt.UTC) if isinstance(cell, dt.datetime) else cell
        return self.kind(**values)

    def _cell(self, name: str, value: Any) -> Any:
        if isinstance(value, str):
            return _utf8(name, value)
        return _utc(name, value) if isinstance(value, dt.datetime) else value

    def _json(self, name: str, value: Any) -> str:
        try:
            text = msgspec.json.encode(value).decode()
            # Only free JSON can come back changed (NaN, tuples, keys that are not strings); the lists are typed.
            same = not isinstance(value, dict) or not value or self._decoders[name].decode(text) == value
        except (TypeError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidInput(
                f"{name} can't be stored: it is not JSON in UTF-8.", "Send plain JSON values."
            ) from error
        if not same:
            raise InvalidInput(f"{name} can't be stored: JSON would change it.", "Send plain JSON values.")
        return text


def _utf8(name: str, value: str) -> str:
    """Lone surrogates are no characters and have no UTF-8: refuse them, naming where, never the text."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInput(
            f"{name} is not Unicode text: half a surrogate pair stands at position {error.start}.",
            "Send whole characters (in JSON, both halves of a \\ud83d\\ude00 pair).",
        ) from error
    return value


def _utc(name: str, value: dt.datetime) -> dt.datetime:
    if value.utcoffset() is None:
        raise InvalidInput(f"{name} has no time zone.", "Mint times with feedback.mint.now().")
    try:
        return value.astimezone(dt.UTC).replace(tzinfo=None)
    except OverflowError as error:
        raise InvalidInput(
            f"{name} lies outside the years 1 to 9999.", "Mint times with feedback.mint.now()."
        ) from error
