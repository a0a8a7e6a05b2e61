"""Who asks: the key's owner, what they may do, and how a handler finds out.

Every route says in its `opt` who may use it (`allow=...`), and the guard decides before the handler runs: a route that
says nothing is a fault that a test finds. A gateway without keys (on loopback only) treats everybody as its operator.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import msgspec
from litestar.connection import ASGIConnection

Role = Literal["user", "annotator", "reviewer", "expert", "operator"]
ROLES: tuple[Role, ...] = get_args(Role)
"""Each may do what those before it may."""
Allow = Literal["anybody", "user", "annotator", "reviewer", "expert", "operator"]
"""Who may use a route. `anybody` needs no key: liveness, the sign-in page and the pages' own files."""
SCOPE_KEY = "ratchet.caller"


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

    def may(self, allow: Allow) -> bool:
        """Whether their role is enough."""
        return allow == "anybody" or ROLES.index(self.role) >= ROLES.index(allow)


ANYBODY = Caller(role="operator")
"""The caller of a gateway without keys."""


def caller_of(request: ASGIConnection[Any, Any, Any, Any]) -> Caller:
    """Who sent this request, as the guard found out."""
    caller: Caller = request.scope.get(SCOPE_KEY, ANYBODY)  # type: ignore[assignment]
    return caller
