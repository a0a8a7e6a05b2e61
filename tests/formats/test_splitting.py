"""A file is cut into the same records however it comes in pieces, and what is wrong with it is told by its line."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from feedback.formats.splitting import Splitter

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=8)
    | st.sampled_from(['"', "\\", "}{", "[\\]", "汉字\n"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
records = st.lists(st.dictionaries(st.text(max_size=4), values, max_size=3), max_size=5)


def cut(data: bytes, sizes: list[int], limit: int = 1 << 20):
    splitter = Splitter(limit)
    found, at = [], 0
    for size in sizes:
        found += splitter.feed(data[at : at + size])
        at += size
    return found + splitter.feed(data[at:]) + splitter.end()


@given(records, st.lists(st.integers(1, 7), max_size=40), st.sampled_from([None, 2]), st.booleans(), st.booleans())
def test_an_array_comes_out_whole_however_it_is_cut(written, sizes, indent, plain, bom):
    text = json.dumps(written, indent=indent, ensure_ascii=plain)
    found = cut((b"\xef\xbb\xbf" if bom else b"") + text.encode(), sizes)
    assert [json.loads(one.data) for one in found] == written and not any(one.wrong for one in found)
    assert [one.line for one in found] == sorted(one.line for one in found)


@given(records, st.lists(st.integers(1, 7), max_size=40), st.booleans(), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_lines_come_out_whole_with_their_numbers(written, sizes, last, end):
    text = end.join(json.dumps(one, ensure_ascii=False) for one in written) + (end if last else "")
    found = cut(text.encode(), sizes)
    step = end.count("\n")
    assert [json.loads(one.data) for one in found] == written
    assert [one.line for one in found] == [1 + step * place for place in range(len(written))]


def test_a_bad_line_costs_itself_only():
    found = cut(b'{"a": 1}\n{"a": \n\n{"a": 3}', [])
    assert [(one.line, one.data) for one in found] == [(1, b'{"a": 1}'), (2, b'{"a":'), (4, b'{"a": 3}')]


def test_a_record_that_is_too_long_is_left_out_by_its_line():
    long = b'{"a": "' + b"x" * 100 + b'"}'
    for text in (b'{"b": 1}\n' + long + b'\n{"c": 1}', b'[{"b": 1},\n' + long + b',\n{"c": 1}]'):
        first, second, third = cut(text, [5] * 30, limit=50)
        assert (first.line, second.line, third.line) == (1, 2, 3)
        assert not second.data and "longer than 50 bytes" in second.wrong and third.data == b'{"c": 1}'


def test_a_broken_array_is_told_by_its_line_and_read_no_further():
    cut_off = cut(b'[{"a": 1},\n{"a": ', [3, 3])
    assert [(one.line, bool(one.wrong)) for one in cut_off] == [(1, False), (2, True)]
    odd = cut(b'[{"a": 1},\n\n5, {"a": 2}]', [])
    assert [(one.line, bool(one.wrong)) for one in odd] == [(1, False), (3, True)]
    assert cut(b"[]", []) == cut(b"", []) == cut(b" \n ", []) == []
