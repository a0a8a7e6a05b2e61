"""What becomes of a chat whose turn the store can't take: `gateway.on_store_failure` decides.

`refuse`: it is answered with 503, before the upstream is asked where the store is already known to fail. `serve`: it is
answered and not recorded, which its answer says (`X-Recorded: false`, and no turn id) and `/metrics` counts. Either way
nothing is acknowledged that is not on disk; and verdicts are never taken without it.
"""

from __future__ import annotations

from concurrent.futures import Future

from feedback.errors import RatchetError, StoreBusy, StoreUnavailable
from feedback.keyed import KeyedAnswer
from feedback.store.database import Store
from feedback.turns import Turn
from service.chat.exchange import Exchange
from service.commits import committed
from service.observing.calls import current_call
from service.settings import GatewaySettings


class Keeping:
    """Hands turns to the store, and knows what to do where it fails."""

    def __init__(self, store: Store, settings: GatewaySettings) -> None:
        self._store = store
        self._serve = settings.on_store_failure == "serve"

    def look(self, exchange: Exchange) -> None:
        """Before anything is asked: raise why the turn could not be kept, or go on without keeping it."""
        if exchange.recorded and (trouble := self._store.trouble) is not None:
            self.failed(exchange, trouble)

    def failed(self, exchange: Exchange, error: RatchetError) -> None:
        """The turn can't be kept: raise that, or go on without it."""
        if not self._serve:
            raise error
        exchange.recorded = False
        call = current_call()
        call.recorded, call.lost = False, True

    def add(self, turn: Turn, keyed: KeyedAnswer | None = None) -> Future[None]:
        """Hand a turn to the writer. What is refused at once fails the future."""
        try:
            return self._store.add_turn(turn, keyed)
        except RatchetError as error:
            refused: Future[None] = Future()
            refused.set_exception(error)
            return refused

    async def kept(self, exchange: Exchange, stored: Future[None]) -> None:
        """Wait for the commit. Raises what it failed with, unless the chat is to go on without it."""
        try:
            await committed(stored)
        except (StoreUnavailable, StoreBusy) as error:
            self.failed(exchange, error)
