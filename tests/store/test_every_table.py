"""Every table there is, filled from its struct: read back as it was written, exported and erased with turn and author.

The rows are made from the structs' own types, so that a table added later is looked at too.
"""

from __future__ import annotations

import datetime as dt
import io
import typing
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import pytest

from feedback.facets import Facets
from feedback.mint import now
from feedback.settings import StoreSettings
from feedback.store.database import Store
from feedback.store.rewrite import GROWN_ONLY, SMALL, copy_living, fresh_file, take_place
from feedback.store.table import Table
from feedback.store.tables import KEYED, TABLES, TURNS
from service.privacy.export import write_export
from tests.fakes.rows import a_turn

ABOUT_TURNS = [table for table in TABLES if table.of_turns and table is not TURNS]
WRITTEN = [table for table in TABLES if table.by]


def made(table: Table[Any], name: str, **fields: Any) -> Any:
    """An item whose texts say `name`, unless the fields say otherwise."""
    hints = typing.get_type_hints(table.kind)
    given = {column: _value(hints[column], f"{name}-{column}") for column in table.columns}
    return table.kind(**(given | {key: value for key, value in fields.items() if key in given}))


def _value(hint: Any, text: str) -> Any:
    choices = typing.get_args(hint)
    origin = typing.get_origin(hint)
    if origin is typing.Literal:
        return choices[-1]
    if origin is list:
        return [_value(choices[0], text)]
    if choices and origin is not dict:  # something or None
        return _value(choices[0], text)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return hint(**{field.name: _value(field.type, text) for field in msgspec.structs.fields(hint)})
    known: dict[Any, Any] = {str: text, int: 1, float: 0.5, bool: True, dt.datetime: now()}
    return known.get(hint, {})


@pytest.fixture
def store(tmp_path: Path) -> typing.Iterator[Store]:
    opened = Store.open(StoreSettings(data_dir=tmp_path))
    yield opened
    opened.close()


def count(store: Store, table: Table[Any]) -> int:
    return len(store.rows(table))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_a_row_comes_back_as_it_went_in(store: Store, table: Table[Any]) -> None:
    turn = a_turn()
    if table is not TURNS:
        store.add_turn(turn).result()
    item = made(table, "x", turn_id=turn.turn_id)
    store.add(table, item).result()
    assert store.rows(table, f"WHERE {table.columns[0]} = ?", [getattr(item, table.columns[0])]) == [item]


@pytest.mark.parametrize("table", ABOUT_TURNS, ids=lambda table: table.name)
def test_it_goes_with_its_turn_and_with_no_other(store: Store, table: Table[Any]) -> None:
    mine, other = a_turn(), a_turn()
    for turn in (mine, other):
        store.add_turn(turn).result()
        store.add(table, made(table, turn.turn_id, turn_id=turn.turn_id, other_turn_id=turn.turn_id)).result()
    store.remove_turns([mine.turn_id])
    assert [row.turn_id for row in store.rows(table)] == [other.turn_id]


def test_a_preference_goes_with_either_draft(store: Store) -> None:
    from feedback.store.tables import PREFERENCES

    first, second = a_turn(), a_turn()
    for turn in (first, second):
        store.add_turn(turn).result()
    item = made(PREFERENCES, "x", turn_id=first.turn_id, other_turn_id=second.turn_id)
    store.add(PREFERENCES, item).result()
    store.remove_turns([second.turn_id])
    assert store.rows(PREFERENCES) == []


@pytest.mark.parametrize("table", WRITTEN, ids=lambda table: table.name)
def test_it_goes_with_whoever_wrote_it(store: Store, table: Table[Any]) -> None:
    turn = a_turn()
    store.add_turn(turn).result()
    for who in ("anna", "bert"):
        store.add(table, made(table, who, turn_id=turn.turn_id, **{table.by: who})).result()
    said = store.verdicts_of("anna")
    assert said.ratings + said.annotations + said.others == 1
    assert store.remove_verdicts("anna") == said
    assert [getattr(row, table.by) for row in store.rows(table)] == ["bert"]


def test_a_guideline_outlives_its_author_without_the_name(store: Store) -> None:
    from feedback.store.tables import GUIDELINES

    store.add(GUIDELINES, made(GUIDELINES, "x", author="anna", text="规则")).result()
    store.remove_verdicts("anna")
    assert [(row.author, row.text) for row in store.rows(GUIDELINES)] == [("", "规则")]


def test_several_rows_are_stored_together_or_not_at_all(store: Store) -> None:
    from feedback.store.tables import REVIEWS, SKIPS

    turn = a_turn()
    store.add_turn(turn).result()
    review, skip = (made(table, "x", turn_id=turn.turn_id) for table in (REVIEWS, SKIPS))
    store.add(REVIEWS, review, (SKIPS, skip)).result()
    assert (count(store, REVIEWS), count(store, SKIPS)) == (1, 1)
    with pytest.raises(Exception, match="no turn"):
        store.add(REVIEWS, msgspec.structs.replace(review, review_id="r2", turn_id="turn-x"), (SKIPS, skip)).result()
    assert (count(store, REVIEWS), count(store, SKIPS)) == (1, 1)


def test_everything_of_a_person_is_in_their_export(store: Store, tmp_path: Path) -> None:
    theirs, other = a_turn(subject="anna"), a_turn(subject="bert")
    store.add_turn(theirs).result()
    store.add_turn(other).result()
    expected = {"turns": 1}
    for table in TABLES:
        if table in (TURNS, KEYED) or not (table.by or table.of_turns):
            continue
        if table.of_turns:  # of their turn, by somebody else
            store.add(table, made(table, "a", turn_id=theirs.turn_id)).result()
        store.add(table, made(table, "b", turn_id=other.turn_id)).result()  # neither
        if table.by:
            store.add(table, made(table, "c", turn_id=other.turn_id, **{table.by: "anna"})).result()
        expected[table.name] = bool(table.of_turns) + bool(table.by)
    with write_export(store, tmp_path, "anna") as file, zipfile.ZipFile(io.BytesIO(file.read())) as archive:
        found = {
            name.removesuffix(".jsonl"): len(archive.read(name).splitlines())
            for name in archive.namelist()
            if name.endswith(".jsonl")
        }
    assert found == expected


def test_rows_that_come_while_the_file_is_written_anew_are_kept(store: Store) -> None:
    def fill(name: str) -> None:
        turn = a_turn()
        store.add_turn(turn).result()
        for table in TABLES:
            if table is not TURNS:
                store.add(table, made(table, name, turn_id=turn.turn_id)).result()
        store.add_facets([Facets(turn_id=turn.turn_id, language="zh", topic="facts")])

    fill("a")
    fresh = fresh_file(store._connection)
    copy_living(store._connection, fresh)
    fill("b")
    assert store._writer.act(lambda connection: take_place(connection, fresh)).result()
    assert {table.name: count(store, table) for table in TABLES} == dict.fromkeys((table.name for table in TABLES), 2)
    with store.reader() as cursor:
        assert cursor.execute("SELECT count(*) FROM facets").fetchall() == [(2,)]


def test_of_every_table_it_is_known_whether_it_only_grows() -> None:
    assert {*GROWN_ONLY, *(table.name for table in SMALL)} == {"facets", *(table.name for table in TABLES)}
