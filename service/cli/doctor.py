"""`ratchet doctor`: what is there, what is missing, and what each missing thing costs. Reads only, changes nothing.

A finding is `ok`, `note` (works without, but know it) or `missing` (something that was asked for can't work); any
`missing` makes the exit status 1. Each part of the product says by a finding whether it can run here.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import httpx
import msgspec
from rich.console import Console
from rich.table import Table

from feedback.errors import RatchetError
from learner.base_file import base_file
from service.cli.operations import gateway_url
from service.cli.settings import Settings
from service.upstream.host import Circuit, Host

LEAST_DISK_GIB = 5.0
LEAST_MEMORY_GIB = 6.0
PACKAGES = {
    "gateway": ["litestar", "uvicorn", "aiohttp", "httpx", "ollama", "msgspec", "duckdb", "pyarrow", "tokenizers"],
    "engine": ["xllamacpp", "gguf"],
    "learner": ["torch", "transformers", "peft", "ray", "apscheduler", "safetensors", "gguf"],
}


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the doctor's report."""

    subject: str
    state: Literal["ok", "note", "missing"]
    text: str


def examine(path: Path | None, settings: Settings) -> int:
    """Print the findings as a table; 1 if something is missing."""
    findings = [Finding(subject="settings", state="ok", text=str(path) if path else "defaults (no ratchet.toml here)")]
    findings += [*machine(settings.store.data_dir), *packages(), *models(settings), *services(settings)]
    table = Table("", "what", "found", title="ratchet doctor", title_justify="left")
    marks = {"ok": "[green]ok[/]", "note": "[yellow]note[/]", "missing": "[red]missing[/]"}
    for finding in findings:
        table.add_row(marks[finding.state], finding.subject, finding.text)
    Console().print(table)
    return int(any(finding.state == "missing" for finding in findings))


def machine(data_dir: Path) -> Iterator[Finding]:
    """Python, processors, memory, disk, GPU."""
    import psutil

    yield Finding(
        subject="python", state="ok", text=f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    )
    yield Finding(subject="processors", state="ok", text=f"{os.cpu_count()}")
    memory = psutil.virtual_memory().total / 2**30
    enough = memory >= LEAST_MEMORY_GIB
    yield Finding(
        subject="memory",
        state="ok" if enough else "note",
        text=f"{memory:.1f} GiB" + ("" if enough else f"; training the default base wants {LEAST_MEMORY_GIB:.0f} GiB"),
    )
    there = next(folder for folder in (data_dir.absolute(), *data_dir.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free / 2**30
    roomy = free >= LEAST_DISK_GIB
    yield Finding(
        subject="disk",
        state="ok" if roomy else "missing",
        text=f"{free:.1f} GiB free for {data_dir}"
        + ("" if roomy else f"; a cycle wants {LEAST_DISK_GIB:.0f} GiB: free some"),
    )
    yield _gpu()


def _gpu() -> Finding:
    """Asked of the driver's own tool: importing torch for it would take seconds."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return Finding(subject="gpu", state="note", text="none seen (no nvidia-smi): training runs on the CPU")
    asked = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader"]
    found = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=False)
    if found.returncode != 0:
        return Finding(subject="gpu", state="note", text="nvidia-smi answers with an error: training runs on the CPU")
    return Finding(subject="gpu", state="ok", text="; ".join(found.stdout.split("\n")).strip("; "))


def packages() -> Iterator[Finding]:
    """Which parts are installed, with versions."""
    for part, names in PACKAGES.items():
        versions, absent = [], []
        for name in names:
            try:
                versions.append(f"{name} {importlib.metadata.version(name)}")
            except importlib.metadata.PackageNotFoundError:
                absent.append(name)
        if absent:
            mend = f"pip install 'ratchet-feedback[{part}]'" if part != "gateway" else "pip install ratchet-feedback"
            state: Literal["note", "missing"] = "missing" if part == "gateway" else "note"
            yield Finding(subject=part, state=state, text=f"not installed: {', '.join(absent)}. Mend: {mend}")
        else:
            yield Finding(subject=part, state="ok", text=", ".join(versions))


def models(settings: Settings) -> Iterator[Finding]:
    """The base model that is trained and, where no Ollama is, served."""
    try:
        base = base_file(settings.learner)
    except RatchetError as error:
        yield Finding(subject="base model", state="missing", text=str(error))
        return
    yield Finding(subject="base model", state="ok", text=f"{base.name}, {base.stat().st_size / 2**20:.0f} MiB")


def _host(url: str, *, alone: bool) -> Finding:
    """One Ollama: its version and how many models it has."""
    shown = Host(url, Circuit(1, 0)).name
    try:
        version = httpx.get(f"{url}/api/version", timeout=2.0).json()["version"]
        models = len(httpx.get(f"{url}/api/tags", timeout=2.0).json()["models"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        mend = "`ratchet up` starts the embedded engine" if alone else "it gets no requests until it does"
        return Finding(subject="Ollama", state="note", text=f"none answers at {shown}: {mend}")
    return Finding(subject="Ollama", state="ok", text=f"version {version} at {shown}, {models} models")


def services(settings: Settings) -> Iterator[Finding]:
    """Ollama (or the engine) and the gateway, if they run."""
    for upstream in settings.gateway.hosts:
        yield _host(upstream, alone=not settings.gateway.upstream_urls)
    unequal = set(settings.gateway.hosts) ^ set(settings.learner.upstream_urls)
    if settings.gateway.upstream_urls and unequal:
        text = "learner.upstream_urls names other hosts than gateway.upstream_urls: versions are not put on all of them"
        yield Finding(subject="Ollama", state="note", text=text)
    gateway = gateway_url(settings)
    try:
        ready = httpx.get(f"{gateway}/ready", timeout=2.0)
        state: Literal["ok", "note"] = "ok" if ready.status_code == 200 else "note"
        yield Finding(subject="gateway", state=state, text=f"at {gateway}, {'ready' if state == 'ok' else 'not ready'}")
    except httpx.HTTPError:
        yield Finding(subject="gateway", state="note", text=f"not running at {gateway}")
