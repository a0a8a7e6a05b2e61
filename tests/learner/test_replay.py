"""The general data: right in form, drawn the same way each time. `test_suites` keeps it apart from what is measured."""

from __future__ import annotations

import pytest

from learner.replay import replay_rows, replay_samples


def test_rows_are_short_whole_and_each_asked_once() -> None:
    rows = replay_rows()
    assert len(rows) >= 100 and len({row.messages[0].content for row in rows}) == len(rows)
    assert len({row.area for row in rows}) >= 8
    assert sum(not row.messages[0].content.isascii() for row in rows) >= 5, "some are Chinese"
    for row in rows:
        assert [message.role for message in row.messages][-2:] == ["user", "assistant"]
        answer = row.messages[-1].content
        assert answer == answer.strip() and 0 < len(answer) < 220, answer


def test_the_share_is_of_all_training_rows_and_no_row_comes_twice_early() -> None:
    assert replay_samples(70, 0.0, seed=1) == []
    assert len(replay_samples(70, 0.3, seed=1)) == 30
    assert len({sample.reply for sample in replay_samples(70, 0.3, seed=1)}) == 30
    many = replay_samples(len(replay_rows()), 0.6, seed=1)
    assert len(many) == round(1.5 * len(replay_rows()))
    assert len({sample.messages[0].content for sample in many}) == len(replay_rows())


def test_the_seed_alone_decides() -> None:
    assert replay_samples(50, 0.3, seed=1) == replay_samples(50, 0.3, seed=1)
    assert replay_samples(50, 0.3, seed=1) != replay_samples(50, 0.3, seed=2)


def test_a_share_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match="outside 0 to"):
        replay_samples(10, 0.95, seed=1)
