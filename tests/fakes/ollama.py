"""An Ollama that behaves: a real HTTP server on loopback, scripted per test by a queue and remembered in a history.

    with FakeOllama(models=["assistant:1.0.0"]) as fake:
        fake.will_say("The capital of France is Paris.")
        fake.will_break_after("Paris is", " the")
        ...  # ask fake.url
        assert fake.history[0].body["model"] == "assistant:1.0.0"

A chat takes the next script from the queue; where the queue is empty, `answers(model, messages)` is asked. Answers have
the shapes that were recorded from a real server. The server runs in a thread with a loop of its own, so that tests may
be sync or async and the code under test meets a real socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any, Literal, Self

from aiohttp import web

from tests.fakes.listening import accept_no_more, listening
from tests.fakes.ollama_library import Library, Refused, full_name, seconds_of
from tests.fakes.ollama_lines import cut, json_of, line_of, render, vectors_of
from tests.fakes.ollama_scripts import PIECES, Script, Scripted

VERSION = "0.32.15"
Answers = Callable[[str, list[dict[str, Any]]], str]


@dataclasses.dataclass
class Seen:
    """One request as it came, and how it ended."""

    method: str
    path: str
    body: dict[str, Any]
    headers: dict[str, str]
    at: float
    """time.monotonic() when it came."""
    ended: Literal["", "answered", "broken", "left"] = ""
    """`left`: the client went away before the answer's end."""
    ended_at: float = 0.0


def echo(model: str, messages: list[dict[str, Any]]) -> str:
    """The answer where nothing is scripted."""
    return f"You said: {messages[-1].get('content', '')}" if messages else "You said nothing."


