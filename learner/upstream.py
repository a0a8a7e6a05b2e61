"""A client of Ollama's API for the learner: push, load, ask, unload. Synchronous, over httpx.

Not the `ollama` package: its default is to wait for ever, a dead server raises a different exception type depending on
`stream`, and it has no HEAD of a blob. What this adds is small: every failure is UpstreamDown (nobody answers),
UpstreamBroke (an answer was cut) or UpstreamRefused (it says no, and why); a `create` that fails under HTTP 200 is a
failure; a blob is asked for before it is sent; and calls that change nothing are tried again, because a real Ollama
answers 500 `EOF` or 503 while it loads or replaces something.

What must never happen: that a half-made model counts as made, or that an endless wait stops a cycle without a word.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
import msgspec

from feedback.errors import UpstreamBroke, UpstreamDown, UpstreamRefused
from feedback.files import sha256_file

Result = TypeVar("Result")

PAUSES_S = (0.2, 0.6, 1.5)
"""Waits before a call that changes nothing is tried again."""
CHUNK_BYTES = 1 << 20
FOR_EVER = -1
"""keep_alive of what serves: it stays loaded until it is told to go."""


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """One whole reply."""

    text: str
    done_reason: str
    """`stop`, or `length` where the reply ran into its limit."""
    prompt_tokens: int = 0
    reply_tokens: int = 0
    seconds: float = 0.0


class Upstream:
    """One Ollama (or engine). Use it with `with`, or close it."""

    def __init__(self, url: str, *, timeout_s: float = 120.0, connect_timeout_s: float = 5.0) -> None:
        """`timeout_s` is the longest silence of any one call; loading and creating a model may take that long."""
        self.url = url.rstrip("/")
        # Not through the environment's proxy: a host on loopback or in the cluster is asked itself.
        timeout = httpx.Timeout(timeout_s, connect=connect_timeout_s)
        self._client = httpx.Client(base_url=self.url, timeout=timeout, trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    # What is there ------------------------------------------------------------------------------------------------

    def version(self) -> str:
        """Ollama's version. Raises UpstreamDown where nobody answers."""
        return str(self._read("GET", "/api/version").get("version", ""))

    def tags(self) -> dict[str, str]:
        """Every model's full name and its digest."""
        return {str(model["name"]): str(model.get("digest", "")) for model in self._read("GET", "/api/tags")["models"]}

    def loaded(self) -> list[str]:
        """The full names of the models in memory."""
        return [str(model["name"]) for model in self._read("GET", "/api/ps")["models"]]

    def show(self, tag: str) -> dict[str, Any]:
        """Template, system, parameters and details of a model. Raises UpstreamRefused (404) where there is none."""
        return self._read("POST", "/api/show", {"model": tag})

    # Models -------------------------------------------------------------------------------------------------------

    def push(
        self, tag: str, gguf: Path, *, template: str, system: str, parameters: Mapping[str, Any], sha256: str = ""
    ) -> None:
        """Make `gguf` a model called `tag`. Doing it again with the same file and words changes nothing.

        Template, system and parameters are always sent: left to itself, Ollama guesses the template and loses the
        model's default system prompt. `sha256` spares hashing the file once more.
        """
        digest = "sha256:" + (sha256 or sha256_file(gguf))
        self._put_blob(digest, gguf)
        body = {
            "model": tag, "files": {"model.gguf": digest}, "template": template, "system": system,
            "parameters": dict(parameters), "stream": True,
        }  # fmt: skip
        self._create(tag, body)
        self._patiently(lambda: self.show(tag), also=(404,))

    def load(self, tag: str) -> float:
        """Load a model and keep it loaded; returns the seconds that took."""
        started = time.monotonic()
        self._read("POST", "/api/generate", {"model": tag, "keep_alive": FOR_EVER, "stream": False}, also=(404,))
        return time.monotonic() - started

    def unload(self, tag: str) -> None:
        """Let a model go. One that is still answering goes when its last reply has ended; one that isn't there is no
        error."""
        self._unless_missing(lambda: self._read("POST", "/api/generate", {"model": tag, "keep_alive": 0}))

    def delete(self, tag: str) -> None:
        """Remove a model from the upstream's disk; one that isn't there is no error."""
        self._unless_missing(lambda: self._read("DELETE", "/api/delete", {"model": tag}))

    # Asking -------------------------------------------------------------------------------------------------------

    def chat(self, tag: str, messages: list[dict[str, str]], *, options: Mapping[str, Any] | None = None) -> Answer:
        """One whole reply. Raises UpstreamBroke where the answer has no end."""
        body = {"model": tag, "messages": messages, "stream": False, "options": dict(options or {})}
        body["keep_alive"] = FOR_EVER
        started = time.monotonic()
        answer = self._read("POST", "/api/chat", body)
        if answer.get("done") is not True or not isinstance(answer.get("message"), dict):
            raise UpstreamBroke(f"{tag}'s reply has no end.", "Look at the upstream's log.")
        return Answer(
            text=str(answer["message"].get("content", "")), done_reason=str(answer.get("done_reason", "")),
            prompt_tokens=int(answer.get("prompt_eval_count", 0)), reply_tokens=int(answer.get("eval_count", 0)),
            seconds=time.monotonic() - started,
        )  # fmt: skip

    def rendered(self, tag: str, messages: list[dict[str, str]]) -> str | None:
        """The prompt that the upstream makes of a conversation; None where it doesn't tell."""
        body = {"model": tag, "messages": messages, "stream": False, "_debug_render_only": True}
        # An upstream that doesn't know the field answers the chat instead: then let it be short.
        body["options"] = {"num_predict": 1}
        found = self._read("POST", "/api/chat", body).get("_debug_info")
        return str(found["rendered_template"]) if isinstance(found, dict) and "rendered_template" in found else None

    # The one door -------------------------------------------------------------------------------------------------

    def _put_blob(self, digest: str, file: Path) -> None:
        """Send a file's bytes unless they are there: re-sending is answered without reading, a broken pipe for us."""
        path = f"/api/blobs/{digest}"
        if self._patiently(lambda: self._send("HEAD", path)).status_code == 200:
            return
        headers = {"Content-Length": str(file.stat().st_size)}

        def send() -> None:
            try:
                self._checked(self._send("POST", path, content=_chunks(file), headers=headers))
            except (UpstreamDown, UpstreamBroke):
                # Another push of the same bytes may have won the race, and then the pipe breaks.
                if self._send("HEAD", path).status_code != 200:
                    raise

        self._patiently(send)

    def _create(self, tag: str, body: dict[str, Any]) -> None:
        """Read the status lines to their end: an error line comes under HTTP 200, and only `success` is success."""
        last = ""
        try:
            with self._client.stream("POST", "/api/create", json=body) as answer:
                if answer.status_code != 200:
                    answer.read()
                    self._checked(answer)
                for line in answer.iter_lines():
                    said = _decoded(line) if line.strip() else {}
                    if "error" in said:
                        raise UpstreamRefused(f"{self.url} could not create {tag}: {said['error']}.", "", status=500)
                    last = str(said.get("status", last))
        except httpx.TransportError as error:
            raise self._translated(error) from error
        if last != "success":
            raise UpstreamBroke(f"Creating {tag} ended after {last!r}, not with success.", "Run the step again.")

    def _read(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, *, also: tuple[int, ...] = ()
    ) -> dict[str, Any]:
        def ask() -> dict[str, Any]:
            answer = self._checked(self._send(method, path, json=None if body is None else dict(body)))
            # A call that says nothing but "yes" has no body; several lines end with the one that counts.
            lines = answer.content.splitlines()
            return _decoded(lines[-1].decode()) if lines else {}

        return self._patiently(ask, also=also)

    def _send(self, method: str, path: str, **given: Any) -> httpx.Response:
        try:
            return self._client.request(method, path, **given)
        except httpx.TransportError as error:
            raise self._translated(error) from error

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        if answer.is_success:
            return answer
        said = answer.text
        # Not JSON: a proxy in between speaks its own way, and its text is what there is to show.
        with contextlib.suppress(msgspec.DecodeError):
            said = str(msgspec.json.decode(answer.content, type=dict[str, Any]).get("error", said))
        raise UpstreamRefused(
            f"{self.url} answered {answer.status_code}: {said[:300]}.", "Mend what it names.", status=answer.status_code
        )

    def _translated(self, error: httpx.TransportError) -> UpstreamDown | UpstreamBroke:
        if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout):
            return UpstreamDown(f"Nobody answers at {self.url}.", "Start Ollama or the engine, or mend upstream_url.")
        return UpstreamBroke(f"{self.url} broke off: {type(error).__name__}.", "Look at the upstream's log.")

    def _patiently(self, call: Callable[[], Result], *, also: tuple[int, ...] = ()) -> Result:
        """Try a repeatable call a few times where the trouble passes: no answer, 500 EOF, 502 to 504, and `also`."""
        for pause in (*PAUSES_S, None):
            try:
                return call()
            except (UpstreamDown, UpstreamBroke, UpstreamRefused) as error:
                if pause is None or not _passes(error, also):
                    raise
                time.sleep(pause)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _unless_missing(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except UpstreamRefused as error:
            if error.status != 404:
                raise


def _passes(error: UpstreamDown | UpstreamBroke | UpstreamRefused, also: tuple[int, ...]) -> bool:
    """Whether waiting may help. A silence longer than the timeout doesn't count: it has been waited for already."""
    if isinstance(error, UpstreamRefused):
        return error.status in (502, 503, 504, *also) or (error.status == 500 and "EOF" in error.message)
    return "Timeout" not in error.message


def _decoded(line: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise UpstreamBroke("The upstream's answer is not JSON.", "Look at its log, or at what is between.") from error


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        while chunk := opened.read(CHUNK_BYTES):
            yield chunk
