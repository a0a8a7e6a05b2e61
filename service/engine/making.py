"""`/api/create`: a model from an uploaded GGUF or from another model, with its own words around the weights.

Nothing is written under the model's name before every step has succeeded, so a create that fails leaves the old model,
or none. The steps are a generator of status lines, run in a thread: streamed, they are the answer; not streamed, only
the end counts. What Ollama can and this can't (safetensors, adapters, pulling, 4-bit quantising) is refused by name.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import msgspec

from service.engine.blobs import parse_digest
from service.engine.gguf_file import GgufFile, read_gguf
from service.engine.library import Details, Layer, LayerKind, Library, Manifest, Model, shown_path
from service.engine.llama import child_environment
from service.engine.names import ModelName, parse_name
from service.engine.refusal import Refusal

QUANTISABLE = ("F16", "BF16", "F32")
QUANTISED = "Q8_0"


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """The body of a create, checked as far as it can be without looking at files."""

    name: ModelName
    source: str = ""
    """Another model's name; `from` on the wire."""
    files: dict[str, str] | None = None
    """Digest by file name."""
    template: str = ""
    system: str = ""
    licenses: list[str] = []
    parameters: dict[str, Any] = {}
    messages: list[dict[str, Any]] = []
    quantize: str = ""
    """Upper case; empty keeps the weights as they are."""


def parse_wish(body: dict[str, Any]) -> Wish:
    """Raises Refusal (400)."""
    name = parse_name(str(body.get("model") or body.get("name") or ""))
    if name is None:
        raise Refusal(400, "invalid model name")
    files = body.get("files")
    for file, digest in (files or {}).items():
        if PurePosixPath(file).is_absolute() or ".." in PurePosixPath(file).parts:
            raise Refusal(400, "file path must be relative")
        if not digest:
            raise Refusal(400, "invalid digest format")
    if body.get("adapters"):
        raise Refusal(400, "the embedded engine takes no adapters: merge them into the weights")
    license_ = body.get("license") or []
    return Wish(
        name=name, source=str(body.get("from") or ""), files=files, template=str(body.get("template") or ""),
        system=str(body.get("system") or ""), licenses=[license_] if isinstance(license_, str) else license_,
        parameters=body.get("parameters") or {}, messages=body.get("messages") or [],
        quantize=str(body.get("quantize") or body.get("quantization") or "").upper(),
    )  # fmt: skip


def make_model(library: Library, wish: Wish, gone: list[str]) -> Iterator[str]:
    """Make it; yields what Ollama says at each step. Blobs that became unused are added to `gone`.

    Raises Refusal; before the first step with the status that a client sees, later as the last line of a stream.
    """
    _check_template(wish.template)
    layers: list[Layer] = []
    parent: Model | None = None
    if wish.source:
        parent = _parent(library, wish.source)
        digest = parent.weights_digest
        header = read_gguf(library.blobs.path(digest))
    elif wish.files is None:
        raise Refusal(400, "neither 'from' or 'files' was specified")
    else:
        given = _only_gguf(wish.files)
        yield "parsing GGUF"
        digest, header = _uploaded(library, given)
    existed = True
    if wish.quantize:
        digest, existed = _quantised(library, digest, header, wish.quantize)
        header = read_gguf(library.blobs.path(digest))
    if not parent:
        yield "verifying conversion"
    layers.append(Layer("model", digest, library.blobs.path(digest).stat().st_size))
    yield _layer_status(digest, existed)
    for kind, text in _texts(wish, parent):
        digest, existed = library.blobs.put(text)
        layers.append(Layer(kind, digest, len(text)))
        if not (existed and parent):
            yield _layer_status(digest, existed)
    yield "writing manifest"
    gone += library.put(wish.name, Manifest(details=_details(header, parent), layers=layers))
    yield "success"


def parameter_size(count: int) -> str:
    """A number of weights as Ollama writes it: `134.52M`."""
    for factor, digits, unit in ((10**9, 1, "B"), (10**6, 2, "M"), (10**3, 2, "K")):
        if count >= factor:
            return f"{count / factor:.{digits}f}{unit}"
    return str(count)


def _parent(library: Library, source: str) -> Model:
    name = parse_name(source)
    found = library.find(name) if name else None
    if found is None:
        raise Refusal(500, f"model {source!r} is not here, and the embedded engine pulls none: upload a GGUF")
    return found


def _only_gguf(files: dict[str, str]) -> str:
    """The digest of the one GGUF among the files."""
    found = [digest for name, digest in files.items() if name.lower().endswith(".gguf")]
    if not found:
        raise Refusal(400, "unknown type")
    if len(found) > 1:
        raise Refusal(400, "the embedded engine takes one GGUF file: no adapters, no projectors, no split weights")
    return found[0]


def _uploaded(library: Library, given: str) -> tuple[str, GgufFile]:
    digest = parse_digest(given)
    try:
        return digest, read_gguf(library.blobs.path(digest))
    except FileNotFoundError as error:
        raise Refusal(500, f"open {shown_path(digest)}: no such file or directory") from error


def _check_template(template: str) -> None:
    """Go's own words for the one mistake that can be seen without executing it."""
    start = template.rfind("{{")
    if start >= 0 and "}}" not in template[start:]:
        raise Refusal(400, f"template error: template: :{template.count(chr(10)) + 1}: unclosed action")


def _quantised(library: Library, digest: str, header: GgufFile, wanted: str) -> tuple[str, bool]:
    if wanted != QUANTISED:
        raise Refusal(500, f"unsupported quantization type {wanted} - supported types are {QUANTISED}")
    if header.file_type not in QUANTISABLE:
        raise Refusal(500, "quantization is only supported for F16, BF16 and F32 models")
    part = library.blobs.part()
    program = [sys.executable, "-P", "-m", "service.engine.quantize", str(library.blobs.path(digest)), str(part)]
    try:
        done = subprocess.run(program, env=child_environment(), capture_output=True, text=True)
        if done.returncode:
            # Its last line names the exception; the file holds weights, so there is no person's text to leak.
            raise Refusal(500, f"quantization failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")
        return library.blobs.adopt(part)
    finally:
        part.unlink(missing_ok=True)


def _texts(wish: Wish, parent: Model | None) -> list[tuple[LayerKind, bytes]]:
    """The layers beside the weights: what was sent, else what the parent has."""
    template = wish.template or (parent.template if parent else "")
    system = wish.system or (parent.system if parent else "")
    licenses = wish.licenses or (parent.licenses if parent else [])
    parameters = (parent.parameters if parent else {}) | wish.parameters
    messages = wish.messages or (parent.messages if parent else [])
    found: list[tuple[LayerKind, bytes]] = []
    found += [("template", template.encode())] if template else []
    found += [("license", text.encode()) for text in licenses]
    found += [("system", system.encode())] if system else []
    found += [("params", msgspec.json.encode(parameters, order="sorted"))] if parameters else []
    found += [("messages", msgspec.json.encode(messages))] if messages else []
    return found


def _details(header: GgufFile, parent: Model | None) -> Details:
    return Details(
        parent_model=parent.name.short if parent else "",
        family=header.architecture,
        families=[header.architecture],
        parameter_size=parameter_size(header.parameter_count),
        quantization_level=header.file_type,
        context_length=header.of_architecture("context_length"),
        embedding_length=header.of_architecture("embedding_length"),
    )


def _layer_status(digest: str, existed: bool) -> str:
    return f"{'using existing' if existed else 'creating new'} layer {digest}"
