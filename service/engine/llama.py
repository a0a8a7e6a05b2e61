"""One loaded model: a process of its own with llama.cpp's HTTP server inside, started by `runners`.

    python -m service.engine.llama        one JSON line on stdin says what to load; one on stdout says where it answers

Why a process and not a thread: `xllamacpp` holds Python's lock while it loads and while it lets go, so in-process every
load would stop every other model's stream (measured: 0.57 s for 135 million weights; a large one takes minutes).
Deleting its Server can wait for ever (a stop that comes before the loop has started is lost), several of them share
globals, and an assertion in llama.cpp ends the process that it is in. As a child, it only ever has to be ended.

It ends when its stdin does, so it never outlives the engine, however that ended. It answers on loopback only, and only
to who knows the key. Must never log what people say: its output is closed before the first of them speaks.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

SPARE_HTTP_THREADS = 4
"""Beside one for each parallel reply: for tokenising and templates, which are short."""


def child_environment() -> dict[str, str]:
    """The environment for `python -m service.engine.…`: it finds this package wherever it lies."""
    root = str(Path(__file__).resolve().parents[2])
    return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))}


def load_server(wish: dict[str, Any]) -> Any:
    """Load the model and start answering. `wish`: model (path), threads, context_tokens, parallel, key.

    Raises RuntimeError, without a reason, where llama.cpp can't load it.
    """
    import xllamacpp  # here, because `runners` takes `child_environment` from this module without it

    params = xllamacpp.CommonParams()
    params.verbosity = 0
    params.model.path = wish["model"]
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = wish["threads"]
    params.n_ctx = wish["context_tokens"]
    params.n_parallel = wish["parallel"]
    # Each slot has its own part of the context. Sharing one (kv_unified) would let a long reply fill it, and then
    # llama.cpp ends every reply under way with "Context size has been exceeded".
    params.kv_unified = False
    params.cache_ram_mib = 0
    params.n_threads_http = wish["parallel"] + SPARE_HTTP_THREADS
    params.api_keys = [wish["key"]]
    params.cors_origins = ""
    params.use_jinja = True
    # Ollama closes an assistant's last message and opens a new one; llama.cpp would go on inside it.
    params.prefill_assistant = False
    params.warmup = False
    params.fit_params = False
    params.ui = False
    return xllamacpp.Server(params)


def main() -> None:
    """Load, say where, and stay until stdin ends."""
    try:
        server = load_server(json.loads(sys.stdin.readline()))
    except RuntimeError as error:
        sys.exit(f"A model could not be loaded: {error}")
    print(json.dumps({"address": server.listening_address}), flush=True)
    # From here on it serves people: llama.cpp prints a grammar that it can't parse whatever its verbosity, and a pipe
    # that nobody reads would fill up.
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, sys.stdout.fileno())
    os.dup2(silence, sys.stderr.fileno())
    sys.stdin.read()
    # Not an ordinary exit: that would delete the Server, which may never return.
    os._exit(0)


if __name__ == "__main__":
    main()
