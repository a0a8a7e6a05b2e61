"""By which names this gateway may be called: what keeps an open one to this machine, and pages to their own site.

A gateway without keys answers whoever reaches it, and a browser on this machine reaches it for any site that asks it
to. So it answers to loopback's own names only (a name that some site made point here is none of them), not through a
proxy, and changes nothing for another site's page.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from feedback.errors import Forbidden
from service.settings import GatewaySettings

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that change nothing."""
PROXY_HEADERS = (b"x-forwarded-for", b"forwarded", b"x-forwarded-host", b"x-real-ip")
WITH_KEYS = 'set gateway.keys = "required"'


def is_loopback(host: str) -> bool:
    """Whether an address to listen on, or a host's name, is this machine's own."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def keys_required(gateway: GatewaySettings) -> bool:
    """Whether requests need a key, by the settings. Raises Forbidden for an open gateway beyond loopback."""
    if gateway.keys == "auto":
        return not is_loopback(gateway.host)
    if gateway.keys == "off" and not is_loopback(gateway.host):
        raise Forbidden(
            f"The gateway may not listen on {gateway.host} without keys: whoever reaches it would be its operator.",
            'Leave gateway.keys at "auto", or set gateway.host to "127.0.0.1" or "::1".',
        )
    return gateway.keys == "required"


class OwnNames:
    """The names that this gateway goes by, beside loopback's."""

    def __init__(self, allowed: list[str]) -> None:
        self._allowed = frozenset(name.lower() for name in allowed)
        self._is_ours = functools.lru_cache(256)(self._look)  # a browser sends one and the same name each time

    def refuse_strangers(self, method: str, headers: Mapping[bytes, bytes]) -> None:
        """For a gateway without keys. Raises Forbidden for what does not come from this machine's own programs."""
        for name in PROXY_HEADERS:
            if name in headers:
                raise Forbidden(
                    "This gateway has no keys, so it can't be used through a proxy.",
                    f"For use beyond this machine, {WITH_KEYS}.",
                )
        host = headers.get(b"host")
        if host is not None and not self._is_ours(host):
            raise Forbidden(
                "This gateway has no keys, so it answers to this machine's own names only.",
                f"Call it 127.0.0.1 or localhost, name the host in gateway.allowed_hosts, or {WITH_KEYS}.",
            )
        origin = headers.get(b"origin")
        if origin is not None and method not in SAFE and not self._is_ours(_netloc(origin)):
            raise Forbidden(
                "This gateway has no keys, so another site's page may change nothing here.",
                f"Name the page's host in gateway.allowed_hosts, or {WITH_KEYS}.",
            )

    def refuse_other_sites(self, headers: Mapping[bytes, bytes]) -> None:
        """For what a signed-in browser sends. Raises Forbidden where another site's page made it do so."""
        origin = headers.get(b"origin")
        if origin is not None:
            netloc = _netloc(origin)
            same = netloc == headers.get(b"host", b"").lower() or self._named(netloc)
        else:
            same = headers.get(b"sec-fetch-site", b"same-origin") in (b"same-origin", b"none")
        if not same:
            raise Forbidden(
                "Another site's page may not do this.",
                "Behind a proxy, let it pass the Host header on, or name the page's host in gateway.allowed_hosts.",
            )

    def _look(self, netloc: bytes) -> bool:
        return is_loopback(_hostname(netloc)) or self._named(netloc)

    def _named(self, netloc: bytes) -> bool:
        return _hostname(netloc) in self._allowed


def _netloc(origin: bytes) -> bytes:
    """The host and port of an Origin; empty for `null` and for what is none."""
    try:
        return urlsplit(origin.decode("ascii")).netloc.lower().encode()
    except ValueError:
        return b""


def _hostname(netloc: bytes) -> str:
    """The host of `host:port`, without brackets; empty where it is none."""
    try:
        return urlsplit(b"//" + netloc).hostname.decode("ascii") if netloc else ""  # type: ignore[union-attr]
    except (ValueError, AttributeError):
        return ""
