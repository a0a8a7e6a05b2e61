"""Models on disk: a tag is a small manifest over blobs, so that a copy costs nothing and a model is named by content.

    models_dir/blobs/sha256-…                                  weights, templates, system prompts, parameters, …
    models_dir/manifests/<host>/<namespace>/<model>/<tag>      JSON: details, and the digest of each layer

Manifests are replaced atomically, so a tag is the old model or the new one, and survive a restart. A blob lives as long
as a manifest names it. Must never remove a blob that a manifest names, so while any manifest can't be read, nothing is
pruned at all.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import hashlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import msgspec

from feedback.files import replace_file, sync_folder
from service.engine.blobs import Blobs
from service.engine.names import ModelName
from service.engine.refusal import Refusal

LayerKind = Literal["model", "template", "system", "params", "messages", "license"]

READ_TRIES = 5


class Layer(msgspec.Struct, frozen=True):
    """One blob of a model."""

    kind: LayerKind
    digest: str
    size: int
    """Bytes."""


class Details(msgspec.Struct, frozen=True, kw_only=True):
    """What lists say of a model without opening its weights."""

    parent_model: str = ""
    """The short name of the model that it was made from, if it was."""
    format: str = "gguf"
    family: str = ""
    families: list[str] = []
    parameter_size: str = ""
    quantization_level: str = ""
    context_length: int = 0
    """Tokens that the model was trained for."""
    embedding_length: int = 0


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The file behind a tag."""

    format: Literal[1] = 1
    details: Details
    layers: list[Layer]


class Model(msgspec.Struct, frozen=True, kw_only=True):
    """A tag with all that a request needs of it."""

    name: ModelName
    digest: str
    """Of the manifest, hex without a prefix, as Ollama shows it."""
    size: int
    """Bytes of all layers."""
    modified_at: dt.datetime
    details: Details
    weights_digest: str
    weights: Path
    template: str = ""
    """The Go template that was sent at create: kept and shown, never executed (see `prompts`)."""
    system: str = ""
    parameters: dict[str, Any] = {}
    messages: list[dict[str, Any]] = []
    licenses: list[str] = []


class Library:
    """All models of one folder. Its methods may be called from any thread."""

    def __init__(self, folder: Path) -> None:
        """Open the folder, made if it is missing, and remove what a crash left there."""
        self._manifests = folder / "manifests"
        self._manifests.mkdir(parents=True, exist_ok=True)
        self.blobs = Blobs(folder / "blobs")
        self._lock = threading.Lock()
        """Held while blobs are counted and manifests change, so that no blob goes between its check and its use."""
        self.blobs.remove_parts()
        self._prune()

    def find(self, name: ModelName) -> Model | None:
        """The model, or None. Raises Refusal (500) where its manifest can't be read."""
        path = self._path(name)
        for _ in range(READ_TRIES):
            try:
                data, modified = path.read_bytes(), path.stat().st_mtime
            except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
                return None
            try:
                return self._model(name, data, modified)
            except FileNotFoundError:
                # The tag was replaced between the two reads and its old layers are gone: read the new one.
                continue
        return None

    def all(self) -> list[Model]:
        """Every model that can be read, the newest first."""
        found = []
        for path in self._paths():
            with contextlib.suppress(Refusal):
                found.append(self.find(ModelName(*path.relative_to(self._manifests).parts)))
        return sorted((model for model in found if model), key=lambda model: model.modified_at, reverse=True)

    def put(self, name: ModelName, manifest: Manifest) -> list[str]:
        """Point a tag at a manifest. Returns the digests of blobs that nobody names any more and that are gone.

        Raises Refusal (500) where a layer's blob is not there.
        """
        with self._lock:
            for layer in manifest.layers:
                if not self.blobs.has(layer.digest):
                    raise Refusal(500, f"open {shown_path(layer.digest)}: no such file or directory")
            return self._replace(name, msgspec.json.encode(manifest))

    def copy(self, source: ModelName, target: ModelName) -> list[str]:
        """Give a model a second name. Raises FileNotFoundError where there is no source."""
        with self._lock:
            return self._replace(target, self._path(source).read_bytes())

    def delete(self, name: ModelName) -> list[str]:
        """Remove a tag and the blobs that only it named: their digests. Raises FileNotFoundError."""
        with self._lock:
            path = self._path(name)
            data = path.read_bytes()
            path.unlink()
            sync_folder(path.parent)
            return self._release(data)

    def uses(self, digest: str) -> bool:
        """Whether any tag still names a blob."""
        named = self._named()
        return named is None or digest in named

    # ------------------------------------------------------------------------------------------------------------

    def _path(self, name: ModelName) -> Path:
        return self._manifests.joinpath(*msgspec.structs.astuple(name))

    def _paths(self) -> list[Path]:
        return [path for path in self._manifests.glob("*/*/*/*") if not path.name.startswith(".")]

    def _replace(self, name: ModelName, data: bytes) -> list[str]:
        path = self._path(name)
        old = path.read_bytes() if path.exists() else b""
        replace_file(path, data)
        return self._release(old) if old else []

    def _release(self, data: bytes) -> list[str]:
        """Remove the blobs that only this manifest, which is no more, had named."""
        named = self._named()
        if named is None:
            return []
        with contextlib.suppress(Refusal):
            gone = sorted({layer.digest for layer in _decode(data).layers} - named)
            for digest in gone:
                self.blobs.remove(digest)
            return gone
        return []

    def _named(self) -> set[str] | None:
        """Every blob that a tag names; None where a manifest can't be read, for then nobody knows."""
        try:
            return {layer.digest for path in self._paths() for layer in _decode(path.read_bytes()).layers}
        except Refusal:
            return None

    def _prune(self) -> None:
        """At start: blobs that were uploaded and never used, which nobody else will remove."""
        for part in self._manifests.rglob(".*.part"):
            part.unlink()
        named = self._named()
        if named is not None:
            for digest in self.blobs.digests() - named:
                self.blobs.remove(digest)

    def _model(self, name: ModelName, data: bytes, modified: float) -> Model:
        manifest = _decode(data)
        weights = next(layer for layer in manifest.layers if layer.kind == "model")
        return Model(
            name=name, digest=hashlib.sha256(data).hexdigest(), size=sum(layer.size for layer in manifest.layers),
            modified_at=dt.datetime.fromtimestamp(modified, dt.UTC), details=manifest.details,
            weights_digest=weights.digest, weights=self.blobs.path(weights.digest),
            template="".join(self._texts(manifest, "template")), system="".join(self._texts(manifest, "system")),
            parameters=self._json(manifest, "params", {}), messages=self._json(manifest, "messages", []),
            licenses=list(self._texts(manifest, "license")),
        )  # fmt: skip

    def _texts(self, manifest: Manifest, kind: LayerKind) -> Iterator[str]:
        for layer in manifest.layers:
            if layer.kind == kind:
                yield self.blobs.path(layer.digest).read_text("utf-8")

    def _json(self, manifest: Manifest, kind: LayerKind, default: Any) -> Any:
        return next((msgspec.json.decode(text) for text in self._texts(manifest, kind)), default)


def shown_path(digest: str) -> str:
    """A blob's path as answers show it: never where it really is on this machine."""
    return f"models/blobs/{digest.replace(':', '-')}"


def _decode(data: bytes) -> Manifest:
    try:
        return msgspec.json.decode(data, type=Manifest)
    except msgspec.DecodeError as error:
        raise Refusal(500, "a model's manifest can't be read: remove the tag and create it again") from error
