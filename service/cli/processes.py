"""Child processes of ours: started in their own group, ready by their own word, and never left behind.

A child says `ready NAME URL` on standard output once it listens; everything else that it prints goes to its log file.
Each child watches its parent (Linux: the kernel does, by PR_SET_PDEATHSIG), so that a killed supervisor leaves no
orphans.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import msgspec

from feedback.errors import Unavailable

_PR_SET_PDEATHSIG = 1


class ChildFailed(Unavailable):
    """A process of ours did not start, or ended by itself; its log says why."""

    code = "child-failed"


class Child:
    """One process: `ratchet <verb>` with the given settings file."""

    def __init__(self, name: str, verb: list[str], settings: Path | None, log: Path) -> None:
        self.name = name
        self.log = log
        self._command = [sys.executable, "-m", "service.cli.main"]
        self._command += ["--settings", str(settings)] if settings else []
        self._command += verb
        self._url = ""
        self._ready = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, environ: Mapping[str, str] | None = None) -> None:
        """Start it; returns at once."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self._ready.clear()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **(environ or {}), "PYTHONUNBUFFERED": "1"},
                # A group of its own: Ctrl-C reaches the supervisor alone, which then stops its children in order.
                start_new_session=True,
                preexec_fn=_die_with_parent if sys.platform == "linux" else None,
            )
        threading.Thread(target=self._listen, args=(self._process,), daemon=True).start()

    def wait_ready(self, timeout_s: float) -> str:
        """Its URL, once it listens. Raises ChildFailed with the end of its log."""
        deadline = time.monotonic() + timeout_s
        while not self._ready.wait(0.02):
            if self.exit_status() is not None:
                raise ChildFailed(
                    f"The {self.name} ended while starting (status {self.exit_status()}).", self._last_words()
                )
            if time.monotonic() > deadline:
                raise ChildFailed(f"The {self.name} was not ready within {timeout_s:.0f} s.", self._last_words())
        return self._url

    @property
    def pid(self) -> int:
        """Its process id; 0 before it was started."""
        return self._process.pid if self._process else 0

    def exit_status(self) -> int | None:
        """None while it runs."""
        return self._process.poll() if self._process else None

    def stop(self, timeout_s: float) -> None:
        """SIGTERM, then SIGKILL for the whole group where it does not end in time."""
        process = self._process
        if process is None or process.poll() is not None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        """Read standard output until it ends: the ready line is taken, the rest goes to the log."""
        assert process.stdout is not None
        with process.stdout, self.log.open("ab") as log:
            for line in process.stdout:
                words = line.decode(errors="replace").split()
                if words[:2] == ["ready", self.name] and len(words) == 3:
                    self._url = words[2]
                    self._ready.set()
                    continue
                log.write(line)
                log.flush()

    def _last_words(self) -> str:
        lines = self.log.read_text("utf-8", "replace").splitlines()[-3:] if self.log.exists() else []
        return " ".join([f"See {self.log}.", *(f"It ended with: {line}" for line in lines[-1:])])


def _die_with_parent() -> None:
    """Ask the kernel to end this child when its parent ends, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


class Fleet(msgspec.Struct, kw_only=True):
    """The children of one supervisor, in the order in which they were started."""

    children: list[Child] = msgspec.field(default_factory=list)

    def stop(self, timeout_s: float = 40.0) -> None:
        """Stop them all, last started first: nobody loses what it leans on while it still works."""
        for child in reversed(self.children):
            child.stop(timeout_s)
