"""LiteLLM as a client, in an interpreter of its own: makes each call and prints what came of it as one line of JSON.

    python -I litellm_client.py http://127.0.0.1:8400

Run by `tests/service/test_contract_litellm.py`; imports nothing of ours, since LiteLLM's venv has nothing of ours.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Callable
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # nothing is fetched while it is imported

litellm: Any = importlib.import_module("litellm")  # of the venv that runs this; ours does not have it

ASK = [{"role": "user", "content": "What is the weather in Paris?"}]
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place",
        "parameters": {"type": "object", "properties": {"place": {"type": "string"}}},
    },
}
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ"
    "AAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
PICTURED = [
    {
        "role": "user",
        "content": [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": PIXEL}}],
    }
]


def main(url: str) -> None:
    """Every call, with each of the three ways that LiteLLM has to us."""
    for provider, base in (("ollama", url), ("ollama_chat", url), ("openai", f"{url}/v1")):
        more = {"model": f"{provider}/assistant", "api_base": base, "api_key": "none", "num_retries": 0}
        tell(provider, "whole", lambda more=more: whole(messages=ASK, temperature=0, max_tokens=50, **more))
        tell(provider, "streamed", lambda more=more: streamed(messages=ASK, **more))
        tell(provider, "tools", lambda more=more: whole(messages=ASK, tools=[TOOL], **more))
        tell(provider, "tools streamed", lambda more=more: streamed(messages=ASK, tools=[TOOL], **more))
        tell(provider, "json", lambda more=more: whole(messages=ASK, response_format={"type": "json_object"}, **more))
        tell(provider, "image", lambda more=more: whole(messages=PICTURED, **more))
        unknown = {**more, "model": f"{provider}/nosuch"}
        tell(provider, "unknown", lambda more=unknown: whole(messages=ASK, **more))
    for provider, base in (("ollama", url), ("openai", f"{url}/v1")):
        more = {"model": f"{provider}/embedder:1.0.0", "api_base": base, "api_key": "none"}
        tell(provider, "embedding", lambda more=more: embedding(**more))


def whole(**more: Any) -> dict[str, Any]:
    answer = litellm.completion(**more)
    message = answer.choices[0].message
    return {
        "text": message.content,
        "calls": calls_of(message.tool_calls),
        "finish": answer.choices[0].finish_reason,
        "tokens": answer.usage.total_tokens,
    }


def streamed(**more: Any) -> dict[str, Any]:
    text, calls, finish = "", [], None
    for chunk in litellm.completion(stream=True, **more):
        choice = chunk.choices[0]
        text += choice.delta.content or ""
        calls += calls_of(choice.delta.tool_calls)
        finish = choice.finish_reason or finish
    return {"text": text, "calls": calls, "finish": finish}


def embedding(**more: Any) -> dict[str, Any]:
    answer = litellm.embedding(input=["hello", "bye"], **more)
    return {"sizes": [len(one["embedding"]) for one in answer.data]}


def calls_of(calls: Any) -> list[Any]:
    return [[call.function.name, json.loads(call.function.arguments or "{}")] for call in calls or ()]


def tell(provider: str, call: str, done: Callable[[], dict[str, Any]]) -> None:
    """One line; an error is told by its class and status, which is what a program can act on."""
    try:
        found = done()
    except Exception as error:  # whatever it is, it is the result
        found = {"error": type(error).__name__, "status": getattr(error, "status_code", None), "says": str(error)[:300]}
    print(json.dumps({"provider": provider, "call": call, **found}), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
