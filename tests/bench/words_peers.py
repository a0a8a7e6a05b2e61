"""One guard's word filter, timed inside the venv that was made for it: the other half of `words_guards`.

    python -I words_peers.py llm-guard|litellm WORK

WORK is JSON: the words, and lists of texts by name. Each line that comes in asks for a round, and is answered with a
line of JSON: the CPU seconds that the guard took for each list. Only the standard library and the guard are at hand
here. A guard must never be timed that lets its words through, so that is tried first.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.util
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

Mask = Callable[[list[str]], list[str]]
"""Texts as they come out of the guard."""


def main() -> None:
    """Answer rounds until there is no more asked for."""
    guard, work = sys.argv[1:]
    given = json.loads(Path(work).read_text(encoding="utf-8"))
    mask = GUARDS[guard](given["words"])
    probe = f"。{given['words'][0]}。"
    if given["words"][0] in mask([probe])[0]:
        raise SystemExit(f"{guard} lets the first word of its list through: is this the version that the bench names?")
    for _ in sys.stdin:
        print(json.dumps({name: _seconds(mask, texts) for name, texts in given["texts"].items()}), flush=True)


def _llm_guard(words: list[str]) -> Mask:
    for package in ("llm_guard", "llm_guard.input_scanners"):
        # Entered without running them: they import every scanner, and with them torch, transformers and spaCy.
        spec = importlib.util.find_spec(package)
        assert spec is not None, f"{package} is not in this venv"
        sys.modules[package] = importlib.util.module_from_spec(spec)
    # As it comes it prints each finding, with the words: its output is not what is measured.
    importlib.import_module("llm_guard.util").configure_logger("ERROR", stream=sys.stderr)
    scanners = importlib.import_module("llm_guard.input_scanners.ban_substrings")
    scanner = scanners.BanSubstrings(words, redact=True)
    return lambda texts: [scanner.scan(text)[0] for text in texts]


def _litellm(words: list[str]) -> Mask:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # Else the import fetches prices.
    hook = importlib.import_module("litellm.proxy.guardrails.guardrail_hooks.litellm_content_filter")
    kinds = importlib.import_module("litellm.types.guardrails")
    blocked = [{"keyword": word, "action": "MASK"} for word in words]
    params = kinds.LitellmParams(guardrail="litellm_content_filter", mode="pre_call", blocked_words=blocked)
    guardrail = hook.initialize_guardrail(params, {"guardrail_name": "words", "litellm_params": params})
    runner = asyncio.Runner()

    async def masked(texts: list[str]) -> list[str]:
        # What the proxy calls with the texts of a request, here one message in each.
        return [
            (await guardrail.apply_guardrail(inputs={"texts": [text]}, request_data={}, input_type="request"))["texts"][
                0
            ]
            for text in texts
        ]

    return lambda texts: runner.run(masked(texts))


def _seconds(mask: Mask, texts: list[str]) -> float:
    began = time.process_time()
    mask(texts)
    return time.process_time() - began


GUARDS: dict[str, Callable[[list[str]], Mask]] = {"llm-guard": _llm_guard, "litellm": _litellm}


if __name__ == "__main__":
    main()
