"""Images that come with a prompt: checked, and kept once by their hash before the turn that names them.

The upstream gets the client's base64 as it came; the turn gets the hash, and `attachments/<sha256>` the bytes. What an
image is, its first bytes say, never its name or what a client calls it. Must never: let a turn name a file that a power
cut can still take away, or do the decoding and the disk's work on the event loop.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from feedback.errors import BodyTooLarge, MalformedBody, Unsupported
from feedback.files import replace_file, sync_folder
from service.settings import GatewaySettings

FOLDER = "attachments"
KINDS = "PNG, JPEG, WebP or GIF"
DATA_URI = ";base64,"
_WRITING = threading.Lock()
"""Two requests with one image would write into one part file."""


class Attachment(NamedTuple):
    """One image."""

    sha256: str
    data: bytes


def images_of(given: Any) -> list[str]:
    """A message's `images`, as Ollama takes them. Raises MalformedBody."""
    if given is None:
        return []
    if not isinstance(given, list) or not all(isinstance(one, str) for one in given):
        raise MalformedBody("images is not a list of base64 texts.", "Send each image's bytes in base64.")
    return given


def image_of_url(url: str) -> str:
    """The base64 in a `data:` URI. Raises Unsupported for any other: the gateway fetches nothing for anybody."""
    head, mark, body = url.partition(DATA_URI)
    if not mark or not head.lower().startswith("data:"):
        raise Unsupported(
            "The gateway fetches no images: image_url is not a data: URI in base64.",
            'Send {"url": "data:image/png;base64,…"}.',
        )
    return body


def check_size(body_bytes: int, images: Sequence[str], settings: GatewaySettings) -> None:
    """The body's limit is for its texts, the images have their own. Raises BodyTooLarge."""
    coded = sum(map(len, images))
    if body_bytes - coded > settings.body_limit_bytes:
        raise BodyTooLarge(
            "The body is larger than the gateway takes.", "Send less, or raise gateway.body_limit_bytes."
        )
    if coded * 3 > settings.images_limit_bytes * 4 + 12 * len(images):
        raise BodyTooLarge(
            f"The images are larger than {settings.images_limit_bytes:,} bytes together.",
            "Send smaller ones, or raise gateway.images_limit_bytes.",
        )


def whole_body_limit(settings: GatewaySettings) -> int:
    """The largest body that can pass `check_size`, in bytes."""
    return settings.body_limit_bytes + settings.images_limit_bytes * 4 // 3


def decoded(images: Sequence[str]) -> list[Attachment]:
    """The images' bytes and hashes. Raises MalformedBody for what is no base64, Unsupported for what is no image."""
    found: list[Attachment] = []
    for number, image in enumerate(images):
        try:
            data = base64.b64decode(image, validate=True)
        except (binascii.Error, ValueError) as error:
            raise MalformedBody(f"Image {number} is not base64.", "Send the file's bytes, coded in base64.") from error
        if not is_image(data):
            raise Unsupported(f"Image {number} is not a {KINDS}.", "Convert it first.")
        found.append(Attachment(hashlib.sha256(data).hexdigest(), data))
    return found


def keep(data_dir: Path, attachments: Sequence[Attachment]) -> None:
    """Write each image that is not there yet; all are durable when it returns. Raises OSError."""
    folder = data_dir / FOLDER
    with _WRITING:
        for one in {attachment.sha256: attachment for attachment in attachments}.values():
            if (folder / one.sha256).exists():
                sync_folder(folder)  # its bytes are on the disk since before it had its name; the name may not be
            else:
                replace_file(folder / one.sha256, one.data)


def is_image(data: bytes) -> bool:
    """Whether the first bytes are those of a kind that models take."""
    return (
        data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a"))
        or data[:4] + data[8:12] == b"RIFFWEBP"
    )
