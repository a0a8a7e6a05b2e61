"""From messages to the tokens that the model reads.

The prompt is rendered by llama.cpp from the Jinja template inside the GGUF, because that is what the weights were
trained with. The Go template that `create` takes is kept and shown but never executed: a second template engine would
be a second chance to differ from training, and Ollama's guess of one already costs SmolLM2 its default system prompt.
What must hold: the tokens sent to the model are those of the text that `_debug_render_only` shows.

A conversation longer than the context loses its oldest messages, never its system prompt or its last one, as in Ollama;
what is still too long then keeps its start and its end.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import msgspec

from service.engine.library import Model
from service.engine.refusal import Refusal, llama_refusal
from service.engine.runner import Runner

Message = dict[str, str]


class Prompt(msgspec.Struct, frozen=True):
    """What the model is given."""

    text: str
    """As rendered; of a prompt that had to be cut, the whole."""
    tokens: list[int]


def conversation(model: Model, given: Sequence[dict[str, Any]]) -> list[Message]:
    """The system prompt (the request's, else the model's), the model's own messages, and the request's."""
    messages = [_message(one) for one in given]
    system = messages[:1] if messages and messages[0]["role"] == "system" else []
    default = [{"role": "system", "content": model.system}] if model.system else []
    return [*(system or default), *(_message(one) for one in model.messages), *messages[len(system) :]]


async def chat_prompt(runner: Runner, messages: list[Message], limit: int, *, truncate: bool) -> Prompt:
    """The prompt of a conversation, in fewer than `limit` tokens.

    Raises Refusal: 400 where it is too long and may not be cut, else as llama.cpp refuses the template.
    """
    prompt = await _rendered(runner, messages)
    if len(prompt.tokens) < limit or not truncate:
        return fitted(prompt, limit, truncate=truncate)
    kept = [message for message in messages[:-1] if message["role"] == "system"]
    rest = [message for message in messages[:-1] if message["role"] != "system"]
    # The fewest oldest messages to leave out, by halving: with each one less the prompt only gets shorter.
    low, high = 0, len(rest)
    while low < high:
        middle = (low + high) // 2
        tried = await _rendered(runner, [*kept, *rest[middle:], messages[-1]])
        low, high = (low, middle) if len(tried.tokens) < limit else (middle + 1, high)
    return fitted(await _rendered(runner, [*kept, *rest[low:], messages[-1]]), limit, truncate=True)


async def raw_prompt(runner: Runner, text: str, limit: int, *, truncate: bool) -> Prompt:
    """The prompt of a text that is no conversation."""
    return fitted(Prompt(text, await tokens_of(runner, text)), limit, truncate=truncate)


def fitted(prompt: Prompt, limit: int, *, truncate: bool) -> Prompt:
    """The prompt, cut in its middle to half the context where it is too long. Raises Refusal (400) if it may not be."""
    count = len(prompt.tokens)
    if count < limit:
        return prompt
    if not truncate:
        message = f"request ({count} tokens) exceeds the available context size ({limit} tokens), try increasing it"
        raise llama_refusal(400, "exceed_context_size_error", message, n_prompt_tokens=count, n_ctx=limit)
    head = min(4, limit // 4)
    return Prompt(prompt.text, prompt.tokens[:head] + prompt.tokens[count - (limit // 2 - head) :])


async def tokens_of(runner: Runner, text: str) -> list[int]:
    """A prompt's tokens, with the model's own start token where it wants one."""
    wanted = {"content": text, "add_special": True, "parse_special": True}
    found: list[int] = (await runner.ask("/tokenize", wanted))["tokens"]
    return found


async def _rendered(runner: Runner, messages: list[Message]) -> Prompt:
    text = str((await runner.ask("/apply-template", {"messages": messages}))["prompt"])
    return Prompt(text, await tokens_of(runner, text))


def _message(given: dict[str, Any]) -> Message:
    if given.get("images"):
        problem = "Multimodal data provided, but model does not support multimodal requests."
        raise llama_refusal(400, "invalid_request_error", problem)
    content = given.get("content") or ""
    if not isinstance(content, str):
        raise Refusal(400, "json: cannot unmarshal into Go struct field Message.content of type string")
    role = given.get("role")
    return {"role": role if isinstance(role, str) else json.dumps(role), "content": content}
