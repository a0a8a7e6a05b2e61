"""A gateway in a process of its own, to be killed: `python -m tests.fakes.gateway_process DATA_DIR UPSTREAM [K=V]`.

Prints its URL once it answers.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

ROOT = Path(__file__).parents[2]


class GatewayProcess:
    """`with GatewayProcess(...) as gateway:` serves at `gateway.url`; leaving it kills what is left."""

    def __init__(self, data_dir: Path, upstream_url: str, **settings: object) -> None:
        given = [f"{key}={value}" for key, value in settings.items()]
        command = [sys.executable, "-m", "tests.fakes.gateway_process", str(data_dir), upstream_url, *given]
        # Not a pipe: one that nobody reads would fill up, and stop the gateway in the middle of a line.
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  closed by __exit__
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=self._log, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        if not self.url:
            self.process.communicate()
            log = self._logged()
            self._log.close()
            raise RuntimeError(f"the gateway did not start: {log[-2000:]}")

    def kill(self) -> None:
        """kill -9, and wait until it is gone."""
        self.process.kill()
        self.process.wait(10)

    def terminate(self, wait_s: float = 20) -> tuple[int, list[str]]:
        """SIGTERM; its exit code and its log."""
        self.process.terminate()
        self.process.communicate(timeout=wait_s)
        return self.process.returncode, self._logged().split("\n")[:-1]

    def _logged(self) -> str:
        self._log.seek(0)
        return self._log.read()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        self._log.close()


if __name__ == "__main__":
    import msgspec

    from feedback.settings import PoolSettings, StoreSettings
    from service.front.server import run_gateway
    from service.settings import GatewaySettings

    data_dir, upstream_url, *pairs = sys.argv[1:]
    values = {"port": 0, "upstream_url": upstream_url} | dict(pair.split("=", 1) for pair in pairs)
    run_gateway(
        msgspec.convert(values, GatewaySettings, strict=False),
        StoreSettings(data_dir=Path(data_dir)),
        PoolSettings(),
        ready=lambda url: print(url, flush=True),
    )
