"""The short way to the routes that chat: past Litestar's router, signatures and response classes, to the same handlers.

Litestar's way costs a chat as much CPU as filtering and recording it. So the gateway looks itself whether a request is
exactly for one of these routes, lets the same guard decide, and calls the same handler with the same `Request`; errors
are answered by the app's own handler. Every other request, also one for the same route by another spelling or method,
goes to Litestar. Must never happen: a request that comes by the short way and would have been refused on the long one.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from litestar import Litestar, Request
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import Receive, Send

from service.errors import to_response
from service.keys.guard import Guard
from service.observing.calls import CLIENT_LEFT, current_call

OPT = "short_way"
"""What a route says in its `opt` to be reached this way. Its handler takes the request and nothing else, and gives an
ASGI application."""


class ShortWay:
    """Wraps the app."""

    def __init__(self, app: Litestar) -> None:
        self._app = app
        self._routes: dict[str, HTTPRouteHandler] = {
            route.path: route.route_handler_map["POST"][0]
            for route in app.routes
            if isinstance(route, HTTPRoute)
            and "POST" in route.route_handler_map
            and route.route_handler_map["POST"][0].opt.get(OPT)
        }
        self._guarded = Guard(_handled)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        handler = self._routes.get(scope["path"]) if scope["type"] == "http" and scope["method"] == "POST" else None
        if handler is None or scope.get("root_path"):
            await self._app(scope, receive, send)  # type: ignore[arg-type]
            return
        scope.update(
            litestar_app=self._app, app=self._app, state={}, route_handler=handler, path_template=scope["path"],
            path_params={},
        )  # fmt: skip
        try:
            await self._guarded(scope, receive, send)  # type: ignore[arg-type]
        except Exception as error:  # whatever it was, it is answered in the dialect, as on the long way
            if current_call().status != CLIENT_LEFT:
                raise  # its answer has begun
            request: Request[Any, Any, Any] = Request(scope, receive, send)  # type: ignore[arg-type]
            response = to_response(request, error)
            await response.to_asgi_response(app=None, request=request)(scope, receive, send)  # type: ignore[arg-type]


async def _handled(scope: Any, receive: Receive, send: Send) -> None:
    response = await scope["route_handler"].fn(Request(scope, receive, send))
    await response(scope, receive, send)
