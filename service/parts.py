"""What the gateway's handlers need, put together once at startup and found on the app's state."""

from __future__ import annotations

import asyncio
import dataclasses
from pathlib import Path
from typing import Any

from litestar import Request

from feedback.settings import LabellingSettings, PoolSettings, QualitySettings, StoreSettings
from feedback.store.database import Store
from service.aliases import AliasBook
from service.chat.contexts import Contexts
from service.idempotency import Replays
from service.keys.guard import Door
from service.keys.limits import Limits
from service.labelling.desk import Desk
from service.measures.keeping import Measuring
from service.observing.exposition import Exposition
from service.observing.meters import Meters
from service.privacy.erasing import Eraser
from service.quality.watching import Watching
from service.settings import GatewaySettings
from service.upstream.client import Upstream
from service.words.book import WordBook

AnyRequest = Request[Any, Any, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Parts:
    """The open store, the session to the upstream, the aliases, the words, and the settings behind them."""

    gateway: GatewaySettings
    store_settings: StoreSettings
    pool: PoolSettings
    labelling: LabellingSettings
    quality: QualitySettings
    watching: Watching
    store: Store
    upstream: Upstream
    aliases: AliasBook
    words: WordBook
    meters: Meters
    exposition: Exposition
    replays: Replays
    door: Door
    """Keys, sessions and limits."""
    contexts: Contexts = dataclasses.field(default_factory=Contexts)
    """Histories in tokens that were given out."""
    desk: Desk
    """Where annotators, reviewers and experts get their work, and leave it."""
    eraser: Eraser
    """Removes what a person, or the operator, wants gone."""
    measures: Measuring
    """What people think of each version, in counts that are kept up."""
    importing: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)
    """Held between looking whether something is stored and storing it: nobody else may add the same meanwhile."""
    deciding: asyncio.Lock = dataclasses.field(default_factory=asyncio.Lock)
    """Held while a guideline or gold is written: each version follows the one before it."""
    freezing: asyncio.Lock
    """One snapshot at a time: a freeze takes seconds of a core."""

    @property
    def limits(self) -> Limits:
        """What each key may still ask for; `limits.spent(caller, tokens)` when a reply has ended."""
        return self.door.limits

    @property
    def data_dir(self) -> Path:
        return self.store_settings.data_dir


def parts_of(request: AnyRequest) -> Parts:
    """The parts of the app that serves this request."""
    parts: Parts = request.app.state.parts
    return parts
