"""A gateway in a process of its own, to be killed: `python -m tests.fakes.gateway_process DATA_DIR UPSTREAM [K=V]`.

Prints its URL once it answers.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]


class GatewayProcess:
    """`with GatewayProcess(...) as gateway:` serves at `gateway.url`; leaving it kills what is left."""

    def __init__(self, data_dir: Path, upstream_url: str, **settings: object) -> None:
        given = [f"{key}={value}" for key, value in settings.items()]
        command = [sys.executable, "-m", "tests.fakes.gateway_process", str(data_dir), upstream_url, *given]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            raise RuntimeError(f"the gateway did not start: {self.process.communicate()[1][-2000:]}")

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.kill()
        self.process.wait(10)

    def terminate(self, wait_s: float = 20) -> tuple[int, list[str]]:
        """SIGTERM; its exit code and its log."""
        self.process.terminate()
        log = self.process.communicate(timeout=wait_s)[1]
        return self.process.returncode, log.splitlines()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()


if __name__ == "__main__":
    import msgspec

    from feedback.settings import PoolSettings, StoreSettings
    from service.server import run_gateway
    from service.settings import GatewaySettings

    data_dir, upstream_url, *pairs = sys.argv[1:]
    values = {"port": 0, "upstream_url": upstream_url} | dict(pair.split("=", 1) for pair in pairs)
    run_gateway(
        msgspec.convert(values, GatewaySettings, strict=False),
        StoreSettings(data_dir=Path(data_dir)),
        PoolSettings(),
        ready=lambda url: print(url, flush=True),
    )
