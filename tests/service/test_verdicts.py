"""Ratings and annotations of a turn, and reading turns back."""

import httpx
import pytest

from tests.service.test_bad_requests import told

ASK = [{"role": "user", "content": "Hi"}]


@pytest.fixture
def turn_id(gateway, fake):
    answer = httpx.post(f"{gateway.url}/api/chat", json={"model": "assistant", "messages": ASK, "stream": False})
    assert answer.headers["x-turn-id"] == answer.json()["turn_id"]
    return answer.json()["turn_id"]


def rate(gateway, turn_id, **body):
    return httpx.post(f"{gateway.url}/turns/{turn_id}/ratings", json=body)


def test_a_rating_is_stored_whole(gateway, turn_id):
    said = {
        "verdict": "down", "stars": 2, "comment": "不对", "reasons": ["wrong"], "corrected_reply": "Bonjour.",
        "task_completed": False, "rater": "anna",
    }  # fmt: skip
    answer = rate(gateway, turn_id, **said)
    assert answer.status_code == 201 and answer.json()["turn_id"] == turn_id
    stored = httpx.get(f"{gateway.url}/turns/{turn_id}").json()
    assert stored["turn"]["reply"] == "You said: Hi" and stored["turn"]["version"] == "1.0.0"
    assert [{key: rating[key] for key in said} for rating in stored["ratings"]] == [said]
    assert stored["ratings"][0]["rating_id"] == answer.json()["rating_id"]


def test_rating_again_appends(gateway, turn_id):
    assert [rate(gateway, turn_id, verdict=verdict).status_code for verdict in ("up", "down")] == [201, 201]
    ratings = httpx.get(f"{gateway.url}/turns/{turn_id}").json()["ratings"]
    assert [rating["verdict"] for rating in ratings] == ["up", "down"]


@pytest.mark.parametrize(
    "body",
    [{}, {"stars": 9}, {"stars": 0}, {"stars": "5"}, {"stars": 4.5}, {"verdict": "sideways"}, {"stars": 3, "star": 3},
     {"verdict": "down", "corrected_reply": "  "}, {"verdict": "up", "reasons": "many"}],
)  # fmt: skip
def test_bad_ratings_are_refused_and_not_stored(gateway, turn_id, body):
    assert told("ours", rate(gateway, turn_id, **body)) == (400, "invalid-rating")
    assert gateway.store.ratings(turn_id) == []


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_a_rating_that_is_no_json(gateway, turn_id, content):
    assert told("ours", httpx.post(f"{gateway.url}/turns/{turn_id}/ratings", content=content)) == (
        400,
        "malformed-body",
    )


def test_unknown_turns(gateway):
    assert told("ours", rate(gateway, "turn-nosuch", verdict="up")) == (404, "unknown-turn")
    annotation = {"annotator": "li", "accuracy": 4, "fluency": 3}
    assert told("ours", httpx.post(f"{gateway.url}/turns/turn-x/annotations", json=annotation)) == (404, "unknown-turn")
    assert told("ours", httpx.get(f"{gateway.url}/turns/turn-nosuch")) == (404, "unknown-turn")


def test_an_annotation_is_stored(gateway, turn_id):
    url = f"{gateway.url}/turns/{turn_id}/annotations"
    said = {
        "annotator": "李",
        "tier": "expert",
        "accuracy": 1,
        "fluency": 3,
        "corrected_reply": "你好",
        "accept": ["你好"],
    }
    assert httpx.post(url, json=said).status_code == 201
    stored = httpx.get(f"{gateway.url}/turns/{turn_id}").json()["annotations"]
    assert len(stored) == 1 and stored[0].items() >= said.items()
    for wrong in (
        {**said, "accuracy": 5},
        {**said, "tier": "god"},
        {"accuracy": 1, "fluency": 1},
        {**said, "accept": [""]},
    ):
        assert told("ours", httpx.post(url, json=wrong)) == (400, "invalid-annotation")


def test_turns_are_paged_in_their_order(gateway, fake):
    for _ in range(3):
        httpx.post(f"{gateway.url}/api/chat", json={"model": "assistant", "messages": ASK, "stream": False})
    seen, cursor = [], ""
    while cursor is not None:
        page = httpx.get(f"{gateway.url}/turns", params={"cursor": cursor, "limit": 2}).json()
        assert len(page["items"]) <= 2
        seen += [turn["turn_id"] for turn in page["items"]]
        cursor = page["next_cursor"]
    assert seen == sorted(set(seen)) and len(seen) == gateway.store.counts()["turns"] >= 3
    for limit in (0, 501, "x"):
        status, code = told("ours", httpx.get(f"{gateway.url}/turns", params={"limit": limit}))
        assert status == 400 and code in ("invalid-input", "malformed-body")
