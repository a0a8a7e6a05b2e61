"""Names of models: `[[host/]namespace/]model[:tag]`, compared without regard to case.

`smol`, `SMOL:latest` and `registry.ollama.ai/library/smol:latest` are one model. A name becomes folders on disk, so
what is not made of safe characters is no name. Must never let a name climb out of the models' folder.
"""

from __future__ import annotations

import re

import msgspec

HOST, NAMESPACE, TAG = "registry.ollama.ai", "library", "latest"
PART = re.compile(r"[a-z0-9_][a-z0-9_.\-]{0,79}\Z")
HOST_PART = re.compile(r"[a-z0-9_][a-z0-9_.:\-]{0,349}\Z")


class ModelName(msgspec.Struct, frozen=True):
    """A valid name, all parts filled in and in lower case."""

    host: str
    namespace: str
    model: str
    tag: str

    @property
    def short(self) -> str:
        """As lists show it: without the default host and namespace, always with the tag."""
        if self.host != HOST:
            return self.full
        return f"{'' if self.namespace == NAMESPACE else self.namespace + '/'}{self.model}:{self.tag}"

    @property
    def full(self) -> str:
        return f"{self.host}/{self.namespace}/{self.model}:{self.tag}"


def parse_name(text: str) -> ModelName | None:
    """The name, or None where it is not one: empty, a space, `..`, more than three parts, …"""
    path, colon, tag = text.lower().rpartition(":")
    if not colon or "/" in tag:
        path, tag = text.lower(), TAG
    parts = path.split("/")
    if len(parts) > 3:
        return None
    host, namespace, model = [*(HOST, NAMESPACE)[: 3 - len(parts)], *parts]
    if HOST_PART.match(host) and all(PART.match(part) for part in (namespace, model, tag)):
        return ModelName(host, namespace, model, tag)
    return None
