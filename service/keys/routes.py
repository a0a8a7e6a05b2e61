"""Keys over HTTP, for operators: make one, list them, end one."""

from __future__ import annotations

from litestar import Response, delete, get, post
from litestar.params import FromPath, FromQuery

from feedback.errors import InvalidInput
from service.keys.inputs import KeyInput, KeyMade, KeyShown, check_key
from service.keys.ring import Key
from service.parts import AnyRequest, parts_of
from service.turns import PAGE_LIMIT, decode

NO_STORE = {"cache-control": "no-store"}


@post("/keys", summary="Make an API key", allow="operator")
async def make_key(request: AnyRequest) -> Response[KeyMade]:
    """The key and its token, which is told this once. It holds at once."""
    given = decode(await request.body(), KeyInput, InvalidInput)
    check_key(given)
    key, token = await parts_of(request).door.ring.create(given)
    return Response(KeyMade(key=shown(key), token=token), status_code=201, headers=NO_STORE)


@get("/keys", summary="API keys, oldest first", allow="operator")
async def read_keys(
    request: AnyRequest, after: FromQuery[str] = "", limit: FromQuery[int] = PAGE_LIMIT
) -> list[KeyShown]:
    """Up to `limit` (1 to 500) keys behind the id `after`, also those that hold no longer; never a secret."""
    if not 1 <= limit <= PAGE_LIMIT:
        raise InvalidInput(
            f"limit is {limit}, outside 1 to {PAGE_LIMIT}.", "Ask for less, and go on with after=<last id>."
        )
    return [shown(key) for key in parts_of(request).door.ring.all() if key.made.key_id > after][:limit]


@delete("/keys/{key_id:str}", status_code=200, summary="Revoke an API key", allow="operator")
async def revoke_key(request: AnyRequest, key_id: FromPath[str]) -> KeyShown:
    """From now on it opens nothing, and the sessions that were started with it have ended."""
    return shown(await parts_of(request).door.ring.revoke(key_id))


def shown(key: Key) -> KeyShown:
    """A key as operators see it."""
    made = key.made
    return KeyShown(
        key_id=made.key_id,
        state="live" if key.live else "revoked" if key.revoked else "expired",
        name=made.name,
        role=made.role,
        subject=made.subject,
        store=made.store,
        created_at=made.created_at,
        expires_at=made.expires_at,
        revoked_at=key.revoked.created_at if key.revoked else None,
        requests_per_minute=made.requests_per_minute,
        tokens_per_minute=made.tokens_per_minute,
        scopes=made.scopes,
        aliases=made.aliases,
    )
