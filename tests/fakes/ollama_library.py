"""The models of a fake Ollama: blobs checked by their digest, names that point at them, what is loaded.

In the shapes that a real server was recorded with. Weights are not looked into: a blob that starts with `GGUF` is one.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import hashlib
import re
import time
from typing import Any

DIGEST = re.compile(r"^sha256[:-]([0-9a-f]{64})$")
NAME = re.compile(r"^[\w.-]+(/[\w.-]+)*(:[\w.-]+)?$")
QUANTISATIONS = {"f32", "f16", "bf16", "q8_0", "q4_k_s", "q4_k_m", "q4_k"}
CHATML = "{{- range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
FOREVER_S = 10.0**9


class Refused(Exception):
    """An answer that is no success: `status` and the text of `error`."""

    def __init__(self, status: int, error: str) -> None:
        super().__init__(error)
        self.status = status
        self.error = error


def full_name(name: str) -> str:
    """`SMOL` → `smol:latest`: names are told apart without regard to case, and a bare one means its latest tag."""
    name = name.lower()
    return name if ":" in name else f"{name}:latest"


def stamp(seconds: float | None = None) -> str:
    """A time as Ollama writes it."""
    moment = dt.datetime.fromtimestamp(time.time() if seconds is None else seconds, dt.UTC)
    return moment.isoformat().replace("+00:00", "Z")


@dataclasses.dataclass(frozen=True)
class Model:
    """One name and what it stands for."""

    name: str
    blob: str
    size: int
    quantisation: str = "Q8_0"
    parent: str = ""
    template: str = CHATML
    system: str = ""
    parameters: dict[str, Any] = dataclasses.field(default_factory=dict)
    messages: list[dict[str, Any]] = dataclasses.field(default_factory=list)
    license: str = ""
    modified_at: str = dataclasses.field(default_factory=stamp)

    @property
    def digest(self) -> str:
        """Of the manifest: two names for the same weights and words share it."""
        words = repr((self.blob, self.template, self.system, sorted(self.parameters.items()), self.license))
        return hashlib.sha256(words.encode()).hexdigest()

    def details(self) -> dict[str, Any]:
        return {
            "parent_model": self.parent, "format": "gguf", "family": "llama", "families": ["llama"],
            "parameter_size": "134.52M", "quantization_level": self.quantisation,
        }  # fmt: skip


class Library:
    """Blobs, names and what is loaded. Not safe for threads: only the fake server's own loop touches it."""

    def __init__(self, names: list[str]) -> None:
        self.blobs: dict[str, bytes] = {}
        self.models: dict[str, Model] = {}
        self.loaded: dict[str, float] = {}
        """Name → when it unloads, as time.time() tells it."""
        self.busy: dict[str, int] = {}
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """A model that is simply there, as after a pull."""
        blob = b"GGUF" + name.encode()
        digest = "sha256:" + hashlib.sha256(blob).hexdigest()
        self.blobs[digest] = blob
        self.models[full_name(name)] = Model(full_name(name), digest, len(blob))

    def find(self, name: Any, *, shown: str | None = None) -> Model:
        """The model of this name. Raises Refused, 404, naming it as it was asked for."""
        found = self.models.get(full_name(str(name)))
        if found is None:
            raise Refused(404, f"model '{name if shown is None else shown}' not found")
        return found

    def digest(self, given: str) -> str:
        """The digest in its one form. Raises Refused, 400."""
        match = DIGEST.match(given)
        if not match:
            raise Refused(400, "invalid digest format")
        return f"sha256:{match[1]}"

    def put_blob(self, given: str, data: bytes) -> None:
        digest = self.digest(given)
        got = "sha256:" + hashlib.sha256(data).hexdigest()
        if got != digest:
            raise Refused(400, f'digest mismatch, expected "{digest}", got "{got}"')
        self.blobs[digest] = data

    def create(self, body: dict[str, Any]) -> list[str]:
        """Make a model; returns the status lines. Raises Refused, whose status a streamed answer hides."""
        name = str(body.get("model") or body.get("name") or "")
        if not isinstance(body.get("from") or "", str) or not isinstance(body.get("files") or {}, dict):
            raise Refused(400, "json: cannot unmarshal into Go struct field CreateRequest")
        if not NAME.match(name):
            raise Refused(400, "invalid model name")
        quantise = str(body.get("quantize") or "")
        if quantise and quantise.lower() not in QUANTISATIONS:
            raise Refused(500, f"quantization {quantise!r} is not supported")
        model, lines = self._origin(full_name(name), body)
        changes = {
            key: body[key] for key in ("template", "system", "parameters", "messages", "license") if body.get(key)
        }
        if "parameters" in changes:
            changes["parameters"] = {**model.parameters, **changes["parameters"]}
        if quantise:
            changes["quantisation"] = quantise.upper()
        self.models[full_name(name)] = dataclasses.replace(model, **changes, modified_at=stamp())
        return [*lines, "writing manifest", "success"]

    def _origin(self, name: str, body: dict[str, Any]) -> tuple[Model, list[str]]:
        if body.get("from"):
            parent = self.models.get(full_name(body["from"]))
            if parent is None:
                raise Refused(500, f'pull model manifest: Get "https://registry.example/v2/{body["from"]}": refused')
            return dataclasses.replace(parent, name=name, parent=parent.name), [f"using existing layer {parent.blob}"]
        files = body.get("files")
        if files is None:
            raise Refused(400, "neither 'from' or 'files' was specified")
        gguf = next((digest for file, digest in files.items() if file.endswith(".gguf")), None)
        if gguf is None:
            raise Refused(400, "unknown type")
        digest = self.digest(gguf)
        if digest not in self.blobs:
            raise Refused(500, f"open models/blobs/{digest.replace(':', '-')}: no such file or directory")
        if not self.blobs[digest].startswith(b"GGUF"):
            raise Refused(400, "supplied file was not in GGUF format")
        lines = ["parsing GGUF", "verifying conversion", f"creating new layer {digest}"]
        return Model(name, digest, len(self.blobs[digest])), lines

    def copy(self, source: str, destination: str) -> None:
        if not NAME.match(destination):
            raise Refused(400, f'destination "{destination}" is invalid')
        if full_name(source) not in self.models:
            raise Refused(404, f'model "{source}" not found')
        self.models[full_name(destination)] = dataclasses.replace(
            self.models[full_name(source)], name=full_name(destination), modified_at=stamp()
        )

    def delete(self, name: str) -> None:
        if not name:
            raise Refused(400, "model is required")
        if not NAME.match(name):
            raise Refused(400, f'name "{name}" is invalid')
        self.find(name)
        del self.models[full_name(name)]

    def is_loaded(self, name: str) -> bool:
        name = full_name(name)
        return self.busy.get(name, 0) > 0 or self.loaded.get(name, 0.0) > time.time()

    def keep(self, name: str, keep_alive: Any) -> None:
        """Load, or unload where keep_alive is 0; a model that is busy goes once its last stream has ended."""
        self.loaded[full_name(name)] = time.time() + seconds_of(keep_alive)

    def tags(self) -> dict[str, Any]:
        newest = sorted(self.models.values(), key=lambda model: model.modified_at, reverse=True)
        return {"models": [
            {"name": model.name, "model": model.name, "modified_at": model.modified_at, "size": model.size,
             "digest": model.digest, "details": {**model.details(), "context_length": 8192, "embedding_length": 576},
             "capabilities": ["completion"]}
            for model in newest
        ]}  # fmt: skip

    def ps(self) -> dict[str, Any]:
        return {"models": [
            {"name": name, "model": name, "size": model.size, "digest": model.digest, "details": model.details(),
             "expires_at": stamp(min(self.loaded.get(name, 0.0), time.time() + FOREVER_S)), "size_vram": 0,
             "context_length": 4096}
            for name, model in self.models.items() if self.is_loaded(name)
        ]}  # fmt: skip

    def show(self, body: dict[str, Any]) -> dict[str, Any]:
        name = str(body.get("model") or body.get("name") or "")
        if not name:
            raise Refused(400, "model is required")
        if not NAME.match(name):
            raise Refused(400, "invalid model name")
        model = self.find(name, shown=full_name(name))
        answer: dict[str, Any] = {
            "modelfile": f"FROM {model.name}\nTEMPLATE {model.template!r}\n",
            "parameters": "\n".join(f"{key:<30} {value}" for key, value in sorted(model.parameters.items())),
            "template": model.template, "details": model.details(),
            "model_info": {"general.architecture": "llama", "general.parameter_count": 134515008,
                           "llama.context_length": 8192},
            "capabilities": ["completion"], "modified_at": model.modified_at,
        }  # fmt: skip
        for key in ("system", "license", "messages"):
            if getattr(model, key):
                answer[key] = getattr(model, key)
        return answer


def seconds_of(keep_alive: Any) -> float:
    """`"5m"`, 0, -1, `"3s"`, None → seconds. Raises Refused, 400, as Go's parser words it."""
    if keep_alive is None:
        return 300.0
    if isinstance(keep_alive, int | float):
        return FOREVER_S if keep_alive < 0 else float(keep_alive)
    match = re.match(r"^(-?)(\d+(?:\.\d+)?)(ms|s|m|h)$", str(keep_alive))
    if not match:
        raise Refused(400, f'time: invalid duration "{keep_alive}"')
    if match[1]:
        return FOREVER_S
    return float(match[2]) * {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}[match[3]]
