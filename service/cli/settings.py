"""All tables of the settings file together: what only the composition root may know.

Looked for at `--settings`, then `$RATCHET_SETTINGS`, then `ratchet.toml` in the current folder; none of them: defaults.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from feedback.errors import InvalidSettings
from feedback.settings import LabellingSettings, PoolSettings, QualitySettings, StoreSettings, load_settings
from learner.settings import LearnerSettings, RecipeSettings
from service.settings import EngineSettings, GatewaySettings

TABLES: dict[str, type[msgspec.Struct]] = {
    "store": StoreSettings,
    "pool": PoolSettings,
    "labelling": LabellingSettings,
    "quality": QualitySettings,
    "gateway": GatewaySettings,
    "engine": EngineSettings,
    "learner": LearnerSettings,
    "recipe": RecipeSettings,
}
OLLAMA_PORT = 11434


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Every table, as loaded once at the entry point."""

    store: StoreSettings
    pool: PoolSettings
    labelling: LabellingSettings
    quality: QualitySettings
    gateway: GatewaySettings
    engine: EngineSettings
    learner: LearnerSettings
    recipe: RecipeSettings


def settings_path(given: str | None, environ: Mapping[str, str] = os.environ) -> Path | None:
    """Which settings file counts, made absolute so that child processes find it from any folder."""
    named = given or environ.get("RATCHET_SETTINGS")
    if named:
        return Path(named).expanduser().absolute()
    default = Path("ratchet.toml").absolute()
    return default if default.exists() else None


def load(path: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Load every table; where OLLAMA_HOST is set and no upstream is named, it names the upstream.

    Raises InvalidSettings.
    """
    host = environ.get("OLLAMA_HOST", "")
    upstream = {"upstream_url": ollama_url(host)} if host else {}
    loaded = load_settings(TABLES, path, environ, {"gateway": upstream, "learner": upstream})
    return msgspec.convert({name: msgspec.structs.asdict(table) for name, table in loaded.items()}, Settings)


def ollama_url(host: str) -> str:
    """OLLAMA_HOST in the forms that Ollama's own client takes (`host`, `host:port`, a URL) → a URL."""
    parts = urlsplit(host if "://" in host else f"http://{host}")
    try:
        port = parts.port or (443 if parts.scheme == "https" else OLLAMA_PORT)
    except ValueError as error:
        raise InvalidSettings(f"OLLAMA_HOST is {host!r}: {error}.", "Write it as host:port.") from error
    name = parts.hostname or "127.0.0.1"
    # A server told to listen everywhere is reached through loopback.
    name = "127.0.0.1" if name in ("0.0.0.0", "::") else name
    return f"{parts.scheme}://{f'[{name}]' if ':' in name else name}:{port}"
