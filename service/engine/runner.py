"""One model in memory, seen from the engine: its process, where it answers, and how to ask it.

At most `parallel` replies are made at a time; others wait here, in order, where a client that leaves costs nothing.
llama.cpp answers over HTTP on loopback, and what it refuses is passed on as Ollama does.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import secrets
import sys
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp
import msgspec
import psutil

from feedback import mint
from service.engine.library import Model
from service.engine.llama import child_environment
from service.engine.refusal import Refusal
from service.settings import EngineSettings

STOP_TIMEOUT_S = 5.0
LINE_BYTES = 1 << 22
"""The longest event of a reply; the last one repeats the whole prompt."""


class Runner:
    """A loaded model. Made by `start`; its leases are counted by `Runners`."""

    def __init__(self, model: Model, process: asyncio.subprocess.Process, session: aiohttp.ClientSession) -> None:
        self.model = model
        self.name = model.name.short
        """Under which it was asked for last."""
        self.digest = model.weights_digest
        self.leases = 0
        self.broken = False
        """Its connection failed once: nobody new may use it. Set before asyncio has noticed that a process died."""
        self.keep_alive_s = 0.0
        self.expires_at: dt.datetime = mint.now()
        self.context_tokens = 0
        """What one request may use, prompt and reply together."""
        self._process = process
        self._session = session
        self._address = ""
        self._headers: dict[str, str] = {}
        self._turns = asyncio.Semaphore(1)

    @classmethod
    async def start(cls, model: Model, settings: EngineSettings, session: aiohttp.ClientSession) -> Runner:
        """Load a model. Raises Refusal (500) where that fails or takes longer than `load_timeout_s`."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "service.engine.llama", env=child_environment(), start_new_session=True,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        runner = cls(model, process, session)
        try:
            async with asyncio.timeout(settings.load_timeout_s):
                await runner._connect(settings)
        except BaseException as error:
            # Cancelled as well: a child without a runner would never be ended. While it loads it does not hear of it.
            runner._kill()
            await process.wait()
            if isinstance(error, TimeoutError):
                raise Refusal(500, "timed out waiting for llama-server to start") from error
            raise
        return runner

    async def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """One short call. Raises Refusal."""
        with self._told():
            async with self._session.post(self._address + path, json=body, headers=self._headers) as answer:
                await self._checked(answer)
                found: dict[str, Any] = msgspec.json.decode(await answer.read())
                return found

    async def complete(self, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any], None]:
        """A reply's events, the last one with `stop` true. Closing the iterator, or its task, ends the generation.

        Raises Refusal, also where the reply is cut.
        """
        url = f"{self._address}/completion"
        with self._told():
            async with (
                self._turns,
                self._session.post(
                    url, json=body | {"stream": True}, headers=self._headers, read_bufsize=LINE_BYTES
                ) as answer,
            ):
                await self._checked(answer)
                async for line in answer.content:
                    kind, _, data = line.partition(b":")
                    if kind not in (b"data", b"error") or data.strip() == b"[DONE]":
                        continue
                    event: dict[str, Any] = msgspec.json.decode(data)
                    if kind == b"error" or "error" in event:
                        raise Refusal(500, _problem(event.get("error", event)))
                    yield event
                    if event.get("stop"):
                        return
        raise Refusal(500, "an error was encountered while running the model: unexpected EOF")

    def memory_bytes(self) -> int:
        """Resident memory of its process; 0 where it has just ended."""
        with contextlib.suppress(psutil.Error):
            return int(psutil.Process(self._process.pid).memory_info().rss)
        return 0

    async def ended(self) -> None:
        """Wait until the process has ended."""
        await self._process.wait()

    async def stop(self) -> None:
        """End the process; it ends by itself when its stdin does, or is killed where it hangs."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            self._kill()
            await self._process.wait()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    async def _connect(self, settings: EngineSettings) -> None:
        key = secrets.token_urlsafe(16)
        wish = {
            "model": str(self.model.weights), "threads": settings.threads, "key": key,
            "context_tokens": settings.context_tokens, "parallel": settings.parallel,
        }  # fmt: skip
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise Refusal(500, "llama-server process has no pipes")
        with contextlib.suppress(ConnectionError):
            stdin.write(msgspec.json.encode(wish) + b"\n")
            await stdin.drain()
        line = await stdout.readline()
        if not line:
            code = await self._process.wait()
            raise Refusal(500, f"llama-server process has terminated: {_exit(code)}")
        self._address = msgspec.json.decode(line)["address"]
        self._headers = {"Authorization": f"Bearer {key}"}
        self._turns = asyncio.Semaphore(settings.parallel)
        self.keep_alive_s = settings.keep_alive_s
        async with self._session.get(f"{self._address}/props", headers=self._headers) as answer:
            await self._checked(answer)
            self.context_tokens = int((await answer.json())["default_generation_settings"]["n_ctx"])

    @contextlib.contextmanager
    def _told(self) -> Any:
        """A process that dies while it is asked is said to have, in Ollama's words."""
        try:
            yield
        except (aiohttp.ClientError, ConnectionError) as error:
            self.broken = True
            code = self._process.returncode
            ended = f"llama-server process has terminated: {_exit(code)}" if code is not None else "unexpected EOF"
            raise Refusal(500, f"an error was encountered while running the model: {ended}") from error

    async def _checked(self, answer: aiohttp.ClientResponse) -> None:
        if answer.status != 200:
            raise Refusal(answer.status, (await answer.text()).strip())


def _problem(error: Any) -> str:
    return str(error.get("message", error) if isinstance(error, dict) else error)


def _exit(code: int) -> str:
    return f"exit status {code}" if code >= 0 else f"signal {-code}"
