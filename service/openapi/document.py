"""The OpenAPI document, put together from the routes as they are and from what `operations` adds to each.

Not Litestar's own: our routes decode their bodies themselves, with one error shape for each dialect, of which its
generator sees nothing. Made once, when it is first asked for.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import msgspec
from litestar import Litestar
from litestar.handlers import HTTPRouteHandler
from litestar.openapi.spec import SecurityRequirement
from litestar.routes import HTTPRoute

from service.callers import Allow
from service.errors import Speech, speech_of
from service.keys.schemes import SCHEMES, security
from service.openapi import shapes
from service.openapi.operation import Body, Operation
from service.openapi.operations import OPERATIONS

REF = "#/components/schemas/{name}"
ERROR_SHAPES: dict[Speech, Any] = {
    "ollama": shapes.OllamaError,
    "openai": shapes.OpenAIError,
    "ours": shapes.OurError,
}
LOOSE: dict[str, dict[str, Any]] = {
    "application/json": {},
    "application/zip": {},
    "application/octet-stream": {},
    "application/x-ndjson": {"description": "Lines, each a JSON object."},
    "text/event-stream": {"description": "Server-sent events, each with a JSON object; the last one is `[DONE]`."},
}
"""Schemas of bodies without a shape; of any other type they are texts."""
WHAT = {
    303: "There is another page to see.",
    400: "The request is wrong: the code and the sentence say where.",
    401: "A key is needed, or this one holds no longer.",
    403: "The key may not do this.",
    404: "There is no such thing.",
    405: "Not with this method.",
    409: "Right in itself, but not now.",
    413: "The body is too large.",
    422: "The Idempotency-Key came with another request before.",
    429: "Too many: ask again after Retry-After seconds.",
    500: "The upstream failed, or a fault of ours.",
    501: "The model can't do this.",
    502: "The upstream broke or refused.",
    503: "Not your fault: ask again.",
}
EVERYWHERE = (400, 401, 403, 429, 503)
"""Errors that any route may answer with."""
HEADERS: dict[str, tuple[str, dict[str, Any]]] = {
    "X-Conversation-Id": (
        "Which conversation this belongs to, as an answer before said.",
        {"type": "string", "maxLength": 128, "pattern": "^[ -~]*$"},
    ),
    "X-Store": ("`false`: record nothing of this but counts.", {"type": "string", "enum": ["true", "false"]}),
    "Idempotency-Key": (
        "The same key with the same request within a day is answered the same, and done once.",
        {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
    ),
    "X-Person": (
        "Who it is for, on a gateway without keys, percent-encoded; a key's owner wins.",
        {"type": "string", "minLength": 1, "maxLength": 600, "pattern": "^[ -~]+$"},
    ),
    "X-Draft": ("Which of two drafts is asked for.", {"type": "string", "enum": ["first", "second"]}),
    "X-Draft-Pair": (
        "An id of your own, the same for both drafts.", {"type": "string", "pattern": "^[A-Za-z0-9._:-]{8,128}$"}
    ),
    "X-Upstream-Host": (
        "The host's number in gateway.upstream_urls, from 0.", {"type": "string", "pattern": "^[0-9]{1,4}$"}
    ),
}  # fmt: skip
QUERIES: dict[str, dict[str, Any]] = {
    "limit": {"type": "integer", "minimum": 1, "maximum": 500},
    "top": {"type": "integer", "minimum": 0, "maximum": 1000},
    "cursor": {"type": "string", "maxLength": 1024},
}
SAID = {
    "limit": "Most items in the page.",
    "cursor": "`next_cursor` of the page before; empty for the first.",
    "top": "How many of the most frequent rules.",
}


def document_of(app: Litestar) -> dict[str, Any]:
    """The whole document, as plain values."""
    schemas, components = _schemas()
    ways = security(required=app.state.keys_required)
    paths: dict[str, Any] = {}
    for name, path, handler in routes_of(app):
        operation = OPERATIONS.get(name, Operation(tag="Others"))
        method = name.partition(" ")[0].lower()
        paths.setdefault(path, {})[method] = _operation(name, handler, operation, schemas, ways)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Ratchet",
            "version": "1",
            "description": "A chat gateway for Ollama whose model learns from its users' ratings.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": SCHEMES.to_schema()["securitySchemes"],
        },
    }


def routes_of(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler]]:
    """(`METHOD /path`, the path, its handler) of every route that the document tells of."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            for method in sorted(str(method) for method in handler.http_methods):
                if method != "OPTIONS":
                    yield f"{method} {route.path_format}", route.path_format, handler


