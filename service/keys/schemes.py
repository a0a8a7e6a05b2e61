"""How OpenAPI is told of the keys."""

from __future__ import annotations

from litestar.openapi.spec import Components, SecurityRequirement, SecurityScheme

from service.keys.sessions import COOKIE

SCHEMES = Components(
    security_schemes={
        "bearer": SecurityScheme(type="http", scheme="bearer", description="`Authorization: Bearer rk_…`"),
        "header": SecurityScheme(type="apiKey", name="X-API-Key", security_scheme_in="header"),
        "session": SecurityScheme(
            type="apiKey",
            name=COOKIE,
            security_scheme_in="cookie",
            description="Of `POST /login`; what changes something also needs `X-CSRF-Token`.",
        ),
    }
)
NONE: SecurityRequirement = {}
"""No key at all."""


def security(*, required: bool) -> list[SecurityRequirement]:
    """The ways to show a key, of which one is enough; none is one of them where keys aren't required."""
    ways: list[SecurityRequirement] = [{name: []} for name in SCHEMES.security_schemes or {}]
    return ways if required else [*ways, NONE]
