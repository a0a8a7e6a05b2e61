"""The registry: versions as immutable folders, `registry/<model>/<semver>/`, each with its parents named.

A version is a folder whose manifest.json, written last, gives the hash of its GGUF. A folder without a manifest is what
a crash left, and is not a version. A cycle registers at most one version, however often it is taken up: asked again, it
gets the one it has. A candidate that the gate refused gets none: its run folder keeps the verdict and the answers.

What must never happen: two versions from one cycle, a version that changes, or one deployed whose file is not the file
that was judged (`verify`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import msgspec

from feedback.errors import Conflict, InvalidInput, UnknownVersion
from feedback.files import replace_file, sha256_file, sync_folder
from feedback.mint import now
from learner.records import Scores, Verdict, VersionManifest, parse_semver
from learner.templates import Served

Change = Literal["base", "cycle", "serving"]

MANIFEST, GGUF, REPORT, ADAPTER = "manifest.json", "model.gguf", "report.md", "adapter"


class VersionCorrupt(Conflict):
    code = "version-corrupt"


class VersionExists(Conflict):
    code = "version-exists"


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """A candidate that passed the gate: what the registry takes in."""

    parent: str
    """The version that it was trained from."""
    base_sha256: str
    cycle: str
    run: str
    snapshot: str
    gguf: Path
    gguf_sha256: str
    adapter_dir: Path | None
    adapter_scale: float
    quantisation: str
    served: Served
    scores: Scores
    champion_scores: Scores
    verdict: Verdict
    report: str
    """Markdown, kept beside the manifest."""


class Registry:
    """The versions of all models under one folder. Cheap to make: it reads the disk each time it is asked."""

    def __init__(self, root: Path) -> None:
        self.root = root

    # Reading ------------------------------------------------------------------------------------------------------

    def list(self, model: str) -> list[VersionManifest]:
        """Every version of a model, lowest first."""
        folders = (self.root / model).glob(f"*/{MANIFEST}")
        found = [self._read(path) for path in folders if not path.parent.name.startswith(".")]
        return sorted(found, key=lambda manifest: parse_semver(manifest.version))

    def get(self, model: str, version: str) -> VersionManifest:
        """One version. Raises InvalidInput for what is no SemVer, UnknownVersion naming those there are."""
        parse_semver(version)
        path = self.folder(model, version) / MANIFEST
        if not path.exists():
            there = ", ".join(one.version for one in self.list(model)) or "none"
            raise UnknownVersion(f"{model} has no version {version}.", f"There are: {there}.")
        return self._read(path)

    def latest(self, model: str) -> VersionManifest | None:
        """The highest version, whether it serves or not; none before the first."""
        return next(reversed(self.list(model)), None)

    def base(self, model: str, base_sha256: str) -> VersionManifest | None:
        """The version that is this base model itself."""
        bases = (one for one in self.list(model) if one.kind == "base" and one.base_sha256 == base_sha256)
        return next(bases, None)

    def of_cycle(self, model: str, cycle: str) -> VersionManifest | None:
        """The version that a cycle made, if it made one."""
        return next((one for one in self.list(model) if one.cycle == cycle), None)

    def folder(self, model: str, version: str) -> Path:
        return self.root / model / version

    def gguf_path(self, manifest: VersionManifest) -> Path:
        """Where a version's GGUF lies."""
        return self.folder(manifest.model, manifest.version) / manifest.gguf

    def verify(self, manifest: VersionManifest) -> Path:
        """The version's GGUF, once its bytes are known to be those that were registered. Raises VersionCorrupt."""
        path = self.gguf_path(manifest)
        name = f"{manifest.model} {manifest.version}"
        if not path.is_file():
            raise VersionCorrupt(f"The GGUF of {name} is gone: {path}.", "Restore it, or promote another version.")
        if sha256_file(path) != manifest.gguf_sha256:
            raise VersionCorrupt(
                f"{path} is not the file that was registered as {name}: its SHA-256 differs.",
                "Restore it from a backup, or promote another version.",
            )
        return path

    # Writing ------------------------------------------------------------------------------------------------------

    def register_base(self, model: str, gguf: Path, sha256: str, served: Served) -> VersionManifest:
        """Register a base model where it lies: 1.0.0 the first time, the next major for another base.

        The file is referred to, not copied. The same base again gives the version it has.
        """
        there = self.base(model, sha256)
        if there is not None:
            return there
        manifest = VersionManifest(
            model=model, version=next_version(self._versions(model), "base"), created_at=now(), kind="base",
            parent=None, base_sha256=sha256, gguf=str(gguf.resolve()), gguf_sha256=sha256,
            template=served.template, system=served.system, parameters=served.parameters,
        )  # fmt: skip
        report = f"# {model} {manifest.version}\n\nThe base model as it came, {gguf.name}. Nothing was trained.\n"
        return self._publish(manifest, report)

    def register(self, model: str, trained: Trained) -> VersionManifest:
        """Register a candidate as the next minor version; asked again for the same cycle, gives the version it has."""
        there = self.of_cycle(model, trained.cycle)
        if there is not None:
            return there
        version = next_version(self._versions(model), "cycle", of=trained.parent)
        folder = self._fresh_folder(model, version)
        _place(trained.gguf, folder / GGUF)
        if trained.adapter_dir is not None:
            shutil.copytree(trained.adapter_dir, folder / ADAPTER)
        manifest = VersionManifest(
            model=model, version=version, created_at=now(), kind="trained", parent=trained.parent,
            base_sha256=trained.base_sha256, run=trained.run, snapshot=trained.snapshot, cycle=trained.cycle,
            adapter_scale=trained.adapter_scale, quantisation=trained.quantisation, gguf=GGUF,
            gguf_sha256=trained.gguf_sha256, template=trained.served.template, system=trained.served.system,
            parameters=trained.served.parameters, scores=trained.scores, champion_scores=trained.champion_scores,
            verdict=trained.verdict,
        )  # fmt: skip
        return self._publish(manifest, trained.report)

    def register_serving(self, model: str, version: str, served: Served) -> VersionManifest:
        """Register the same weights with other words around them (template, system, parameters): the next patch."""
        origin = self.get(model, version)
        number = next_version(self._versions(model), "serving", of=version)
        source = self.verify(origin)
        gguf = origin.gguf
        if not Path(gguf).is_absolute():
            _place(source, self._fresh_folder(model, number) / GGUF)
        manifest = msgspec.structs.replace(
            origin, version=number, created_at=now(), parent=version, cycle=None, template=served.template,
            system=served.system, parameters=served.parameters, scores=None, champion_scores=None, verdict=None,
        )  # fmt: skip
        return self._publish(manifest, f"# {model} {number}\n\nThe weights of {version}, served with other words.\n")

    def _publish(self, manifest: VersionManifest, report: str) -> VersionManifest:
        """Write the report, then the manifest: from then on it is a version. Raises VersionExists, VersionCorrupt."""
        folder = self.folder(manifest.model, manifest.version)
        if (folder / MANIFEST).exists():
            raise VersionExists(f"{manifest.model} {manifest.version} exists already.", "Register it anew.")
        self.verify(manifest)
        replace_file(folder / REPORT, report.encode())
        replace_file(folder / MANIFEST, msgspec.json.format(msgspec.json.encode(manifest), indent=2))
        sync_folder(folder.parent)
        return manifest

    def _fresh_folder(self, model: str, version: str) -> Path:
        """An empty folder for a version; what a crash left in it, which never was a version, goes."""
        folder = self.folder(model, version)
        if (folder / MANIFEST).exists():
            raise VersionExists(f"{model} {version} exists already.", "Register it anew.")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return folder

    def _versions(self, model: str) -> Iterable[str]:
        return [manifest.version for manifest in self.list(model)]

    def _read(self, path: Path) -> VersionManifest:
        try:
            return msgspec.json.decode(path.read_bytes(), type=VersionManifest)
        except (msgspec.DecodeError, msgspec.ValidationError) as error:
            raise VersionCorrupt(f"{path} can't be read: {error}.", "Restore it from a backup.") from error


