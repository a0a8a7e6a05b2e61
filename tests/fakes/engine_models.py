"""Models put into an engine's folder without an engine, so that a test can start one that has them already."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from service.engine.library import Library
from service.engine.making import make_model, parse_wish


def put_model(models_dir: Path, name: str, gguf: Path, **more: Any) -> None:
    """Create a model from a GGUF, with whatever else `/api/create` takes."""
    library = Library(models_dir)
    part = library.blobs.part()
    shutil.copyfile(gguf, part)
    digest, _ = library.blobs.adopt(part)
    wish = parse_wish({"model": name, "files": {"model.gguf": digest}} | more)
    assert list(make_model(library, wish, []))[-1] == "success"
