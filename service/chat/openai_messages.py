"""OpenAI's messages as Ollama's: parts joined, images out of their data: URIs, tool calls and their results paired."""

from __future__ import annotations

from typing import Any

import msgspec

from feedback.errors import MalformedBody, Unsupported
from service.chat.attachments import image_of_url

ROLES = {"developer": "system"}


class ContentPart(msgspec.Struct):
    type: str
    text: str = ""
    refusal: str = ""
    image_url: str | dict[str, Any] | None = None


class CalledFunction(msgspec.Struct):
    name: str
    arguments: str | dict[str, Any] = ""


class ToolCall(msgspec.Struct):
    function: CalledFunction
    id: str = ""


class OpenAIMessage(msgspec.Struct):
    role: str
    content: str | list[ContentPart] | None = None
    name: str | None = None
    reasoning: str | None = None
    """What the model thought, as our answers call it."""
    reasoning_content: str | None = None
    """The same, as other servers do."""
    tool_calls: list[ToolCall] | None = None
    tool_call_id: str | None = None


def messages_of(given: list[OpenAIMessage]) -> list[dict[str, Any]]:
    """Ollama's messages. Raises MalformedBody, Unsupported."""
    called: dict[str, str] = {}
    found: list[dict[str, Any]] = []
    for message in given:
        text, images = _content(message)
        one: dict[str, Any] = {"role": ROLES.get(message.role, message.role), "content": text}
        if images:
            one["images"] = images
        if thinking := message.reasoning or message.reasoning_content:
            one["thinking"] = thinking
        if message.tool_calls:
            one["tool_calls"] = [_call(number, call) for number, call in enumerate(message.tool_calls)]
            called.update((call.id, call.function.name) for call in message.tool_calls)
        if message.role == "tool":
            one |= _answered(message, called)
        found.append(one)
    return found


def _answered(message: OpenAIMessage, called: dict[str, str]) -> dict[str, Any]:
    """Which call a tool's result answers: Ollama goes by the tool's name, newer ones by the id too."""
    name = message.name or called.get(message.tool_call_id or "", "")
    given = {"tool_name": name, "tool_call_id": message.tool_call_id or ""}
    return {key: value for key, value in given.items() if value}


def _call(number: int, call: ToolCall) -> dict[str, Any]:
    arguments: Any = call.function.arguments
    if isinstance(arguments, str):
        try:
            arguments = msgspec.json.decode(arguments) if arguments.strip() else {}
        except (msgspec.DecodeError, RecursionError) as error:
            raise MalformedBody(f"The arguments of tool call {number} are not JSON.", "Send an object.") from error
    if not isinstance(arguments, dict):
        raise MalformedBody(f"The arguments of tool call {number} are no object.", "Send an object as JSON text.")
    function = {"index": number, "name": call.function.name, "arguments": arguments}
    return {"id": call.id, "function": function} if call.id else {"function": function}


def _content(message: OpenAIMessage) -> tuple[str, list[str]]:
    """The text of a message, its text parts joined, and its images' base64."""
    if not isinstance(message.content, list):
        return message.content or "", []
    texts: list[str] = []
    images: list[str] = []
    for part in message.content:
        match part.type:
            case "text":
                texts.append(part.text)
            case "refusal":
                texts.append(part.refusal)
            case "image_url":
                images.append(image_of_url(_url(part)))
            case _:
                raise Unsupported(
                    f"This gateway takes no {part.type[:40]!r} parts.", "Send parts of type text and image_url."
                )
    return "".join(texts), images


def _url(part: ContentPart) -> str:
    url = part.image_url.get("url") if isinstance(part.image_url, dict) else part.image_url
    if not isinstance(url, str):
        raise MalformedBody("An image_url part has no url.", 'Send {"url": "data:image/png;base64,…"}.')
    return url
