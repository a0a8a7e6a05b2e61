"""A learner's surroundings, small and real: GGUFs with a chat template, a registry, a site on a fake Ollama."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from gguf import GGUFWriter

from feedback.files import sha256_file
from learner.placing import Site
from learner.records import Scores, Verdict, VersionManifest
from learner.registry import Registry, Trained
from learner.settings import LearnerSettings
from learner.templates import Served, recognise
from learner.templates import read_template as template_of
from learner.upstream import Upstream

CHATML = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\\nYou are a small test.<|im_end|>\\n' }}{% endif %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
SCORES = Scores(heldout=0.5, heldout_items=20, general=0.7, general_items=80)
VERDICT = Verdict(outcome="promote", reasons=["For: all."], gain=0.4, retention=1.0)


def write_gguf(path: Path, name: str, jinja: str | None = CHATML) -> Path:
    """A GGUF without weights, told apart from others by its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = GGUFWriter(str(path), "llama")
    writer.add_name(name)
    writer.add_token_list(["<s>", "</s>"])
    writer.add_eos_token_id(1)
    if jinja is not None:
        writer.add_chat_template(jinja)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def make_site(data_dir: Path, upstream: Upstream, settings: LearnerSettings | None = None) -> Site:
    """A site with base version 1.0.0 registered; nothing serves yet."""
    settings = settings or LearnerSettings(drain_timeout_s=3.0)
    site = Site(
        model="assistant", registry=Registry(data_dir / "registry"), upstream=upstream, data_dir=data_dir,
        settings=settings,
    )  # fmt: skip
    base = write_gguf(data_dir / "base.gguf", "base")
    site.registry.register_base("assistant", base, sha256_file(base), served(base))
    return site


def served(gguf: Path) -> Served:
    return recognise(template_of(gguf))


def add_version(site: Site, cycle: str, jinja: str | None = CHATML, words: Served | None = None) -> VersionManifest:
    """Register one more trained version; `jinja` and `words` may disagree, for a deploy to find out."""
    gguf = write_gguf(site.data_dir / "runs" / cycle / "candidate.gguf", cycle, jinja)
    return site.registry.register(
        "assistant",
        Trained(
            parent="1.0.0", base_sha256="b" * 64, cycle=cycle, run=f"run-{cycle}", snapshot="snapshot-1", gguf=gguf,
            gguf_sha256=sha256_file(gguf), adapter_dir=None, adapter_scale=1.0, quantisation="q8_0",
            served=words or served(site.data_dir / "base.gguf"), scores=SCORES, champion_scores=SCORES, verdict=VERDICT,
            report="# A report\n",
        ),
    )  # fmt: skip


def questions_asked(messages: Sequence[dict[str, str]]) -> str:
    """The prompt of a chat, for a fake's answers."""
    return messages[-1]["content"]
