"""What the code alone does not say of this room's routes; see `service.openapi.operation`."""

from __future__ import annotations

from service.openapi.operation import Operation

OPERATIONS: dict[str, Operation] = {}
