"""A client that asks without pause while versions are swapped, and notes every answer.

Must never be kind: an HTTP error, an empty reply, a body without its end, no version named: each is a failure.
"""

from __future__ import annotations

import threading
import time

import httpx
import msgspec

PROMPT = "Say hello."


class Swap(msgspec.Struct, frozen=True, kw_only=True):
    """What the client saw."""

    requests: int
    failed: int
    half_loaded: int
    """Answers under 200 that were not whole: empty, or without an end."""
    versions: dict[str, int]
    """How many each version answered."""
    faults: list[str]
    """The first few, in words."""


class SwapClient:
    """Asks in threads until stopped."""

    def __init__(self, url: str, alias: str, at_a_time: int = 2) -> None:
        self._url, self._alias = url, alias
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._requests = self._failed = self._half = 0
        self._versions: dict[str, int] = {}
        self._faults: list[str] = []
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(at_a_time)]

    def start(self) -> None:
        """Begin to ask; again does nothing."""
        if not self._threads[0].is_alive() and not self._stop.is_set():
            for thread in self._threads:
                thread.start()

    def answered(self, version: str) -> int:
        """How many answers that version has given so far."""
        with self._lock:
            return self._versions.get(version, 0)

    def wait_for(self, version: str, answers: int, timeout_s: float) -> None:
        """Return once a version has given so many answers, or the time is up."""
        deadline = time.monotonic() + timeout_s
        while self.answered(version) < answers and time.monotonic() < deadline:
            time.sleep(0.02)

    def stop(self) -> Swap:
        """Let the requests under way end, and say what was seen."""
        self._stop.set()
        for thread in self._threads:
            if thread.is_alive():
                thread.join(60)
        return Swap(
            requests=self._requests,
            failed=self._failed,
            half_loaded=self._half,
            versions=dict(sorted(self._versions.items())),
            faults=self._faults,
        )

    def _ask(self) -> None:
        with httpx.Client(base_url=self._url, timeout=60.0) as http:
            while not self._stop.is_set():
                self._once(http)

    def _once(self, http: httpx.Client) -> None:
        body = {
            "model": self._alias,
            "messages": [{"role": "user", "content": PROMPT}],
            "stream": True,
            "options": {"temperature": 0, "num_predict": 4},
        }
        version, fault, half = "", "", False
        try:
            with http.stream("POST", "/api/chat", json=body) as answer:
                lines = [msgspec.json.decode(line) for line in answer.iter_lines() if line]
                version = answer.headers.get("X-Model-Version", "")
                status = answer.status_code
            if status != 200 or any("error" in line for line in lines):
                fault = f"status {status}: {lines[-1].get('error') if lines else 'no body'}"
            elif not lines or not lines[-1].get("done") or not "".join(x["message"]["content"] for x in lines).strip():
                fault, half = "an answer without text or without an end", True
            elif not version:
                fault = "an answer that names no version"
        except (httpx.HTTPError, msgspec.DecodeError) as error:
            fault = f"{type(error).__name__}: {error}"
        self._note(version, fault, half)

    def _note(self, version: str, fault: str, half: bool) -> None:
        with self._lock:
            self._requests += 1
            self._half += half
            self._failed += bool(fault) and not half
            if fault:
                self._faults = [*self._faults, fault][:5]
            else:
                self._versions[version] = self._versions.get(version, 0) + 1