class FakeOllama(Scripted):
    """A fake Ollama. Start it with `with`; `url` is then where it answers."""

    def __init__(
        self,
        models: list[str] | None = None,
        *,
        answers: Answers = echo,
        port: int = 0,
        slow_load_s: float = 0.0,
        chunk_delay_s: float = 0.0,
    ) -> None:
        super().__init__()
        self.library = Library(["assistant:1.0.0"] if models is None else models)
        self.answers = answers
        self.slow_load_s = slow_load_s
        """How long a model that is not loaded takes to load."""
        self.chunk_delay_s = chunk_delay_s
        """Pause before each chunk."""
        self.history: list[Seen] = []
        self.url = ""
        self._port = port
        self._transports: set[asyncio.Transport] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._stop: asyncio.Event | None = None

    @property
    def chats(self) -> list[Seen]:
        """The chats and generations in the history, oldest first."""
        return [seen for seen in self.history if seen.path in ("/api/chat", "/api/generate")]

    def wait(self, condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
        """Wait until the condition holds. Raises TimeoutError."""
        limit = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > limit:
                raise TimeoutError(f"still not so after {timeout_s} s; seen: {[seen.path for seen in self.history]}")
            time.sleep(0.005)

    # The thread ---------------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        started = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(started)), name="fake-ollama", daemon=True
        )
        self._thread.start()
        if not started.wait(10) or not self.url:
            raise RuntimeError("the fake Ollama did not start")
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Go down, as a server does that is stopped; again is harmless."""
        if self._loop and self._stop and self._thread and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(10)

    async def _serve(self, started: threading.Event) -> None:
        app = web.Application(client_max_size=1 << 30)
        for method, path, handler in (
            ("GET", "/", self._root),
            ("GET", "/api/version", self._version),
            ("GET", "/api/tags", self._tags),
            ("GET", "/api/ps", self._ps),
            ("POST", "/api/show", self._show),
            ("HEAD", "/api/blobs/{digest}", self._has_blob),
            ("POST", "/api/blobs/{digest}", self._put_blob),
            ("POST", "/api/create", self._create),
            ("POST", "/api/copy", self._copy),
            ("DELETE", "/api/delete", self._delete),
            ("POST", "/api/chat", self._chat),
            ("POST", "/api/generate", self._chat),
            ("POST", "/api/embed", self._embed),
            ("POST", "/api/embeddings", self._embed),
            ("POST", "/api/pull", self._pull),
            ("POST", "/api/push", self._pull),
        ):
            app.router.add_route(method, path, self._remember(handler))
        # Leaving cancels the handler: that is how a test sees whether the gateway let go of its upstream.
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        listener = listening(self._port)
        await web.SockSite(runner, listener).start()
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        started.set()
        await self._stop.wait()
        await accept_no_more(listener)
        server = runner.server
        await runner.cleanup()
        await asyncio.sleep(0.02)
        if server is not None:
            await server.shutdown(0)  # a connection that was on its way in is in no list before now
        for transport in self._transports:
            transport.abort()  # one whose last answer was being sent just then is in nobody's list any more
        await asyncio.sleep(0.01)

    def _remember(self, handler: Callable[..., Any]) -> Callable[[web.Request], Any]:
        async def remembering(request: web.Request) -> web.StreamResponse:
            seen = Seen(request.method, request.path, {}, dict(request.headers), time.monotonic())
            self.history.append(seen)
            if request.transport is not None:
                self._transports.add(request.transport)
            try:
                if "blobs" not in request.path and request.can_read_body:
                    seen.body = json_of(await request.text())
                answer: web.StreamResponse = await handler(request, seen)
                seen.ended = seen.ended or "answered"
                return answer
            except Refused as refused:
                seen.ended = "answered"
                return web.json_response({"error": refused.error}, status=refused.status)
            except (asyncio.CancelledError, ConnectionResetError):
                seen.ended = "left"
                raise
            finally:
                seen.ended_at = time.monotonic()

        return remembering

    # Routes -------------------------------------------------------------------------------------------------------

    async def _root(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        return web.Response(text="Ollama is running")

    async def _version(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        return web.json_response({"version": VERSION})

    async def _tags(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        return web.json_response(self.library.tags())

    async def _ps(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        return web.json_response(self.library.ps())

    async def _show(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        return web.json_response(self.library.show(seen.body))

    async def _has_blob(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        found = self.library.digest(request.match_info["digest"]) in self.library.blobs
        return web.Response(status=200 if found else 404)

    async def _put_blob(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        digest = self.library.digest(request.match_info["digest"])
        if digest in self.library.blobs:
            # A real one answers without reading the body, and the client sees a broken pipe.
            answer = web.Response(status=200)
            answer.force_close()
            return answer
        self.library.put_blob(digest, await request.read())
        return web.Response(status=201)

    async def _create(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        if seen.body.get("stream") is False:
            self.library.create(seen.body)
            return web.json_response({"status": "success"})
        try:
            lines: list[dict[str, Any]] = [{"status": line} for line in self.library.create(seen.body)]
        except Refused as refused:
            # As recorded: wrong names are refused with their status, what fails in the making ends a 200's lines.
            if refused.status < 500:
                raise
            lines = [{"status": "parsing GGUF"}, {"error": refused.error}]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        return web.Response(text=text, content_type="application/x-ndjson")

    async def _copy(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        self.library.copy(str(seen.body.get("source", "")), str(seen.body.get("destination", "")))
        return web.Response()

    async def _delete(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        self.library.delete(str(seen.body.get("model") or seen.body.get("name") or ""))
        return web.Response()

    async def _pull(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        if seen.path == "/api/pull":
            self.library.add(str(seen.body.get("model", "")))
        if seen.body.get("stream") is False:
            return web.json_response({"status": "success"})
        lines = [{"status": "pulling manifest"}, {"status": "success"}]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        return web.Response(text=text, content_type="application/x-ndjson")

    async def _embed(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        name = str(seen.body.get("model", ""))
        if full_name(name) not in self.library.models:
            raise Refused(404, f'model "{name}" not found, try pulling it first')
        vectors = vectors_of(seen.body)
        await asyncio.sleep(self.chunk_delay_s)
        if seen.path == "/api/embeddings":
            return web.json_response({"embedding": vectors[0]})
        told = {"total_duration": 1, "load_duration": 1, "prompt_eval_count": 2 * len(vectors)}
        return web.json_response({"model": name, "embeddings": vectors, **told})

    # Chat and generate --------------------------------------------------------------------------------------------

    async def _chat(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        body, chat = seen.body, seen.path == "/api/chat"
        name = str(body.get("model", ""))
        if chat and not name:
            raise Refused(400, "model is required")
        model = self.library.find(name)
        messages = body.get("messages") or []
        if not chat:
            messages = [{"role": "user", "content": body["prompt"]}] if body.get("prompt") else []
        seconds_of(body.get("keep_alive"))
        if not messages:
            return await self._load_or_unload(name, body, chat)
        if body.get("_debug_render_only"):
            rendered = {"rendered_template": render(model.system, messages)}
            return web.json_response({**line_of(name, chat, ""), "_debug_info": rendered})
        script = self._scripts.popleft() if self._scripts else Script()
        if script.status != 200:
            raise Refused(script.status, script.error)
        limit = int(body.get("options", {}).get("num_predict", model.parameters.get("num_predict", -1)))
        script = self._decide(script, name, messages, limit)
        async with self._busy(name, body):
            if body.get("stream") is False:
                return await self._whole(request, seen, script, chat)
            return await self._streamed(request, seen, script, chat)

    def _decide(self, script: Script, name: str, messages: list[dict[str, Any]], limit: int) -> Script:
        if script.chunks is None:
            script = dataclasses.replace(script, chunks=tuple(PIECES.findall(self.answers(name, messages))))
        assert script.chunks is not None
        if 0 <= limit < len(script.chunks):
            script = dataclasses.replace(script, chunks=script.chunks[:limit], done_reason="length")
        return script

    async def _load_or_unload(self, name: str, body: dict[str, Any], chat: bool) -> web.StreamResponse:
        unload = body.get("keep_alive") is not None and seconds_of(body["keep_alive"]) == 0
        if not unload and not self.library.is_loaded(name):
            await asyncio.sleep(self.slow_load_s)
        self.library.keep(name, body.get("keep_alive"))
        reason = "unload" if unload else "load"
        return web.json_response({**line_of(name, chat, ""), "done": True, "done_reason": reason})

    @contextlib.asynccontextmanager
    async def _busy(self, name: str, body: dict[str, Any]) -> AsyncIterator[None]:
        if not self.library.is_loaded(name):
            await asyncio.sleep(self.slow_load_s)
        key = full_name(name)
        self.library.busy[key] = self.library.busy.get(key, 0) + 1
        self.library.keep(name, body.get("keep_alive"))
        try:
            yield
        finally:
            self.library.busy[key] -= 1

    async def _streamed(self, request: web.Request, seen: Seen, script: Script, chat: bool) -> web.StreamResponse:
        assert script.chunks is not None
        name = seen.body["model"]
        if script.then == "stall" and not script.chunks:
            await asyncio.sleep(3600)
        answer = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await answer.prepare(request)
        for chunk in script.chunks:
            await asyncio.sleep(self.chunk_delay_s)
            await answer.write(json.dumps(line_of(name, chat, chunk), ensure_ascii=False).encode() + b"\n")
        match script.then:
            case "break":
                cut(request, seen)
            case "stall":
                await asyncio.sleep(3600)
            case "error":
                await answer.write(json.dumps({"error": script.error}).encode() + b"\n")
            case "garbage":
                await answer.write(b'{"model": "assi\n')
            case "lines":
                await answer.write(b"".join(json.dumps(line).encode() + b"\n" for line in script.lines))
            case "end":
                await answer.write(json.dumps(self._last(seen, script, chat, "")).encode() + b"\n")
        if script.then != "break":
            await answer.write_eof()
        return answer

    async def _whole(self, request: web.Request, seen: Seen, script: Script, chat: bool) -> web.StreamResponse:
        assert script.chunks is not None
        await asyncio.sleep(self.chunk_delay_s * len(script.chunks))
        match script.then:
            case "break":
                cut(request, seen)
            case "stall":
                await asyncio.sleep(3600)
            case "error":
                raise Refused(500, script.error)
            case "garbage":
                return web.Response(text='{"model": "assi', content_type="application/json")
        return web.json_response(self._last(seen, script, chat, "".join(script.chunks)))

    def _last(self, seen: Seen, script: Script, chat: bool, text: str) -> dict[str, Any]:
        took = int((time.monotonic() - seen.at) * 1e9)
        prompt = json.dumps(seen.body.get("messages") or seen.body.get("prompt"))
        return {
            **line_of(seen.body["model"], chat, text), "done": True, "done_reason": script.done_reason,
            "total_duration": took, "load_duration": 0, "prompt_eval_count": len(prompt.split()),
            "prompt_eval_duration": 0, "eval_count": len(script.chunks or ()), "eval_duration": took,
            **({} if chat or seen.body.get("raw") else {"context": [1, 2, len(prompt), len(text)]}),
        }  # fmt: skip