def next_version(existing: Iterable[str], change: Change, *, of: str = "") -> str:
    """The next version's number. Pure.

    `base`: 1.0.0, or the next major. `cycle`: the next minor in the major of `of`, above every minor there is, whether
    it serves or was rolled back. `serving`: the next patch of `of`. Numbers are never given twice.
    """
    numbers = [parse_semver(version) for version in existing]
    if change == "base":
        return f"{max((major for major, _, _ in numbers), default=0) + 1}.0.0"
    major, minor, _ = parse_semver(of)
    if (major, minor) not in {(number[0], number[1]) for number in numbers}:
        raise InvalidInput(f"{of} is no version to go on from.", "Register it first.")
    if change == "cycle":
        return f"{major}.{max(number[1] for number in numbers if number[0] == major) + 1}.0"
    return f"{major}.{minor}.{max(number[2] for number in numbers if number[:2] == (major, minor)) + 1}"


def _place(source: Path, target: Path) -> None:
    """Hard-link a large file into place, or copy it durably where the file system can't."""
    try:
        os.link(source, target)
    except OSError:
        # Another file system, or one without links: any reason is answered the same way, and copying raises its own.
        shutil.copyfile(source, target)
        with target.open("rb+") as file:
            os.fsync(file.fileno())
    sync_folder(target.parent)
