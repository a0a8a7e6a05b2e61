"""API keys from their making to their end, and what each may ask for."""

from __future__ import annotations

import asyncio
import datetime as dt
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import ollama
import openai
import pytest

from feedback.errors import RateLimited, StoreUnavailable, Unauthorized, UnknownTokenizer
from feedback.mint import now
from feedback.operator_key import FILE_NAME, operator_headers, write_operator_key
from feedback.settings import StoreSettings
from feedback.store.database import Store
from learner.gateway import Gateway
from service.callers import Caller
from service.keys import ring as rings
from service.keys import tokens
from service.keys.inputs import KeyInput
from service.keys.limits import Bucket, Limits
from service.keys.ring import KeyRing
from tests.fakes.gateway import RunningGateway, set_alias
from tests.fakes.keys import bearer, make_key, operator_of, put_key
from tests.fakes.ollama import FakeOllama

CHAT = {"model": "assistant", "messages": [{"role": "user", "content": "hi"}], "stream": False}


@pytest.fixture(scope="module")
def guarded(fake: FakeOllama, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    folder: Path = tmp_path_factory.mktemp("guarded")
    with RunningGateway(folder, fake.url, keys="required") as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(StoreSettings(data_dir=tmp_path))
    yield opened
    opened.close()


def test_a_tokens_parts_are_its_keys_id_and_a_secret_that_is_kept_as_a_hash_only():
    token = tokens.new_token("key-0123456789abcdef0123456789abcdef")
    key_id, secret = tokens.parse(token.encode())
    assert key_id == "key-0123456789abcdef0123456789abcdef" and len(secret) == 48
    stored = tokens.hash_secret(secret)
    assert secret.decode() not in stored and tokens.hash_secret(secret) != stored
    assert tokens.matches(secret, stored) and not tokens.matches(secret[:-1] + b"x", stored)
    assert not any(
        tokens.parse(odd) for odd in (b"", b"rk_", b"rk__", b"rk_a_", b"sk_a_b", b"rk_a_b_c", b"rk_a_" + b"b" * 300)
    )


def test_a_key_is_told_once_holds_at_once_and_ends_at_once(guarded):
    operator = operator_of(guarded.data_dir)
    made = make_key(guarded.url, operator, name="张三", role="annotator", subject="zhang", scopes=["chat", "rate"])
    key, token = made["key"], made["token"]
    assert key["state"] == "live" and key["name"] == "张三" and token.startswith("rk_" + key["key_id"][4:])
    assert httpx.get(guarded.url + "/v1/models", headers=bearer(token)).status_code == 200
    listed = httpx.get(guarded.url + "/keys", headers=operator)
    assert key in listed.json()["items"] and token[-48:] not in listed.text and "scrypt" not in listed.text
    ended = httpx.delete(f"{guarded.url}/keys/{key['key_id']}", headers=operator).json()
    assert ended["state"] == "revoked" and ended["revoked_at"]
    refused = httpx.get(guarded.url + "/v1/models", headers=bearer(token))
    assert refused.status_code == 401 and "revoked" in refused.json()["error"]["message"]
    assert httpx.delete(f"{guarded.url}/keys/{key['key_id']}", headers=operator).json() == ended
    assert httpx.delete(f"{guarded.url}/keys/none", headers=operator).json()["error"]["code"] == "unknown-key"


@pytest.mark.parametrize(
    "wrong",
    [{"role": "king"}, {"scopes": ["everything"]}, {"aliases": [""]}, {"expires_at": "2020-01-01T00:00:00Z"},
     {"expires_at": "2999-01-01T00:00:00"}, {"requests_per_minute": -1}, {"name": "x" * 201}, {"name": "a\nb"},
     {"secret_hash": "x"}, {"key_id": "key-1"}, []],
)  # fmt: skip
def test_a_key_that_makes_no_sense_is_not_made(guarded, wrong):
    answer = httpx.post(guarded.url + "/keys", headers=operator_of(guarded.data_dir), json=wrong)
    assert answer.status_code == 400 and answer.json()["error"]["code"] == "invalid-input"


def test_the_first_start_makes_an_operators_key_for_its_owners_eyes_and_the_next_makes_none(fake, tmp_path):
    with RunningGateway(tmp_path, fake.url, keys="required") as gateway:
        file = tmp_path / FILE_NAME
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        operator, was = operator_of(tmp_path), file.read_bytes()
        (key,) = httpx.get(gateway.url + "/keys", headers=operator).json()["items"]
        assert key["role"] == "operator"
        last = httpx.delete(f"{gateway.url}/keys/{key['key_id']}", headers=operator)
        assert last.status_code == 409 and "last operator" in last.text
        user = make_key(gateway.url, operator)["token"]
    with RunningGateway(tmp_path, fake.url, keys="required") as gateway:
        assert file.read_bytes() == was
        for token in (user, was.decode().strip()):
            assert httpx.get(gateway.url + "/v1/models", headers=bearer(token)).status_code == 200
        assert len(httpx.get(gateway.url + "/keys", headers=operator).json()["items"]) == 2


def test_an_open_gateway_makes_no_key(gateway):
    assert not (gateway.data_dir / FILE_NAME).exists()


def test_where_every_operators_key_has_ended_the_next_start_makes_one(fake, tmp_path):
    store = Store.open(StoreSettings(data_dir=tmp_path))
    put_key(store, "operator", expires_at=now() - dt.timedelta(days=1))
    put_key(store, "operator", revoked=True)
    put_key(store, "operator", scopes=["chat"])
    store.close()
    with RunningGateway(tmp_path, fake.url, keys="required") as gateway:
        assert len(httpx.get(gateway.url + "/keys", headers=operator_of(tmp_path)).json()["items"]) == 4


def test_a_key_for_one_alias_is_told_of_no_other(fake, tmp_path):
    set_alias(tmp_path, name="tutor")
    with RunningGateway(tmp_path, fake.url, keys="required") as gateway:
        only = bearer(make_key(gateway.url, operator_of(tmp_path), aliases=["assistant"])["token"])
        assert httpx.get(gateway.url + "/v1/models", headers=only).json()["data"] == []
        assert httpx.get(gateway.url + "/api/tags", headers=only).json()["models"] == []
        refused = httpx.post(gateway.url + "/api/chat", json={**CHAT, "model": "tutor"}, headers=only)
        assert refused.status_code == 404 and refused.json()["code"] == "unknown-alias"
        assert "tutor" not in refused.json()["mend"]


def test_a_narrowed_operator_makes_no_key_that_may_do_more(guarded):
    operator = operator_of(guarded.data_dir)
    narrow = bearer(make_key(guarded.url, operator, role="operator", scopes=["operate", "chat"])["token"])
    given = [
        {},
        {"scopes": ["rate"]},
        {"scopes": ["operate", "read"]},
        {"scopes": ["chat"]},
        {"scopes": ["chat", "operate"]},
    ]
    statuses = [httpx.post(guarded.url + "/keys", json=fields, headers=narrow).status_code for fields in given]
    assert statuses == [403, 403, 403, 201, 201]


def test_a_persons_key_reaches_that_persons_turns_only(guarded):
    operator = operator_of(guarded.data_dir)
    mine, other, app = (
        bearer(make_key(guarded.url, operator, subject=subject)["token"]) for subject in ("mei", "li", "")
    )
    answer = httpx.post(guarded.url + "/v1/chat/completions", json={**CHAT, "user": "somebody else"}, headers=mine)
    turn = f"{guarded.url}/turns/{answer.headers['x-turn-id']}"
    assert httpx.get(turn, headers=mine).json()["turn"]["subject"] == "mei"
    assert [httpx.get(turn, headers=who).status_code for who in (other, app, operator)] == [404, 200, 200]
    up = {"verdict": "up", "rater": "li"}
    assert httpx.post(turn + "/ratings", json=up, headers=other).status_code == 404
    assert httpx.post(turn + "/ratings", json=up, headers=mine).status_code == 201
    assert [rating["rater"] for rating in httpx.get(turn, headers=mine).json()["ratings"]] == ["mei"]


def test_a_tier_of_annotation_needs_its_role(guarded):
    operator = operator_of(guarded.data_dir)
    annotator = bearer(make_key(guarded.url, operator, role="annotator", subject="wang")["token"])
    turn = httpx.post(guarded.url + "/api/chat", json=CHAT, headers=operator).headers["x-turn-id"]
    given = {"annotator": "me", "accuracy": 4, "fluency": 3}
    statuses = [
        httpx.post(
            f"{guarded.url}/turns/{turn}/annotations", json={**given, "tier": tier}, headers=annotator
        ).status_code
        for tier in ("annotator", "reviewer", "expert")
    ]
    assert statuses == [201, 403, 403]
    (stored,) = httpx.get(f"{guarded.url}/turns/{turn}", headers=operator).json()["annotations"]
    assert stored["annotator"] == "wang"


@pytest.mark.parametrize(
    ("path", "shape"),
    [("/api/chat", lambda body: isinstance(body["error"], str) and body["code"] == "rate-limited"),
     ("/v1/chat/completions", lambda body: body["error"]["type"] == "rate_limit_error"),
     ("/turns/x", lambda body: body["error"]["code"] == "rate-limited")],
)  # fmt: skip
def test_requests_over_the_limit_are_told_when_to_come_again_in_their_own_words(guarded, path, shape):
    key = bearer(make_key(guarded.url, operator_of(guarded.data_dir), requests_per_minute=2)["token"])
    ask = (lambda: httpx.get(guarded.url + path, headers=key)) if "turns" in path else (
        lambda: httpx.post(guarded.url + path, json=CHAT, headers=key)
    )  # fmt: skip
    assert [ask().status_code == 429 for _ in range(2)] == [False, False]
    refused = ask()
    assert refused.status_code == 429 and 1 <= int(refused.headers["retry-after"]) <= 30
    assert shape(refused.json())


def test_tokens_over_the_limit_stop_the_next_chat_and_nothing_else(guarded):
    key = bearer(make_key(guarded.url, operator_of(guarded.data_dir), tokens_per_minute=3)["token"])
    assert httpx.post(guarded.url + "/api/chat", json=CHAT, headers=key).status_code == 200
    refused = httpx.post(guarded.url + "/api/chat", json=CHAT, headers=key)
    assert (
        refused.status_code == 429 and "tokens" in refused.json()["error"] and int(refused.headers["retry-after"]) > 0
    )
    assert httpx.get(guarded.url + "/v1/models", headers=key).status_code == 200


def test_a_bucket_fills_evenly_and_never_over(monkeypatch):
    at = [0.0]
    monkeypatch.setattr("service.keys.limits.time.monotonic", lambda: at[0])
    bucket = Bucket(60)
    bucket.take(60)
    assert bucket.wait_s(1) == pytest.approx(1)
    at[0] = 10
    assert bucket.wait_s(10) == 0 and bucket.wait_s(11) == pytest.approx(1)
    at[0] = 10_000
    assert bucket.wait_s(61) == pytest.approx(1)
    limits, caller = Limits(), Caller(key_id="k", tokens_per_minute=60)
    limits.admit(caller, tokens=True)
    limits.spent(caller, 6000)
    with pytest.raises(RateLimited) as refused:
        limits.admit(caller, tokens=True)
    assert refused.value.retry_after_s == 5941
    limits.admit(caller, tokens=False)


def test_wrong_tokens_cost_scrypt_only_for_keys_that_nobody_has_used(store, monkeypatch):
    token = put_key(store, "user")
    looked = []
    real = tokens.matches
    monkeypatch.setattr(rings.tokens, "matches", lambda *given: looked.append(1) or real(*given))

    async def run() -> None:
        ring = KeyRing(store)
        try:
            wrong = token[:-1].encode() + (b"0" if token[-1] != "0" else b"1")
            for odd in (b"none", b"rk_" + b"0" * 32 + b"_" + b"0" * 48, wrong):
                with pytest.raises(Unauthorized):
                    await ring.prove(odd)
            assert len(looked) == 1 and ring.recall(token.encode()) is None
            found = await asyncio.gather(*(ring.prove(token.encode()) for _ in range(20)))
            assert len({id(key) for key in found}) == 1 and len(looked) == 2
            assert ring.recall(token.encode()) is found[0] and ring.recall(wrong) is None
            for _ in range(1000):
                with pytest.raises(Unauthorized):
                    await ring.prove(wrong)
            assert len(looked) == 2
        finally:
            ring.close()

    asyncio.run(run())


def test_a_flood_of_wrong_tokens_is_bounded_and_the_loop_stays_free(store):
    token = put_key(store, "user")

    async def run() -> None:
        ring = KeyRing(store)
        try:
            flood = [asyncio.create_task(ring.prove(f"{token[:-6]}{number:06d}".encode())) for number in range(200)]
            await asyncio.sleep(0)
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(0)
            assert asyncio.get_running_loop().time() - began < 0.05
            for task in flood[8:]:
                task.cancel()
            outcomes = await asyncio.gather(*flood, return_exceptions=True)
            kinds = {type(outcome) for outcome in outcomes}
            assert kinds == {Unauthorized, RateLimited, asyncio.CancelledError}
            assert (await ring.prove(token.encode())).made.role == "user"
        finally:
            ring.close()

    asyncio.run(run())


def test_a_key_whose_row_or_end_could_not_be_stored_does_not_look_as_if_it_were(store):
    async def run() -> None:
        ring = KeyRing(store)
        try:
            key, token = await ring.create(KeyInput(role="user"))
            store.close()
            with pytest.raises(StoreUnavailable):
                await ring.revoke(key.made.key_id)
            assert ring.recall(token.encode()).check() is key.caller
            with pytest.raises(StoreUnavailable):
                await ring.create(KeyInput(role="operator"))
            assert len(ring.all()) == 1
        finally:
            ring.close()

    asyncio.run(run())


def test_our_own_processes_show_the_key_of_the_environment_or_the_file(tmp_path):
    assert operator_headers(tmp_path, {}) == {}
    write_operator_key(tmp_path, "rk_a_b")
    assert operator_headers(tmp_path, {}) == {"authorization": "Bearer rk_a_b"}
    assert operator_headers(tmp_path, {"RATCHET_API_KEY": " rk_c_d\n"}) == {"authorization": "Bearer rk_c_d"}
    write_operator_key(tmp_path, "rk_e_f")
    assert operator_headers(tmp_path, {})["authorization"].endswith("rk_e_f")
    assert operator_headers(tmp_path, {"RATCHET_API_KEY": "rk\r\nx: y"}) == {}
    assert [file.name for file in tmp_path.iterdir()] == [FILE_NAME]


def test_the_learner_gets_in_with_the_operators_key(guarded, tmp_path):
    tokenizer = tmp_path / "tokenizer.json"
    tokenizer.write_bytes(b"{}")
    with pytest.raises(UnknownTokenizer):  # that is none, but it was let in
        Gateway(guarded.url, guarded.data_dir).freeze(tokenizer, [], "")
    with pytest.raises(Unauthorized):
        Gateway(guarded.url, tmp_path).freeze(tokenizer, [], "")


def test_the_official_clients_get_in_with_a_key(guarded, monkeypatch):
    token = make_key(guarded.url, operator_of(guarded.data_dir))["token"]
    with openai.OpenAI(base_url=guarded.url + "/v1", api_key=token, max_retries=0) as client:
        assert client.chat.completions.create(model="assistant", messages=CHAT["messages"]).choices[0].message.content
    stranger = openai.OpenAI(base_url=guarded.url + "/v1", api_key="none", max_retries=0)
    with stranger, pytest.raises(openai.AuthenticationError, match="not known here"):
        stranger.models.list()
    with ollama.Client(host=guarded.url, headers=bearer(token)) as client:
        assert client.list().models
    monkeypatch.setenv("OLLAMA_API_KEY", token)
    with ollama.Client(host=guarded.url) as client:
        assert client.chat(model="assistant", messages=CHAT["messages"]).message.content
    monkeypatch.delenv("OLLAMA_API_KEY")
    with ollama.Client(host=guarded.url) as client, pytest.raises(ollama.ResponseError, match="needs a key") as refused:
        client.list()
    assert refused.value.status_code == 401


def test_openapi_says_how_a_key_is_shown_and_where_none_is_needed(guarded, gateway):
    described = httpx.get(guarded.url + "/schema/openapi.json").json()
    assert set(described["components"]["securitySchemes"]) == {"bearer", "header", "session"}
    assert described["paths"]["/keys"]["post"]["security"] == [{"bearer": []}, {"header": []}, {"session": []}]
    assert described["paths"]["/health"]["get"]["security"] == [{}]
    described = httpx.get(gateway.url + "/schema/openapi.json").json()
    assert {} in described["paths"]["/keys"]["post"]["security"]
