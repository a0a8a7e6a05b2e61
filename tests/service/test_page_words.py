"""What the pages say: what a correction changed, and names in both languages."""

import pytest

from service.pages.changes import changes
from service.pages.labels import LABELS, TROUBLES


@pytest.mark.parametrize(
    ("before", "after", "marked"),
    [
        ("It is 324 metres tall.", "It is 330 metres tall.", [("gone", "324"), ("new", "330")]),
        ("作者是高鹗。", "作者是曹雪芹。", [("gone", "高鹗"), ("new", "曹雪芹")]),
        ("same", "same", []),
        ("", "new words", [("new", "new words")]),
        ("old", "", [("gone", "old")]),
    ],
)
def test_changes_are_marked_by_words_and_in_chinese_by_characters(before, after, marked):
    found = changes(before, after)
    assert [(one.what, one.text) for one in found if one.what != "same"] == marked
    assert "".join(one.text for one in found if one.what != "new") == before
    assert "".join(one.text for one in found if one.what != "gone") == after


def test_long_texts_are_compared_in_one_piece_and_at_once():
    before, after = "a b " * 20_000, "c d " * 20_000
    assert [one.what for one in changes(before, after)][:2] == ["gone", "new"]


def test_every_label_stands_in_both_languages():
    for names in LABELS.values():
        assert all(english and chinese and english != chinese for english, chinese in names.values())
    assert all(sentence for sentence, _ in TROUBLES.values())
