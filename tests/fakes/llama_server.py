"""llama.cpp's own server in this process, on loopback: what a GGUF really says. No fake at all, hence the name."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import xllamacpp


class LlamaServer:
    """One loaded model, asked over HTTP."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def ask(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        answer = self._client.post(path, json=body)
        answer.raise_for_status()
        return answer.json()

    def next_token_logprobs(self, ids: list[int], vocabulary: int) -> dict[int, float]:
        """The log-probability of every token after a prompt in token ids."""
        body = {
            "prompt": ids, "n_predict": 1, "n_probs": vocabulary, "cache_prompt": False,
            # Probabilities are told only with a token that is whole text; they are those before the bias.
            "logit_bias": [["!", 1000.0]],
        }  # fmt: skip
        top = self.ask("/completion", body)["completion_probabilities"][0]["top_logprobs"]
        return {each["id"]: each["logprob"] for each in top}


@contextmanager
def llama_server(gguf: Path) -> Iterator[LlamaServer]:
    """Serve a GGUF on one thread."""
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.n_ctx, params.n_parallel, params.n_gpu_layers = 512, 1, 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.port, params.warmup, params.use_jinja, params.verbosity = 0, False, True, -1
    server = xllamacpp.Server(params)
    with httpx.Client(base_url=server.listening_address, timeout=60) as client:
        yield LlamaServer(client)
    del server
    gc.collect()  # the server's threads end with the object
