"""`GET /metrics`: the meters in Prometheus's text. For operators, or for anybody if the settings say so."""

from __future__ import annotations

from litestar import Response, get
from litestar.handlers import HTTPRouteHandler
from prometheus_client import CONTENT_TYPE_LATEST

from service.parts import AnyRequest, parts_of


def metrics_route(*, public: bool) -> HTTPRouteHandler:
    """The route, for anybody or for operators."""

    @get(
        "/metrics", summary="What Prometheus reads", media_type="text/plain", allow="anybody" if public else "operator"
    )
    async def metrics(request: AnyRequest) -> Response[bytes]:
        """Requests, tokens, times, filter hits, the writer's queue, satisfaction by version, this process."""
        return Response(await parts_of(request).exposition.page(), media_type=CONTENT_TYPE_LATEST)

    return metrics
