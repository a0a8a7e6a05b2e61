"""Putting a version on the hosts of the upstream, and seeing that what is there is what was judged.

    push → load and warm → smoke test → parity of the prompt → the same on every other host

Nothing here touches the alias: until it is moved (`deploy`) nobody is sent to the version. Must never: make a name anew
while it may be serving, because a real Ollama answers 404 and 500 meanwhile.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import msgspec

from feedback.errors import CycleFailed, RatchetError, UpstreamBroke, UpstreamDown
from feedback.files import replace_file
from learner.records import VersionManifest
from learner.registry import Registry
from learner.scoring import fault_of
from learner.settings import LearnerSettings
from learner.templates import PROBES, UnknownTemplate, read_template, render
from learner.upstream import Upstream

SMOKE = [{"role": "user", "content": "Hello! Who are you?"}]


class SmokeTestFailed(CycleFailed):
    code = "smoke-test-failed"


class PromptMismatch(CycleFailed):
    code = "prompt-mismatch"


class Site(msgspec.Struct, frozen=True, kw_only=True):
    """Where versions are kept, served and named."""

    model: str
    """The alias that people chat with, and the name under which the registry keeps its versions."""
    registry: Registry
    upstream: Upstream
    data_dir: Path
    settings: LearnerSettings
    mirrors: list[str] = []
    """URLs of the other hosts that the gateway asks: a version is put on each before it serves."""

    @property
    def alias_file(self) -> Path:
        return self.data_dir / "alias.json"


def tag_of(manifest: VersionManifest) -> str:
    """The upstream's immutable name for a version: `assistant:1.1.0`."""
    return f"{manifest.model}:{manifest.version}"


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """What was found on the way."""

    load_s: float
    smoke_reply_tokens: int
    prompt_checked: bool
    """Whether the upstream tells how it renders prompts; then they were found right."""
    missed: list[str] = []
    """Hosts that did not answer and have not got the version: the gateway asks them for nothing of it until it is
    promoted again."""


def place(site: Site, manifest: VersionManifest, tag: str) -> Placed:
    """Put a version on every host, loaded and tried. Raises SmokeTestFailed, PromptMismatch, the upstream's errors."""
    push(site, manifest, tag)
    load_s = site.upstream.load(tag)
    return Placed(
        load_s=load_s,
        smoke_reply_tokens=_smoke_test(site, tag),
        prompt_checked=check_prompt(site, manifest, tag),
        missed=mirror(site, manifest, tag),
    )


def mirror(site: Site, manifest: VersionManifest, tag: str) -> list[str]:
    """Put a version on the other hosts, each as carefully as on the first; returns those that did not answer.

    One that is away holds nobody up: what it lacks it is not asked for. One that answers and does it wrong stops the
    deploy, as the first host does.
    """
    missed = []
    for url in site.mirrors:
        try:
            with Upstream(url, timeout_s=site.settings.warm_timeout_s) as other:
                there = msgspec.structs.replace(site, upstream=other)
                push(there, manifest, tag)
                other.load(tag)
                _smoke_test(there, tag)
                check_prompt(there, manifest, tag)
        except (UpstreamDown, UpstreamBroke):
            missed.append(url)
    return missed


def unload_everywhere(site: Site, tag: str) -> None:
    """Take a model out of the memory of all hosts. Raises what the first host's asking raises; others may be away."""
    for url in site.mirrors:
        with suppress(RatchetError), Upstream(url, timeout_s=site.settings.warm_timeout_s) as other:
            other.unload(tag)
    site.upstream.unload(tag)


def push(site: Site, manifest: VersionManifest, tag: str) -> None:
    """Put the version on the upstream, unless what it has under this tag is what was put there."""
    ledger_file = site.data_dir / "pushed.json"
    ledger: dict[str, str] = {}
    with suppress(FileNotFoundError, msgspec.DecodeError):  # lost or spoilt, it only costs a push
        ledger = msgspec.json.decode(ledger_file.read_bytes(), type=dict[str, str])
    key = f"{site.upstream.url} {tag} {manifest.gguf_sha256}"
    digest = site.upstream.tags().get(tag)
    if digest is not None and ledger.get(key) == digest:
        return
    gguf = site.registry.verify(manifest)
    site.upstream.push(
        tag, gguf, template=manifest.template, system=manifest.system, parameters=manifest.parameters,
        sha256=manifest.gguf_sha256,
    )  # fmt: skip
    ledger[key] = site.upstream.tags().get(tag, "")
    replace_file(ledger_file, msgspec.json.format(msgspec.json.encode(ledger), indent=2))


def _smoke_test(site: Site, tag: str) -> int:
    """One whole chat on the tag; returns the reply's tokens. Raises SmokeTestFailed for an empty reply."""
    options = {"temperature": 0, "seed": 1, "num_predict": site.settings.max_reply_tokens}
    answer = site.upstream.chat(tag, SMOKE, options=options)
    if fault_of(answer.text) == "empty":
        raise SmokeTestFailed(
            f"{tag} answers with nothing.", "Look at its template and stops, and at the run's report."
        )
    return answer.reply_tokens


def check_prompt(site: Site, manifest: VersionManifest, tag: str) -> bool:
    """Whether the upstream's prompts were compared with the model's own template; PromptMismatch where they differ.

    Not compared: where the upstream doesn't tell its prompts, or the GGUF has no template of its own.
    """
    if site.upstream.rendered(tag, PROBES[0]) is None:
        return False
    try:
        template = read_template(site.registry.gguf_path(manifest))
        wanted = [render(template, probe) for probe in PROBES]
    except UnknownTemplate:
        if site.settings.chat_template:
            return False  # the operator gave a template because the model's own is none that we can render
        raise
    for probe, prompt in zip(PROBES, wanted, strict=True):
        if site.upstream.rendered(tag, probe) != prompt:
            raise PromptMismatch(
                f"{tag} would be prompted otherwise than it was trained: a probe of {len(probe)} messages is rendered "
                "unlike its own template.",
                "Set learner.chat_template, chat_system and chat_stops to what the model was trained with.",
            )
    return True
