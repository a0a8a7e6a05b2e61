"""Request bodies, read as Ollama reads them: JSON whatever the content type says, and errors in Go's words."""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from service.engine.refusal import Refusal

GO_NAMES = {str: "string", bool: "bool", int: "number", float: "number", list: "array", dict: "object"}

Fields = dict[str, tuple[type | tuple[type, ...], str]]
"""What a field must be, and Go's name of that."""

COMMON: Fields = {
    "model": (str, "string"), "options": (dict, "map[string]interface {}"), "stream": (bool, "bool"),
    "logprobs": (bool, "bool"), "top_logprobs": (int, "int"), "truncate": (bool, "bool"),
}  # fmt: skip
CHAT = COMMON | {"messages": (list, "[]api.Message"), "tools": (list, "api.Tools")}
GENERATE = COMMON | {
    "prompt": (str, "string"), "suffix": (str, "string"), "system": (str, "string"), "template": (str, "string"),
    "context": (list, "[]int"), "raw": (bool, "bool"),
}  # fmt: skip
CREATE: Fields = {
    "model": (str, "string"), "stream": (bool, "bool"), "from": (str, "string"),
    "files": (dict, "map[string]string"), "adapters": (dict, "map[string]string"), "template": (str, "string"),
    "license": ((str, list), "string"), "system": (str, "string"), "parameters": (dict, "map[string]interface {}"),
    "messages": (list, "[]api.Message"), "quantize": (str, "string"),
}  # fmt: skip
NAMED: Fields = {"model": (str, "string"), "name": (str, "string")}
COPY: Fields = {"source": (str, "string"), "destination": (str, "string")}


async def read_body(request: web.Request, kind: str, fields: Fields) -> dict[str, Any]:
    """The body as an object; a field that is null counts as not sent. Raises Refusal (400).

    `kind` is Go's name of the body, for its errors.
    """
    text = (await request.read()).decode("utf-8", "replace")
    if not text.strip():
        raise Refusal(400, "missing request body")
    try:
        body = json.loads(text)
    except json.JSONDecodeError as error:
        raise Refusal(400, _syntax(error)) from error
    if not isinstance(body, dict):
        raise Refusal(400, f"json: cannot unmarshal {_go(body)} into Go value of type api.{kind}")
    body = {name: value for name, value in body.items() if value is not None}
    for name, (types, wanted) in fields.items():
        value = body.get(name)
        number = types is int and isinstance(value, bool)
        if name in body and (number or not isinstance(value, types)):
            field = f"{kind}.{name} of type {wanted}"
            raise Refusal(400, f"json: cannot unmarshal {_go(value)} into Go struct field {field}")
    _check_objects(kind, body.get("messages", []))
    return body


def _check_objects(kind: str, messages: list[Any]) -> None:
    for message in messages:
        if not isinstance(message, dict):
            field = f"{kind}.messages of type api.Message"
            raise Refusal(400, f"json: cannot unmarshal {_go(message)} into Go struct field {field}")


def _go(value: Any) -> str:
    return GO_NAMES.get(type(value), "null")


def _syntax(error: json.JSONDecodeError) -> str:
    if error.pos >= len(error.doc.rstrip()):
        return "unexpected EOF"
    place = {"Expecting property name enclosed in double quotes": "object key string", "Expecting value": "value"}
    for start, wanted in place.items():
        if error.msg.startswith(start):
            return f"invalid character {error.doc[error.pos]!r} looking for beginning of {wanted}"
    return f"invalid character {error.doc[error.pos]!r} in JSON"
