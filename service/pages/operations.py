"""What the code alone does not say of the pages' routes; see `service.openapi.operation`."""

from __future__ import annotations

from service.openapi.operation import JS, Body, Operation

OPERATIONS: dict[str, Operation] = {
    "GET /page/chat/{name}": Operation(tag="Pages", answers={200: (Body(type=JS),)}, errors=(404,)),
}