def _schemas() -> tuple[dict[int, dict[str, Any]], dict[str, Any]]:
    """Each shape's schema by the shape's identity, and the components that these refer to."""
    bodies = [body for one in OPERATIONS.values() for body in _bodies(one)]
    wanted = [*ERROR_SHAPES.values(), *(body.shape for body in bodies if body.shape is not None)]
    unique = list({id(shape): shape for shape in wanted}.values())
    found, components = msgspec.json.schema_components(unique, ref_template=REF)
    return {id(shape): schema for shape, schema in zip(unique, found, strict=True)}, components


def _bodies(operation: Operation) -> Iterator[Body]:
    if operation.body is not None:
        yield operation.body
    for bodies in operation.answers.values():
        yield from bodies


def _operation(
    name: str,
    handler: HTTPRouteHandler,
    operation: Operation,
    schemas: dict[int, dict[str, Any]],
    ways: list[SecurityRequirement],
) -> dict[str, Any]:
    method, _, path = name.partition(" ")
    allow: Allow = handler.opt.get("allow", "operator")
    who = "anybody, without a key" if allow == "anybody" else f"the role {allow}, and those above it"
    found: dict[str, Any] = {
        "operationId": handler.handler_name if len(handler.http_methods) == 1 else f"{handler.handler_name}_{method}",
        "tags": [operation.tag],
        "summary": handler.summary,
        "description": f"{inspect.cleandoc(handler.fn.__doc__ or '')}\n\nFor {who}.",
        "parameters": [*_path_parameters(path), *_query_parameters(handler), *map(_header, operation.headers)],
        "responses": _answers(path, operation, schemas),
        "security": [{}] if allow == "anybody" else ways,
    }
    if operation.body is not None:
        content = _content((operation.body,), schemas)
        found["requestBody"] = {"required": not operation.body_optional, "content": content}
    return found


def _answers(path: str, operation: Operation, schemas: dict[int, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for status, bodies in operation.answers.items():
        found[str(status)] = {"description": WHAT.get(status, "As asked for.")}
        if bodies:
            found[str(status)]["content"] = _content(bodies, schemas)
    shape = ERROR_SHAPES[speech_of(path)]
    statuses = {*EVERYWHERE, *operation.errors, *((413,) if operation.body else ())}
    for status in sorted(statuses - operation.answers.keys()):
        found[str(status)] = {
            "description": WHAT[status],
            "content": {"application/json": {"schema": schemas[id(shape)], "example": _error(speech_of(path))}},
        }
    return found


def _error(speech: Speech) -> dict[str, Any]:
    code, message, mend = "invalid-input", "limit is 0, outside 1 to 500.", "Ask for less."
    match speech:
        case "ollama":
            return {"error": f"{message} {mend}", "code": code, "mend": mend}
        case "openai":
            told = {"message": f"{message} {mend}", "type": "invalid_request_error", "param": None}
            return {"error": {**told, "code": code, "mend": mend}}
        case "ours":
            return {"error": {"code": code, "message": message, "mend": mend}}


def _content(bodies: tuple[Body, ...], schemas: dict[int, dict[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for body in bodies:
        schema = LOOSE.get(body.type, {"type": "string"}) if body.shape is None else schemas[id(body.shape)]
        found[body.type] = {"schema": schema, **({"example": body.example} if body.example is not None else {})}
    return found


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
        for name in re.findall(r"\{(\w+)\}", path)
    ]


def _query_parameters(handler: HTTPRouteHandler) -> list[dict[str, Any]]:
    found = []
    for name, parameter in handler.parsed_fn_signature.parameters.items():
        if "FromQuery" not in str(inspect.signature(handler.fn).parameters[name].annotation):
            continue
        schema = QUERIES.get(name, {"type": "string"})
        found.append(
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": SAID.get(name, ""),
                "schema": {**schema, "default": parameter.default},
            }
        )
    return found


def _header(name: str) -> dict[str, Any]:
    what, schema = HEADERS[name]
    return {"name": name, "in": "header", "required": False, "description": what, "schema": schema}
