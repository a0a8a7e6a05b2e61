"""Whether a webhook is from whom it should be, and fresh: Standard Webhooks' signature, over its id, time and body.

    webhook-id: msg_2b…    webhook-timestamp: 1795478400    webhook-signature: v1,BASE64 [v1,BASE64 …]
    signature = HMAC-SHA256(secret, "{id}.{timestamp}.{body}")

Any of several secrets may have signed, so that one can be exchanged for another while senders go on. A signed time
outside the window is refused, so that what somebody overheard is worth nothing later; within it the same id stores
nothing twice. Must never tell which of the checks on a signature failed, nor log a secret.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from feedback.errors import InvalidInput

FILE_NAME = "webhook-secret"
"""In the data folder: one secret a line, beside those of the settings."""
PREFIX = "whsec_"
ID_LIMIT = 255
SECRET_BYTES = 16
"""Fewest bytes of a secret: a shorter one could be guessed."""


class InvalidSignature(InvalidInput):
    """A webhook that nobody who may signed, or not lately."""

    code = "invalid-signature"


def secrets_of(settings: Sequence[str], data_dir: Path) -> list[bytes]:
    """Every secret that may sign. Raises InvalidSignature where one is none. Reads a file: not for the event loop."""
    given = list(settings)
    try:
        given += (data_dir / FILE_NAME).read_text("ascii").split()
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidSignature("The file of webhook secrets can't be read.", "The operator must mend it.") from error
    return [_decoded(one) for one in given]


def check_signature(
    headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes], *, at: float, window_s: float
) -> str:
    """The webhook's id. `at`: now, in seconds since 1970. Raises InvalidSignature."""
    if not secrets:
        raise InvalidSignature(
            "This gateway takes no webhooks: it has no secret for them.",
            f"The operator sets gateway.webhook_secrets, or writes one to {FILE_NAME} in the data folder.",
        )
    sent = {name: headers.get(f"webhook-{name}", "") for name in ("id", "timestamp", "signature")}
    if not all(sent.values()) or len(sent["id"]) > ID_LIMIT or not sent["id"].isascii():
        raise InvalidSignature(
            "A header is missing.", "Send webhook-id, webhook-timestamp and webhook-signature (Standard Webhooks)."
        )
    if not (sent["timestamp"].isascii() and sent["timestamp"].isdigit() and len(sent["timestamp"]) <= 12):
        raise InvalidSignature("webhook-timestamp is no time.", "Send whole seconds since 1970.")
    if abs(at - int(sent["timestamp"])) > window_s:
        raise InvalidSignature("The webhook is too old, or from the future.", "Sign it anew; look at both clocks.")
    signed = f"{sent['id']}.{sent['timestamp']}.".encode() + body
    given = list(_signatures(sent["signature"]))
    right = [hmac.compare_digest(signature_of(secret, signed), one) for secret in secrets for one in given]
    if not any(right):
        raise InvalidSignature("No signature is right.", "Sign id, timestamp and body with the secret, joined by dots.")
    return sent["id"]


def signature_of(secret: bytes, signed: bytes) -> bytes:
    """HMAC-SHA256."""
    return hmac.new(secret, signed, hashlib.sha256).digest()


def _signatures(header: str) -> Iterator[bytes]:
    for one in header.split(" ")[:8]:
        version, _, text = one.partition(",")
        if version == "v1":
            try:
                yield base64.b64decode(text, validate=True)
            except (binascii.Error, ValueError):
                continue


def _decoded(secret: str) -> bytes:
    try:
        found = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        found = b""
    if len(found) < SECRET_BYTES:
        raise InvalidSignature(
            "A webhook secret of this gateway is none.", f"It is base64 of at least {SECRET_BYTES} bytes."
        )
    return found
