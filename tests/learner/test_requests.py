"""Requests: taken in order, kept with their result, never done twice."""

import datetime as dt
from pathlib import Path

import msgspec
import pytest

from feedback.errors import UnknownVersion
from learner.records import Request
from learner.requests import Requests


@pytest.fixture
def requests(tmp_path: Path) -> Requests:
    return Requests(tmp_path / "requests")


def request(number: int, kind: str = "cycle") -> Request:
    return msgspec.convert(
        {"request_id": f"request-{number:032d}", "at": dt.datetime.now(dt.UTC), "kind": kind, "alias": "assistant"},
        Request,
    )


def test_what_waits_is_given_in_the_order_of_its_time(requests: Requests) -> None:
    for number in (3, 1, 2):
        requests.drop(request(number))
    assert [one.request_id[-1] for one in requests.waiting()] == ["1", "2", "3"]


def test_a_done_request_moves_away_with_its_result_beside_it(requests: Requests) -> None:
    requests.drop(request(1))
    waiting = requests.waiting()[0]
    assert requests.result(waiting.request_id) is None
    requests.finish(waiting, ok=True, detail={"cycle": "cycle-1"})
    assert requests.waiting() == []
    result = requests.result(waiting.request_id)
    assert result is not None and result.ok and result.detail == {"cycle": "cycle-1"}
    assert (requests.done / f"{waiting.request_id}.json").exists()


def test_a_request_whose_result_stands_is_not_done_again_after_a_crash(requests: Requests) -> None:
    path = requests.drop(request(1))
    waiting = requests.waiting()[0]
    data = path.read_bytes()
    requests.finish(waiting, ok=True, detail={})
    path.write_bytes(data)  # the crash came between the result and the move
    assert requests.waiting() == []
    assert not path.exists()


def test_a_failed_request_says_why(requests: Requests) -> None:
    requests.drop(request(1, "promote"))
    requests.fail(requests.waiting()[0], UnknownVersion("There is no 9.9.9.", "Look at the list."))
    result = requests.result(f"request-{1:032d}")
    assert result is not None and not result.ok
    assert result.detail == {"code": "unknown-version", "message": "There is no 9.9.9.", "mend": "Look at the list."}


def test_a_file_that_cannot_be_read_is_given_as_such(requests: Requests) -> None:
    requests.drop(request(1))
    (requests.folder / f"request-{2:032d}.json").write_text('{"kind": "dance"}')
    assert [one.request is None for one in requests.waiting()] == [False, True]


def test_a_folder_that_is_not_there_holds_nothing(tmp_path: Path) -> None:
    assert Requests(tmp_path / "nowhere").waiting() == []
