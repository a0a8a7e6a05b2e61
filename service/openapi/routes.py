"""`/schema`: the document as JSON, and Swagger UI to read and try it in, served from here: no page of ours fetches
anything from elsewhere."""

from __future__ import annotations

import functools
import gzip
import importlib.resources

import msgspec
from litestar import Response, get
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from feedback.errors import UnknownRoute
from service.openapi.document import document_of
from service.parts import AnyRequest

ASSETS = {
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "swagger-ui.css": "text/css; charset=utf-8",
    "start.js": "text/javascript; charset=utf-8",
    "LICENSE.txt": "text/plain; charset=utf-8",
}
HEADERS = {
    # Swagger UI sets styles on its elements; everything else comes from files of this gateway.
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
PAGE = """<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <title>Ratchet: the API</title>
  <link rel="icon" href="data:,">
  <link rel="stylesheet" href="/schema/swagger-ui.css">
</head>
<body>
  <div id="api"></div>
  <script src="/schema/swagger-ui-bundle.js"></script>
  <script src="/schema/start.js"></script>
</body>
</html>
"""


@get("/schema", summary="The API, to read and try", include_in_schema=False, allow="anybody")
async def schema_page() -> Response[bytes]:
    """Swagger UI on the document."""
    return Response(PAGE.encode(), headers=HEADERS, media_type="text/html; charset=utf-8")


@get("/schema/openapi.json", summary="The API as OpenAPI", include_in_schema=False, allow="anybody")
async def schema_json(request: AnyRequest) -> Response[bytes]:
    """The document."""
    state = request.app.state
    if "openapi" not in state:
        state.openapi = msgspec.json.encode(document_of(request.app))
    return Response(state.openapi, headers={"cache-control": "no-cache"}, media_type="application/json")


@get("/schema/{name:str}", summary="A file of the API's page", include_in_schema=False, allow="anybody")
async def schema_file(request: AnyRequest, name: FromPath[str]) -> Response[bytes]:
    """Script, style, licences."""
    if name not in ASSETS:
        raise UnknownRoute("There is nothing at this path.", "GET /schema is the page.")
    data = _packed(name)
    headers = {**HEADERS, "vary": "accept-encoding"}
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["content-encoding"] = "gzip"
    else:
        data = gzip.decompress(data)
    return Response(data, headers=headers, media_type=ASSETS[name])


ROUTES: list[ControllerRouterHandler] = [schema_page, schema_json, schema_file]


@functools.cache
def _packed(name: str) -> bytes:
    """A file as it lies here, which is packed; small ones are packed now."""
    folder = importlib.resources.files("service.openapi").joinpath("assets")
    packed = folder.joinpath(f"{name}.gz")
    return packed.read_bytes() if packed.is_file() else gzip.compress(folder.joinpath(name).read_bytes(), mtime=0)
