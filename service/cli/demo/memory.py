"""The peak memory of a tree of processes, sampled while it works."""

from __future__ import annotations

import threading

import psutil

SAMPLE_S = 1.0


class PeakMemory:
    """Samples the resident memory of this process and all that come of it, Ray's included.

    The sum of resident sizes counts shared pages once per process, so it is an upper bound.
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
    """Resident bytes; 0 for a process that ended between being listed and being asked."""
    try:
        return int(process.memory_info().rss)
    except psutil.Error:
        return 0
