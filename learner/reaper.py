"""Ends a Ray session when its driver does, however that came about: `python -I -S reaper.py FOLDER`, waiting on stdin.

Ray's main processes die with their driver, its agents only after a minute of trying to report it. This process waits
for the pipe from the driver to close, which the kernel does even on kill -9, then kills whatever has a file of the
session open and deletes the session's folder. The standard library alone, so that waiting costs 10 MB and no time.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from pathlib import Path

GRACE_S = 2.0
"""How long processes may take to end by themselves."""
GIVE_UP_S = 20.0


def holders(folder: Path, spared: set[int]) -> set[int]:
    """Processes that have a file in the folder open, but for the spared ones. Those of other users can't be seen."""
    inside, found = f"{folder}{os.sep}", set()
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) not in spared:
            try:
                links = [os.readlink(entry) for entry in (process / "fd").iterdir()]
            except OSError:  # gone already, or not ours
                continue
            if any(link.startswith(inside) for link in links):
                found.add(int(process.name))
    return found


def reap(folder: Path, driver: int) -> None:
    """Kill the folder's holders, after their grace, and delete it. The driver is spared: where it lives on, Ray's logs
    in it stay open until it ends."""
    began = time.monotonic()
    while (left := holders(folder, {os.getpid(), driver})) and (waited := time.monotonic() - began) < GIVE_UP_S:
        if waited > GRACE_S:
            for process in left:
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    continue
        time.sleep(0.1)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    parent = os.getppid()
    sys.stdin.buffer.read()  # ends when the driver closes the pipe or dies
    reap(Path(sys.argv[1]), parent)
