"""What a cycle works with: settings, folders, clients, and the heavy parts, so that these can be exchanged.

The heavy parts (converting the base, training, merging) are functions that are handed in. The real ones are imported
when they are called: a process that only looks at a cycle loads neither torch nor ray. Tests hand in small real ones.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from feedback.files import replace_file
from feedback.settings import StoreSettings
from learner.gateway import Gateway
from learner.placing import Site
from learner.registry import Registry
from learner.runs import Progress, TrainingJob, TrainingResult
from learner.settings import LearnerSettings, RecipeSettings
from learner.suite import LoadSuite, load_suite
from learner.upstream import Upstream

Quantisation = Literal["q8_0", "f16"]


class PreparedBase(Protocol):
    """What is needed of a base; `learner.base.Base` is one."""

    @property
    def folder(self) -> Path: ...
    @property
    def sha256(self) -> str: ...
    @property
    def tokenizer_file(self) -> Path: ...


class LearnerTables(msgspec.Struct, frozen=True, kw_only=True):
    """The tables of the settings file that the learner reads; handed to its child processes as JSON."""

    store: StoreSettings
    learner: LearnerSettings
    recipe: RecipeSettings

    def write(self, path: Path) -> None:
        replace_file(path, msgspec.json.format(msgspec.json.encode(self, enc_hook=str), indent=2))

    @staticmethod
    def read(path: Path) -> LearnerTables:
        return msgspec.json.decode(path.read_bytes(), type=LearnerTables, dec_hook=_decode_path)


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a cycle that take long or talk to the gateway."""

    prepare_base: Callable[[Path, Path], PreparedBase]
    """GGUF, cache folder → the base, converted for training."""
    train: Callable[[TrainingJob, Callable[[Progress], None]], TrainingResult]
    merge: Callable[[Path, Path, float, Path, Quantisation], Any]
    """Base GGUF, adapter folder, scale, where to, quantisation → a GGUF there."""
    freeze: Callable[[Path, Sequence[str], str], dict[str, Any]]
    """Tokenizer file, guarded texts, base model's name → the snapshot's manifest."""
    suite: LoadSuite = load_suite
    """Name → the suite of general questions."""


class Workshop(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the steps of a cycle need."""

    tables: LearnerTables
    parts: Parts
    upstream: Upstream

    @property
    def data_dir(self) -> Path:
        return self.tables.store.data_dir

    @property
    def settings(self) -> LearnerSettings:
        return self.tables.learner

    @property
    def model(self) -> str:
        return self.settings.alias

    @property
    def journal_dir(self) -> Path:
        return self.data_dir / "journal"

    @property
    def site(self) -> Site:
        return site_of(self.tables, self.upstream)

    @property
    def registry(self) -> Registry:
        return self.site.registry


def site_of(tables: LearnerTables, upstream: Upstream) -> Site:
    """Where versions are kept, served and named, by the settings."""
    data_dir = tables.store.data_dir
    return Site(
        model=tables.learner.alias, registry=Registry(data_dir / "registry"), upstream=upstream, data_dir=data_dir,
        settings=tables.learner, mirrors=mirrors_of(tables.learner),
    )  # fmt: skip


def upstream_of(settings: LearnerSettings) -> Upstream:
    """The upstream by the settings; its longest silence is that of loading a model."""
    return Upstream(settings.upstream_url, timeout_s=settings.warm_timeout_s)


def mirrors_of(settings: LearnerSettings) -> list[str]:
    """The URLs of the other hosts that versions are put on."""
    others = dict.fromkeys(url.rstrip("/") for url in settings.upstream_urls)
    others.pop(settings.upstream_url.rstrip("/"), None)
    return list(others)


def real_parts(tables: LearnerTables) -> Parts:
    """The parts as they are used in earnest."""
    gateway = Gateway(tables.learner.gateway_url, tables.store.data_dir)
    return Parts(prepare_base=_prepare_base, train=_train, merge=_merge, freeze=gateway.freeze)


def _prepare_base(gguf: Path, cache_dir: Path) -> PreparedBase:
    from learner.base import prepare_base

    return prepare_base(gguf, cache_dir)


def _train(job: TrainingJob, progress: Callable[[Progress], None]) -> TrainingResult:
    from learner.launch import run_training

    return run_training(job, progress)


def _merge(base_gguf: Path, adapter_dir: Path, scale: float, out: Path, quantisation: Quantisation) -> Any:
    from learner.export import merge_to_gguf

    return merge_to_gguf(base_gguf, adapter_dir, scale, out, quantisation)


def _decode_path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"no setting may be of type {kind}")
