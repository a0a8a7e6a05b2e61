"""What can go wrong with a host, told apart: aiohttp's exceptions and bad answers become our errors at this one door.

The classes below are kinds of the tree's own errors: what a client is told is the same, what the gateway does next is
not. See `again` and `blamed`, which decide both.
"""

from __future__ import annotations

from typing import Any

import aiohttp
import msgspec

from feedback.errors import RatchetError, UpstreamBroke, UpstreamDown, UpstreamRefused

REASON_LIMIT = 500
"""Characters of an upstream's error that are passed on."""
REFUSAL_LIMIT_BYTES = 64 * 1024
"""How much of a refusal's body is read."""


class FellSilent(UpstreamBroke):
    """It said nothing for too long. Not asked of another host: the client has waited long enough already."""


class NeverBegan(FellSilent):
    """It did not so much as send headers."""


class StoppedItself(UpstreamBroke):
    """It sent an error of its own under status 200, as Ollama does once a reply has begun."""


def again(error: RatchetError) -> bool:
    """Whether another host may do better, if nothing of the reply was passed on."""
    if isinstance(error, UpstreamRefused):
        return error.status == 404 or error.status >= 500
    return isinstance(error, UpstreamDown | UpstreamBroke) and not isinstance(error, FellSilent)


def blamed(error: RatchetError, *, alone: bool = False) -> bool:
    """Whether the host alone is to blame. An error that it answered with may be the request's own fault instead: that
    is known only when another host does better with the same request.

    Of the only host there is, broken replies are passed on and not counted: sparing it would help nobody. But one that
    nobody reaches, or that keeps everybody waiting, is not waited for again and again.
    """
    if alone:
        return isinstance(error, UpstreamDown | NeverBegan)
    return isinstance(error, UpstreamDown | UpstreamBroke) and not isinstance(error, StoppedItself)


def down(name: str) -> UpstreamDown:
    """Nobody answers there."""
    return UpstreamDown(
        f"No model server answers at {name}.", "Start Ollama or the embedded engine, or set gateway.upstream_url."
    )


def cut_short() -> UpstreamBroke:
    return UpstreamBroke("The upstream hung up before its reply ended.", "Ask again; its log says more.")


def slow(wait_s: float) -> NeverBegan:
    return NeverBegan(f"The upstream did not begin to answer within {wait_s:g} s.", "Is its model too large?")


def silent(wait_s: float) -> FellSilent:
    return FellSilent(f"The upstream fell silent for {wait_s:g} s.", "Ask again, or raise gateway.stall_timeout_s.")


def no_chunk() -> UpstreamBroke:
    return UpstreamBroke("The upstream answered with something that is no chunk.", "See its log.")


def stopped(error: Any) -> StoppedItself:
    return StoppedItself(f"The upstream stopped: {reason(error)}.", "Ask again; its log says more.")


def lacking(tag: str) -> UpstreamRefused:
    """No host has the model. The tag is a version's own, or was asked for by an allowed name."""
    return UpstreamRefused(
        f"No host of the upstream has {tag[:100]!r}.", "If it is a version, `ratchet promote` it again.", status=404
    )


def translated(error: Exception, name: str) -> RatchetError:
    """An exception of sending a request, or of waiting for its headers; a timeout of ours is not among them."""
    connecting = aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError | aiohttp.ClientSSLError
    if isinstance(error, connecting | aiohttp.InvalidURL):
        return down(name)
    if isinstance(error, aiohttp.ClientConnectionError | OSError):
        return cut_short()
    return UpstreamBroke("The upstream answered with something that is not HTTP.", "Is that an Ollama? See its log.")


async def refused(answer: aiohttp.ClientResponse) -> UpstreamRefused:
    """What a status other than 200 says; reads the beginning of its body."""
    try:
        text = (await answer.content.read(REFUSAL_LIMIT_BYTES)).decode("utf-8", "replace")
    except aiohttp.ClientError:
        text = ""
    try:
        said = msgspec.json.decode(text, type=dict[str, Any]).get("error", text)
    except (msgspec.DecodeError, RecursionError):
        said = text
    return UpstreamRefused(
        f"The upstream refused with status {answer.status}: {reason(said)}.",
        "If it has lost the version, `ratchet promote` it again." if answer.status == 404 else "Its log may say more.",
        status=answer.status,
    )


def reason(error: Any) -> str:
    """An upstream's own words, no longer than needed."""
    return str(error).strip().rstrip(".")[:REASON_LIMIT] or "no reason given"
