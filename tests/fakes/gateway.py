"""A real gateway in a thread, on a free port, with a data folder of its own: what tests of the service talk to."""

from __future__ import annotations

import datetime as dt
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from litestar.datastructures import State

from feedback.settings import PoolSettings, StoreSettings
from feedback.store.database import Store
from learner.alias import Alias, AliasFile, Served, write_aliases
from service.front.server import GatewayServer, make_server, serve
from service.settings import GatewaySettings

ALIAS = "assistant"


def set_alias(data_dir: Path, version: str = "1.0.0", name: str = ALIAS) -> None:
    """Make a version the champion, as the learner does it: one atomic replace."""
    served = Served(version=version, tag=f"{name}:{version}")
    alias = Alias(champion=served, changed_at=dt.datetime.now(dt.UTC), reason="test")
    write_aliases(data_dir / "alias.json", AliasFile(aliases={name: alias}))


class RunningGateway:
    """`with RunningGateway(tmp_path, fake.url) as gateway:` serves at `gateway.url`; leaving it stops it."""

    def __init__(self, data_dir: Path, upstream_url: str, *, pool: PoolSettings | None = None, **settings: Any) -> None:
        self.data_dir = data_dir
        self.gateway = GatewaySettings(**{"port": 0, "upstream_url": upstream_url, "log_level": "error", **settings})
        self.store_settings = StoreSettings(data_dir=data_dir)
        self.pool = pool or PoolSettings()
        self.url = ""
        self.failure: BaseException | None = None
        self._up = threading.Event()
        self._server: GatewayServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def state(self) -> State:
        """The app's state: `state.parts` are the gateway's parts."""
        assert self._server is not None
        return self._server.litestar.state

    @property
    def store(self) -> Store:
        """The store that the gateway has open."""
        store: Store = self.state.parts.store
        return store

    def __enter__(self) -> Self:
        if not (self.data_dir / "alias.json").exists():
            set_alias(self.data_dir)
        self._server = make_server(self.gateway, self.store_settings, self.pool, self._ready)
        self._thread = threading.Thread(target=self._run, name="gateway", daemon=True)
        self._thread.start()
        self._up.wait(30)
        if self.failure is not None:
            raise self.failure
        if not self.url:
            raise RuntimeError("the gateway did not start")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self, wait_s: float = 30) -> None:
        """End it and wait until it is down."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(wait_s)

    def _ready(self, url: str) -> None:
        self.url = url
        self._up.set()

    def _run(self) -> None:
        assert self._server is not None
        try:
            serve(self._server, self.gateway)
        except BaseException as failure:  # raised where the test can see it, whatever it is
            self.failure = failure
        finally:
            self._up.set()
