"""The learner's file formats: versions, journals, requests. Formats only, so that the gateway may read them.

Must never import the training stack. Every record names its parents: version → run → snapshot → turns. A field may be
added with a default; a meaning may not change without a new `format`.
"""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any, Literal

import msgspec

from feedback.errors import InvalidInput
from feedback.files import whole_lines

FORMAT = 1
SEMVER = re.compile(r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)$")

ERASED_FILE = "trained_on_erased_data.jsonl"
"""Beside a version's manifest, which never changes."""

Step = Literal["base", "snapshot", "train", "export", "evaluate", "gate", "register", "deploy"]
STEPS: tuple[Step, ...] = ("base", "snapshot", "train", "export", "evaluate", "gate", "register", "deploy")
"""The steps of a cycle, in their order."""


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """What one model scored, asked through the serving API. Shares from 0 to 1."""

    heldout: float
    heldout_items: int
    general: float
    """On the retention suite."""
    general_items: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """The gate's decision with every reason, good and bad."""

    outcome: Literal["promote", "refuse", "not-enough-evidence"]
    reasons: list[str]
    gain: float
    """Candidate's held-out score minus the champion's, absolute."""
    retention: float
    """Candidate's general score over the champion's."""


class VersionManifest(msgspec.Struct, frozen=True, kw_only=True):
    """`registry/<model>/<semver>/manifest.json`, written last: a version."""

    format: int = FORMAT
    model: str
    version: str
    created_at: dt.datetime
    kind: Literal["base", "trained"]
    parent: str | None
    """The version that it was trained from; none for a base."""
    base_sha256: str
    run: str | None = None
    snapshot: str | None = None
    cycle: str | None = None
    adapter_scale: float | None = None
    quantisation: str = ""
    gguf: str
    """Path of the GGUF: relative to the manifest's folder, or absolute for a base that lies elsewhere."""
    gguf_sha256: str
    template: str = ""
    """The chat template sent to the upstream, in Ollama's Go dialect."""
    system: str = ""
    parameters: dict[str, Any] = {}
    scores: Scores | None = None
    champion_scores: Scores | None = None
    verdict: Verdict | None = None


class ErasedTraining(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `registry/<model>/<semver>/trained_on_erased_data.jsonl`: that rows which the version was trained on
    were erased since. The weights are as they were; the operator may want to train anew."""

    erasure_id: str
    at: dt.datetime
    snapshot: str
    rows: int
    """Rows for training and validation that the snapshot lost."""


class JournalEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of `journal/<cycle>.jsonl`. A step's `done` entry carries what later steps need, so that a cycle whose
    process died takes up where the last `done` stands."""

    at: dt.datetime
    event: Literal["started", "resumed", "stopped", "step", "progress", "done", "failed", "finished"]
    """`stopped`: its process was asked to stop, and will be taken up again."""
    step: Step | None = None
    detail: dict[str, Any] = {}


class CycleState(msgspec.Struct, frozen=True, kw_only=True):
    """A cycle as its journal tells it."""

    cycle: str
    status: Literal["running", "failed", "finished"]
    reason: str
    started_at: dt.datetime | None
    step: Step | None
    """The step under way, or the last one."""
    done: dict[str, dict[str, Any]]
    """What each finished step handed on."""
    progress: dict[str, Any]
    """The latest progress: {"share": 0..1, "text": …}."""
    outcome: dict[str, Any]
    """What the cycle ended with: verdict, version, or the failure's code, message and mend."""


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """A file in `requests/`: what an operator wants the learner to do. Named by its id, so files sort by time; once
    done it moves to `requests/done/` with its result beside it."""

    request_id: str
    at: dt.datetime
    kind: Literal["cycle", "promote", "rollback"]
    alias: str
    version: str = ""
    """For promote: which version."""
    reason: str = ""


class RequestResult(msgspec.Struct, frozen=True, kw_only=True):
    """`requests/done/<id>.result.json`."""

    request_id: str
    at: dt.datetime
    ok: bool
    detail: dict[str, Any] = {}


def parse_semver(version: str) -> tuple[int, int, int]:
    """`1.4.0` → (1, 4, 0). Raises InvalidInput."""
    found = SEMVER.match(version)
    if not found:
        raise InvalidInput(f"{version!r} is not a version.", "Write it as MAJOR.MINOR.PATCH, for example 1.4.0.")
    return int(found[1]), int(found[2]), int(found[3])


def read_erased(version_dir: Path) -> list[ErasedTraining]:
    """What was erased of a version's training data since, oldest first; for most versions nothing."""
    lines = whole_lines(version_dir / ERASED_FILE)
    return [msgspec.json.decode(line, type=ErasedTraining) for line in lines]


def erased_trainings(registry: Path) -> dict[str, list[ErasedTraining]]:
    """Every version of which training data was erased since, by `<model>:<version>`."""
    files = sorted(registry.glob(f"*/*/{ERASED_FILE}"))
    found = {f"{file.parent.parent.name}:{file.parent.name}": read_erased(file.parent) for file in files}
    return {version: lines for version, lines in found.items() if lines}


def quoted(text: str) -> str:
    """A text as reports quote it: on one line, so that what a model or a person wrote can't become headings, tables or
    HTML of the report."""
    return " ⏎ ".join(text.split("\n")).replace("<", "&lt;").replace("|", "\\|").strip() or "(nothing)"


def journal_files(folder: Path) -> list[Path]:
    """The journals in a folder, oldest cycle first (cycle ids sort by time)."""
    return sorted(folder.glob("cycle-*.jsonl"))


def read_cycle(path: Path) -> CycleState:
    """Replay a journal. A last line cut by a crash is left out."""
    entries = [msgspec.json.decode(line, type=JournalEntry) for line in whole_lines(path)]
    state: dict[str, Any] = {
        "cycle": path.stem, "status": "running", "reason": "", "started_at": None, "step": None,
        "done": {}, "progress": {}, "outcome": {},
    }  # fmt: skip
    for entry in entries:
        _replay(state, entry)
    return CycleState(**state)


def _replay(state: dict[str, Any], entry: JournalEntry) -> None:
    match entry.event:
        case "started":
            state["started_at"], state["reason"] = entry.at, str(entry.detail.get("reason", ""))
        case "step":
            state["step"], state["progress"] = entry.step, {}
        case "progress":
            state["progress"] = entry.detail
        case "done":
            state["done"][str(entry.step)] = entry.detail
        case "failed" | "finished":
            state["status"], state["outcome"] = entry.event, entry.detail
        case "resumed":
            state["status"] = "running"
