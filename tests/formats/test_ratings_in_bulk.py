"""Ratings in one request, each answered by itself; and by webhook, signed and fresh."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from service.transfer.webhooks import InvalidSignature, check_signature, secrets_of
from tests.fakes.gateway import RunningGateway
from tests.fakes.keys import bearer, make_key, operator_of
from tests.formats.test_importing import chat, turns_of
from tests.formats.test_round_trips import imported

SECRET = b"0123456789abcdef0123456789abcdef"
WHSEC = "whsec_" + base64.b64encode(SECRET).decode()


@pytest.fixture(scope="module")
def turn_ids(gateway):
    content = "\n".join(chat(f"rate me {at}", f"reply {at}") for at in range(300))
    imported(gateway, "openai", content.encode(), project="bulk")
    return [turn["turn_id"] for turn in turns_of(gateway, "bulk")]


def rate(gateway, ratings, **headers):
    return httpx.post(f"{gateway.url}/ratings", json={"ratings": ratings}, headers=headers, timeout=30)


def test_each_rating_is_answered_by_itself(gateway, turn_ids):
    good = {
        "turn_id": turn_ids[0],
        "verdict": "down",
        "comment": "不对 笨蛋",
        "rater": "anna",
        "task_completed": False,
    }
    answer = rate(
        gateway,
        [good, {"turn_id": "turn-no", "verdict": "up"}, {"turn_id": turn_ids[1], "stars": 9}, {"stars": 3}, 5,
         {"turn_id": turn_ids[1], "verdict": "down", "corrected_reply": "fudge"}],
    ).json()  # fmt: skip
    assert (answer["stored"], answer["failed"]) == (1, 5)
    codes = [one["error"]["code"] if one["error"] else None for one in answer["answers"]]
    assert codes == [None, "unknown-turn", "invalid-rating", "invalid-rating", "invalid-rating", "blocked-text"]
    (stored,) = gateway.store.ratings(turn_ids[0])
    assert stored.rating_id == answer["answers"][0]["rating_id"] and stored.comment == "不对 **"
    assert (stored.verdict, stored.rater, stored.task_completed) == ("down", "anna", False)
    assert gateway.store.ratings(turn_ids[1]) == []


def test_a_thousand_at_once_and_no_more(gateway, turn_ids):
    many = [{"turn_id": turn_ids[at % 300], "stars": 1 + at % 5, "rater": f"r{at}"} for at in range(1000)]
    answer = rate(gateway, many).json()
    assert answer["stored"] == 1000 and len({one["rating_id"] for one in answer["answers"]}) == 1000
    for wrong in ([], [*many, many[0]]):
        assert rate(gateway, wrong).json()["error"]["code"] == "invalid-input"


def test_the_same_key_stores_the_same_ratings_once(gateway, turn_ids):
    some = [{"turn_id": turn_ids[5], "verdict": "up"}, {"turn_id": turn_ids[5], "verdict": "up"}]
    before = len(gateway.store.ratings(turn_ids[5]))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: rate(gateway, some, **{"idempotency-key": "k"}).json(), range(4)))
    assert all(one == answers[0] and one["stored"] == 2 for one in answers)
    assert len(gateway.store.ratings(turn_ids[5])) == before + 2
    assert rate(gateway, some, **{"idempotency-key": ""}).status_code == 400


def test_a_person_rates_their_own_turns_in_their_own_name(tmp_path):
    settings = {"keys": "required"}
    with RunningGateway(tmp_path, "http://127.0.0.1:9", **settings) as running:
        operator = operator_of(tmp_path)
        line = {"messages": [{"role": "user", "content": "q"}], "reply": "r"}
        feedback = {
            "id": "1", "user_id": "anna", "type": "rating", "data": {"rating": 1}, "meta": {"message_id": "b"},
            "snapshot": {"chat": {"user_id": "anna", "chat": {"history": {"messages": {
                "a": {"id": "a", "parentId": None, "role": "user", "content": line["messages"][0]["content"]},
                "b": {"id": "b", "parentId": "a", "role": "assistant", "content": line["reply"]}}}}}},
        }  # fmt: skip
        asked = {"params": {"format": "openwebui"}, "content": json.dumps([feedback]), "headers": operator}
        assert httpx.post(f"{running.url}/imports", **asked).json()["turns"] == 1
        (turn,) = running.store.turns()
        for subject, stored in (("anna", 1), ("ben", 0)):
            token = make_key(running.url, operator, role="user", subject=subject)["token"]
            body = {"ratings": [{"turn_id": turn.turn_id, "verdict": "down", "rater": "somebody"}]}
            answer = httpx.post(f"{running.url}/ratings", json=body, headers=bearer(token)).json()
            assert answer["stored"] == stored
            refused = httpx.post(f"{running.url}/imports", params={"format": "openai"}, headers=bearer(token))
            assert refused.status_code == 403
        assert [one.rater for one in running.store.ratings(turn.turn_id)] == ["anna", "anna"]


def signed(body: bytes, webhook: str = "msg_1", at: float | None = None, secret: bytes = SECRET) -> dict[str, str]:
    stamp = str(int(time.time() if at is None else at))
    digest = hmac.new(secret, f"{webhook}.{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1a,AAAA v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": webhook, "webhook-timestamp": stamp, "webhook-signature": signature}


def test_a_signed_webhook_stores_ratings_once(gateway, turn_ids):
    (gateway.data_dir / "webhook-secret").write_text(WHSEC + "\n")
    body = json.dumps({"ratings": [{"turn_id": turn_ids[7], "verdict": "up", "rater": "shop"}]}).encode()
    before = len(gateway.store.ratings(turn_ids[7]))
    first = httpx.post(f"{gateway.url}/webhooks/ratings", content=body, headers=signed(body))
    again = httpx.post(f"{gateway.url}/webhooks/ratings", content=body, headers=signed(body, at=time.time() + 2))
    assert first.status_code == 200 and first.json()["stored"] == 1 and again.json() == first.json()
    assert len(gateway.store.ratings(turn_ids[7])) == before + 1
    for headers in (signed(body + b" "), signed(body, at=time.time() - 400), signed(body, secret=b"x" * 32), {}):
        answer = httpx.post(f"{gateway.url}/webhooks/ratings", content=body, headers=headers)
        assert answer.status_code == 400 and answer.json()["error"]["code"] == "invalid-signature"
    assert len(gateway.store.ratings(turn_ids[7])) == before + 1


def test_the_specifications_own_example_is_right():
    """The one that Standard Webhooks' libraries test themselves with."""
    body, secret = b'{"test": 2432232314}', "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    headers = {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    secrets = secrets_of([secret], Path("nowhere"))
    assert check_signature(headers, body, secrets, at=1614265400, window_s=300) == headers["webhook-id"]
    with pytest.raises(InvalidSignature, match="too old"):
        check_signature(headers, body, secrets, at=1614265400 + 300, window_s=300)
    with pytest.raises(InvalidSignature, match="no secret"):
        check_signature(headers, body, [], at=1614265400, window_s=300)
    with pytest.raises(InvalidSignature, match="is none"):
        secrets_of(["c2hvcnQ="], Path("nowhere"))
