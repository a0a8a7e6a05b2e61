"""The peak memory of a tree of processes, sampled while it works."""

from __future__ import annotations

import threading
from pathlib import Path

import psutil

SAMPLE_S = 2.0


class PeakMemory:
    """Samples the resident memory of this process and all that come of it, Ray's included.

    Pages that processes share are counted once (Linux's proportional set size): the sum of plain resident sizes would
    count Ray's own libraries a dozen times. Where the kernel doesn't tell it, the plain sizes are summed.
    """

    def __init__(self) -> None:
        self._peak = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> float:
        """The peak so far, in MB (10^6 bytes)."""
        self._stop.set()
        self._thread.join()
        return self._peak / 1e6

    def _sample(self) -> None:
        me = psutil.Process()
        while True:
            self._peak = max(self._peak, sum(map(_resident, [me, *me.children(recursive=True)])))
            if self._stop.wait(SAMPLE_S):
                return


def _resident(process: psutil.Process) -> int:
    """Its share of resident memory in bytes; 0 for a process that ended between being listed and being asked."""
    try:
        rollup = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
        return int(rollup.split("\nPss:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        pass
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
