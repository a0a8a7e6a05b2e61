"""The learner's client of the gateway: it asks for a snapshot, and that is all it ever asks.

The live database belongs to the gateway. What the learner gets is a frozen folder in the data folder that both share,
and the manifest that names it. The gateway's errors come back as what they are: a pool with nothing to learn is
NothingToLearn here too.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import msgspec

from feedback import errors
from feedback.errors import RatchetError, Unavailable
from feedback.files import sha256_file
from feedback.operator_key import operator_headers

FREEZE_TIMEOUT_S = 600.0
"""Longest wait for a snapshot: a million turns take about a quarter of a minute."""


class GatewayDown(Unavailable):
    code = "gateway-down"


class Gateway:
    """One gateway, by its URL."""

    def __init__(self, url: str, data_dir: Path | None = None, *, timeout_s: float = FREEZE_TIMEOUT_S) -> None:
        """`data_dir`: where the operator's key lies, if the gateway needs one; read anew for each use."""
        self.url = url.rstrip("/")
        self._data_dir = data_dir
        self._timeout = httpx.Timeout(timeout_s, connect=5.0)

    def freeze(self, tokenizer: Path, guard: Sequence[str], base_model: str) -> dict[str, Any]:
        """Freeze the pool and give the manifest's plain values, `id` among them. Asked again, it gives what is there.

        Args:
            tokenizer: the base model's tokenizer.json, in whose tokens lengths are counted.
            guard: texts that nothing near is trained on.
            base_model: what the rows are meant for; noted in the manifest.

        Raises:
            GatewayDown: nobody answers.
            NothingToLearn: the pool has too few rows.
        """
        sha256 = sha256_file(tokenizer)
        headers = operator_headers(self._data_dir) if self._data_dir is not None else {}
        with httpx.Client(base_url=self.url, timeout=self._timeout, headers=headers, trust_env=False) as client:
            self._send(client, "PUT", f"/tokenizers/{sha256}", content=tokenizer.read_bytes())
            body = {"tokenizer": sha256, "guard": list(guard), "base_model": base_model}
            return self._send(client, "POST", "/snapshots", json=body)

    def _send(self, client: httpx.Client, method: str, path: str, **given: Any) -> dict[str, Any]:
        try:
            answer = client.request(method, path, **given)
        except httpx.TransportError as error:
            raise GatewayDown(
                f"The gateway at {self.url} does not answer ({type(error).__name__}).",
                "Start it, or mend learner.gateway_url.",
            ) from error
        if not answer.is_success:
            raise _error_in(answer)
        return msgspec.json.decode(answer.content, type=dict[str, Any])


def _error_in(answer: httpx.Response) -> RatchetError:
    """The gateway's error as the class that it was there."""
    try:
        told = msgspec.json.decode(answer.content, type=dict[str, dict[str, str]])["error"]
        code, message, mend = told["code"], told["message"], told["mend"]
    except (msgspec.DecodeError, KeyError):
        return Unavailable(f"The gateway answered {answer.status_code} without saying why.", "Look at its log.")
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RatchetError)]
    kind = next((kind for kind in kinds if kind.code == code), RatchetError)
    return kind(message, mend)
