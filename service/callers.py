"""Who asks: the key's owner, what they may do, and how a handler finds out.

Every route says in its `opt` who may use it (`allow=...`), and the guard (`service.keys.guard`) decides before the
handler runs: a route that says nothing refuses everybody. A gateway without keys (on loopback only) treats everybody as
its operator. Must never happen: a request that the guard has not seen counts as anybody's but nobody's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args
from urllib.parse import unquote

import msgspec
from litestar.connection import ASGIConnection

from feedback.errors import InvalidInput

Role = Literal["user", "annotator", "reviewer", "expert", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do what those before it may."""
Allow = Literal["anybody", "user", "annotator", "reviewer", "expert", "operator"]
"""Who may use a route. `anybody` needs no key: liveness, the sign-in page and the pages' own files."""
Area = Literal["chat", "rate", "read", "annotate", "operate"]
AREAS: tuple[Area, ...] = get_args(Area)
"""What a key may be narrowed to by its scopes. A route's area is its `scope=...`, or else its role's."""
AREA_OF: dict[Allow, Area] = {
    "user": "chat",
    "annotator": "annotate",
    "reviewer": "annotate",
    "expert": "annotate",
    "operator": "operate",
}
SCOPE_KEY = "ratchet.caller"
PERSON_HEADER = b"x-person"
PERSON_LIMIT = 200
"""Characters of a person's name."""


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Whoever sent a request."""

    key_id: str = ""
    """The public part of their key; empty where the gateway has no keys."""
    subject: str = ""
    """Whose turns and verdicts theirs are; empty where nobody knows."""
    role: Role = "user"
    aliases: tuple[str, ...] = ()
    """The only names that they may chat with; none given: all."""
    store: bool = True
    """Whether their turns are recorded."""
    scopes: tuple[Area, ...] = ()
    """The only areas that they may use; none given: all that their role has."""
    requests_per_minute: int = 0
    """0: no limit."""
    tokens_per_minute: int = 0
    """Prompt and reply together; 0: no limit."""

    def may(self, allow: Allow) -> bool:
        """Whether their role is enough."""
        return allow == "anybody" or ROLES.index(self.role) >= ROLES.index(allow)

    def may_use(self, area: Area) -> bool:
        """Whether their key is not narrowed to other areas."""
        return not self.scopes or area in self.scopes

    def may_chat_with(self, name: str) -> bool:
        """Whether they may chat with this alias and be told of it. `name` is the alias's own."""
        return not self.aliases or name in self.aliases

    def may_see(self, subject: str) -> bool:
        """Whether a turn is theirs to see and to rate: a person's key reaches that person's turns only."""
        return self.role != "user" or not self.subject or self.subject == subject


ANYBODY = Caller(role="operator")
"""The caller of a gateway without keys."""
NOBODY = Caller(scopes=("read",), aliases=("",))
"""Whoever shows no key where keys are required: may use what anybody may."""


def caller_of(request: ASGIConnection[Any, Any, Any, Any]) -> Caller:
    """Who sent this request, as the guard found out."""
    caller: Caller = request.scope.get(SCOPE_KEY, NOBODY)  # type: ignore[assignment]
    return caller


def said_person(caller: Caller, headers: Mapping[bytes, bytes]) -> str:
    """Who a request says it is for, in `X-Person`: heard only where no key could say it. Empty where it does not say.

    Raises InvalidInput for what is no name.
    """
    if caller.key_id or (said := headers.get(PERSON_HEADER)) is None:
        return ""
    person = decoded_name(said.decode("latin-1"))
    if not is_name(person):
        raise InvalidInput("X-Person is no name.", f"Send 1 to {PERSON_LIMIT} printable characters, percent-encoded.")
    return person


def decoded_name(said: str) -> str:
    """A name out of a header or a cookie, where it is percent-encoded: neither carries 王芳 as she is written."""
    return unquote(said).strip()


def is_name(person: str) -> bool:
    """Whether somebody may be called that."""
    return 1 <= len(person) <= PERSON_LIMIT and person.isprintable()
