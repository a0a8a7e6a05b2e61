"""Keys over HTTP, for operators: make one, list them, end one."""

from __future__ import annotations

from litestar import Response, delete, get, post
from litestar.params import FromPath, FromQuery

from feedback.errors import Forbidden, InvalidInput
from service.callers import Caller, caller_of
from service.keys.inputs import KeyInput, KeyMade, KeyShown, check_key
from service.keys.ring import Key
from service.paging import PAGE_LIMIT, Page, page_behind
from service.parts import AnyRequest, parts_of
from service.turns import decode

NO_STORE = {"cache-control": "no-store"}


@post("/keys", summary="Make an API key", allow="operator")
async def make_key(request: AnyRequest) -> Response[KeyMade]:
    """The key and its token, which is told this once. It holds at once."""
    given = decode(await request.body(), KeyInput, InvalidInput)
    check_key(given)
    refuse_more(caller_of(request), given)
    key, token = await parts_of(request).door.ring.create(given)
    return Response(KeyMade(key=shown(key), token=token), status_code=201, headers=NO_STORE)


@get("/keys", summary="API keys, oldest first", allow="operator")
async def read_keys(
    request: AnyRequest, cursor: FromQuery[str] = "", limit: FromQuery[int] = PAGE_LIMIT
) -> Page[KeyShown]:
    """Up to `limit` (1 to 500) keys, also those that hold no longer, never a secret. `next_cursor` leads on."""
    keys = [shown(key) for key in parts_of(request).door.ring.all()]
    return page_behind("keys", keys, cursor, limit, lambda key: key.key_id)


@delete("/keys/{key_id:str}", status_code=200, summary="Revoke an API key", allow="operator")
async def revoke_key(request: AnyRequest, key_id: FromPath[str]) -> KeyShown:
    """From now on it opens nothing, and the sessions that were started with it have ended."""
    return shown(await parts_of(request).door.ring.revoke(key_id))


def refuse_more(caller: Caller, given: KeyInput) -> None:
    """Raise Forbidden where a narrowed key would make one that may do more than itself."""
    for name, own, wanted in (
        ("scopes", set[str](caller.scopes), set[str](given.scopes)),
        ("aliases", set(caller.aliases), set(given.aliases)),
    ):
        if own and not (wanted and wanted <= own):
            raise Forbidden(f"This key is narrowed in its {name}, and can't make one that is less so.", "Name fewer.")


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
