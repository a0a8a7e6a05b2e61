"""One reply: llama.cpp's events become the lines of Ollama's chat or generate.

The two routes differ in what a piece of text is called and in a few fields of the last line; everything else is one
path here. A reply that does not come to its end raises, so that no caller can take half of one for a whole.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Literal

import msgspec

from feedback import mint
from service.engine.options import sampling
from service.engine.prompts import Prompt
from service.engine.runner import Runner

Line = dict[str, Any]
NS = 1_000_000


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked of a loaded model, checked."""

    route: Literal["chat", "generate"]
    model: str
    """The name as the client wrote it, which answers repeat."""
    options: dict[str, Any]
    constraint: dict[str, Any] = {}
    """llama.cpp's form of `format`."""
    raw: bool = False
    """A generate without a template: no `context` is returned then."""
    logprobs: bool = False
    top_logprobs: int = 0
    """Alternatives at each token, 0 to 20."""


async def reply_lines(
    runner: Runner, request: Request, prompt: Prompt, limit: int, started: float, loaded: float
) -> AsyncGenerator[Line, None]:
    """The lines of a streamed reply, the last one with `done` true.

    `started` and `loaded` are `time.monotonic()` when the request came and when its model was there; `limit` is the
    context in tokens. Raises Refusal where the reply can't begin, or breaks.
    """
    body = sampling(request.options, limit - len(prompt.tokens)) | request.constraint
    body |= {"prompt": prompt.tokens, "return_tokens": True, "cache_prompt": True}
    if request.logprobs:
        body["n_probs"] = max(1, request.top_logprobs)
    tokens: list[int] = []
    async with aclosing(runner.complete(body)) as events:
        async for event in events:
            tokens += event.get("tokens") or []
            probabilities = [_logprob(one, request.top_logprobs) for one in event.get("completion_probabilities", [])]
            if event["content"] or (probabilities and not event.get("stop")):
                yield _piece(request, event["content"]) | ({"logprobs": probabilities} if probabilities else {})
            if event.get("stop"):
                end = _end(request, event, prompt.tokens + tokens)
                now = time.monotonic()
                end["total_duration"] = int((now - started) * 1e9)
                end["load_duration"] = int((loaded - started) * 1e9)
                yield end | _counts(event)


async def whole_reply(lines: AsyncIterator[Line]) -> Line:
    """The same as one answer."""
    texts: list[str] = []
    logprobs: list[Any] = []
    async for line in lines:
        texts.append(line["message"]["content"] if "message" in line else line["response"])
        logprobs += line.pop("logprobs", [])
        if line["done"]:
            text = "".join(texts)
            if "message" in line:
                line["message"]["content"] = text
            else:
                line["response"] = text
            return _after_reason(line, {"logprobs": logprobs} if logprobs else {})
    raise RuntimeError("a reply ended without its last line")  # reply_lines raises before this can happen


def loaded_line(route: Literal["chat", "generate"], model: str, reason: Literal["load", "unload"]) -> Line:
    """The answer to a request that only loads a model, or lets it go."""
    return _piece(Request(route=route, model=model, options={}), "") | {"done": True, "done_reason": reason}


def rendered_line(request: Request, prompt: Prompt) -> Line:
    """The answer to `_debug_render_only`."""
    line = _piece(request, "")
    if request.route == "chat":
        line["message"]["role"] = ""
    return line | {"_debug_info": {"rendered_template": prompt.text}}


def timestamp() -> str:
    """Now, as Ollama writes it."""
    return mint.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _piece(request: Request, text: str) -> Line:
    line: Line = {"model": request.model, "created_at": timestamp()}
    if request.route == "chat":
        line["message"] = {"role": "assistant", "content": text}
    else:
        line["response"] = text
    return line | {"done": False}


def _end(request: Request, event: dict[str, Any], tokens: list[int]) -> Line:
    line = _piece(request, "") | {"done": True, "done_reason": "length" if event["stop_type"] == "limit" else "stop"}
    if request.route == "generate" and not request.raw:
        line["context"] = tokens
    return line


def _after_reason(line: Line, more: Line) -> Line:
    """The line with fields put where Ollama puts them: after how it ended, before what it cost."""
    place = list(line).index("done_reason") + 1
    return dict([*list(line.items())[:place], *more.items(), *list(line.items())[place:]])


def _counts(event: dict[str, Any]) -> Line:
    timings = event["timings"]
    return {
        "prompt_eval_count": event["tokens_evaluated"],
        "prompt_eval_duration": int(timings["prompt_ms"] * NS),
        "eval_count": event["tokens_predicted"],
        "eval_duration": int(timings["predicted_ms"] * NS),
    }


def _logprob(given: dict[str, Any], top: int) -> dict[str, Any]:
    fields = ("token", "logprob", "bytes")
    found = {field: given[field] for field in fields}
    if top:
        found["top_logprobs"] = [{field: one[field] for field in fields} for one in given["top_logprobs"][:top]]
    return found
