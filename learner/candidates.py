"""Candidates: the trained adapter merged at some scale, as a file of the run and a tag of the upstream.

Both are scratch. The adapter stays in the run's folder and makes them anew at any time; the one that passes the gate is
registered under a version before it goes.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from feedback.errors import RatchetError
from feedback.files import replace_file, sha256_file
from learner.desk import Desk, Rounds
from learner.scales import scale_tag
from learner.templates import Served


def serve_candidate(desk: Desk, scale: float, rounds: Rounds) -> str:
    """See that the candidate at a scale is merged, on the upstream and loaded; returns its tag."""
    file = candidate_file(desk, scale)
    known = file.with_suffix(".sha256")
    if not (file.exists() and known.exists() and known.read_text() == sha256_file(file)):
        rounds.say(f"merging at scale {scale:g}")
        gguf, adapter = Path(desk.done["base"]["gguf"]), Path(desk.done["train"]["adapter_dir"])
        desk.shop.parts.merge(gguf, adapter, scale, file, desk.settings.quantisation)
        replace_file(known, sha256_file(file).encode())
    served = msgspec.convert(desk.done["base"]["served"], Served)
    tag = candidate_tag(desk, scale)
    rounds.say(f"loading scale {scale:g}")
    desk.shop.upstream.push(
        tag, file, template=served.template, system=served.system, parameters=served.parameters,
        sha256=known.read_text(),
    )  # fmt: skip
    desk.shop.upstream.load(tag)
    return tag


def drop_candidate(desk: Desk, scale: float) -> None:
    """Take one off the upstream and the disk."""
    desk.shop.upstream.unload(candidate_tag(desk, scale))
    desk.shop.upstream.delete(candidate_tag(desk, scale))
    file = candidate_file(desk, scale)
    for one in (file, file.with_suffix(".sha256")):
        one.unlink(missing_ok=True)


def drop_candidates(desk: Desk) -> None:
    """Take all of the run's off the upstream and the disk."""
    prefix = f"{desk.shop.model}:candidate-{desk.run}-".lower()
    with contextlib.suppress(RatchetError):  # an upstream that is down keeps a model too many, and no more
        for tag in [name for name in desk.shop.upstream.tags() if name.lower().startswith(prefix)]:
            desk.shop.upstream.unload(tag)
            desk.shop.upstream.delete(tag)
    for file in desk.run_dir.glob("candidate-s*"):
        file.unlink()


def candidate_tag(desk: Desk, scale: float) -> str:
    return scale_tag(desk.shop.model, desk.run, scale)


def candidate_file(desk: Desk, scale: float) -> Path:
    return desk.run_dir / f"candidate-s{round(scale * 100)}.gguf"
