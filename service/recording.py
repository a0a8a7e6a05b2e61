"""Whether an exchange is recorded: the one rule, for every dialect and every route that makes turns.

Three may say no, each for itself: the request (`"store": false` in its body, or `X-Store: false`), the key that it came
with, and the operator for a whole alias (`gateway.unrecorded_aliases`). Nobody can say yes over another's no. Of an
exchange that is not recorded nothing is kept but counts: no turn, no attachment, no text of a word hit, no id that it
could be found or rated by.
"""

from __future__ import annotations

from service.callers import Caller
from service.chat.asked import Asked
from service.settings import GatewaySettings

STORE_HEADER = b"x-store"


def recorded(asked: Asked, caller: Caller, alias_name: str, settings: GatewaySettings) -> bool:
    """Whether this exchange becomes a turn. `alias_name` is the alias's own name, whatever the client wrote."""
    return asked.store and caller.store and alias_name not in settings.unrecorded_aliases


def refuses(header: str | None) -> bool:
    """Whether an `X-Store` header asks for no recording. What is neither true nor false asks for nothing."""
    return header is not None and header.strip().lower() in ("false", "0", "no")
