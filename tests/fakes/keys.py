"""Keys put into a store before a gateway opens it: of every role, and such as hold no longer."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import httpx

from feedback.keys import KeyCreated, KeyRevoked
from feedback.mint import new_id, now
from feedback.operator_key import FILE_NAME
from feedback.settings import StoreSettings
from feedback.store.database import Store
from service.keys import tokens


def put_key(store: Store, role: str, *, revoked: bool = False, **fields: Any) -> str:
    """Store a key; its token."""
    key_id = new_id("key")
    token = tokens.new_token(key_id)
    parsed = tokens.parse(token.encode())
    assert parsed is not None
    made = {
        "key_id": key_id, "created_at": now(), "name": role, "role": role, "subject": "", "store": True,
        "expires_at": None, "requests_per_minute": 0, "tokens_per_minute": 0, "scopes": [], "aliases": [],
        "secret_hash": tokens.hash_secret(parsed[1]), **fields,
    }  # fmt: skip
    store.add_key(KeyCreated(**made)).result(10)
    if revoked:
        revocation = KeyRevoked(revocation_id=new_id("revocation"), key_id=key_id, created_at=now())
        store.add_revocation(revocation).result(10)
    return token


def put_all_kinds(data_dir: Path) -> dict[str, str]:
    """A key of each role, a revoked and an expired operator's, by name."""
    store = Store.open(StoreSettings(data_dir=data_dir))
    try:
        kinds = {role: put_key(store, role) for role in ("user", "annotator", "reviewer", "expert", "operator")}
        kinds["revoked"] = put_key(store, "operator", revoked=True)
        kinds["expired"] = put_key(store, "operator", expires_at=now() - dt.timedelta(seconds=1))
        return kinds
    finally:
        store.close()


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"} if token else {}


def operator_of(data_dir: Path) -> dict[str, str]:
    """The headers of the key that the first start made."""
    return bearer((data_dir / FILE_NAME).read_text().strip())


def make_key(url: str, operator: dict[str, str], **fields: Any) -> dict[str, Any]:
    """One more key by the API: what it answers."""
    answer = httpx.post(f"{url}/keys", headers=operator, json=fields)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made
