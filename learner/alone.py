"""Torch's settings for a single worker: no process group, so no port that other machines could reach.

Torch's rendezvous store listens on every interface and asks nobody for a token. With N workers it is needed (put them
on a network of their own); one worker has nobody to meet. Imports Ray and torch: only `learner.launch` may import it,
and only when it starts a training.
"""

from __future__ import annotations

from typing import Any

from ray.train.backend import Backend
from ray.train.torch import TorchConfig


class AloneConfig(TorchConfig):  # type: ignore[misc]  # Ray is not typed
    """A TorchConfig that sets nothing up."""

    @property
    def backend_cls(self) -> Any:
        return Backend  # its hooks do nothing
