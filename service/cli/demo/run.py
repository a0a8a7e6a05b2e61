"""`ratchet demo`: the circle once, from first chat to hot swap, on this machine alone.

Real: the processes, the model, its replies, the store, Ray, the training, the evaluation, the gate, the swap. Played:
the people, and the output says so. Everything lives in a throw-away folder on free ports, so it touches nothing of the
machine's own service.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import signal
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from feedback.errors import CycleFailed
from feedback.split import split_of
from learner.records import STEPS, CycleState, journal_files, read_cycle
from service.cli.demo.memory import PeakMemory
from service.cli.demo.people import RUBRIC, Chat, Crowd, facts
from service.cli.demo.report import DemoReport, Example, Kind, checks
from service.cli.demo.swap import Swap, SwapClient
from service.cli.processes import Fleet
from service.cli.settings import Settings, load
from service.cli.supervisor import start_all

CYCLE_TIMEOUT_S = 1500.0
POLL_S = 0.05
ANSWERS_OF_THE_NEW = 20
"""So many answers of the new version are awaited before the swap client stops."""
LABELS = {
    "base": "prepare the base for training",
    "snapshot": "freeze the pool",
    "train": "train under Ray",
    "export": "merge, quantise, choose the adapter's scale",
    "evaluate": "ask champion and candidate",
    "gate": "judge",
    "register": "register",
    "deploy": "push, warm, smoke-test, swap, drain",
}


class DemoOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The flags of `ratchet demo`."""

    kind: Kind = "honest"
    keep: bool = False
    facts: int = 0
    report: Path | None = None
    data: Path | None = None


class Stage:
    """One demo under way: its settings, its processes, its clock."""

    def __init__(self, options: DemoOptions, folder: Path, console: Console) -> None:
        self.options = options
        self.console = console
        self.file = folder / "ratchet.toml"
        self.file.write_text(_settings_text(folder, options), "utf-8")
        self.settings: Settings = load(self.file, {})
        self.fleet = Fleet()
        self.started = time.monotonic()
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note how long a part takes."""
        begun = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - begun, 1)


def run_demo(options: DemoOptions) -> int:
    """Run it, print the report; 0 where every promise was kept."""
    console = Console(highlight=False, soft_wrap=True)
    for name in [name for name in os.environ if name.startswith("RATCHET_") or name == "OLLAMA_HOST"]:
        del os.environ[name]  # the machine's own service is configured there; its children must not read it
    folder = options.data or Path(tempfile.mkdtemp(prefix="ratchet-demo-"))
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, _interrupt)
    memory = PeakMemory()
    stage = Stage(options, folder.absolute(), console)
    memory.start()
    try:
        report = _play(stage, memory)
        kept = _print_report(console, report)
        if options.report:
            options.report.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2))
        if options.keep:
            _stay(console, stage)
        return 0 if kept else 1
    finally:
        stage.fleet.stop()
        if options.data is None:
            shutil.rmtree(folder, ignore_errors=True)


def _play(stage: Stage, memory: PeakMemory) -> DemoReport:
    console, settings = stage.console, stage.settings
    console.print("[bold]Ratchet demo[/]: the people here are played; the model, its replies and all else are real.")
    with stage.timed("start"):
        url = start_all(stage.file, settings, stage.fleet, lambda text: console.print(f"  {text}"))
    console.print(f"  Serving at {url} after {stage.seconds['start']:.1f} s, data in {settings.store.data_dir}")
    crowd = Crowd(url, settings.learner.alias, settings.pool)
    swapping = SwapClient(url, settings.learner.alias)
    try:
        chats = _feedback(stage, crowd)
        with stage.timed("cycle"):
            state = _cycle(stage, url, swapping)
        swapping.wait_for(_serving(url, settings.learner.alias), ANSWERS_OF_THE_NEW, 30.0)
        swap = swapping.stop()
        example = _example(stage, crowd, chats)
    finally:
        swapping.stop()
        crowd.close()
    version = _serving(url, settings.learner.alias)
    return _report(stage, state, swap, example, version, memory.stop())


def _feedback(stage: Stage, crowd: Crowd) -> list[Chat]:
    """People chat and rate; annotators correct. Hostile people come in hundreds, and annotators get less far."""
    leaflet = facts(stage.options.facts)
    with stage.timed("chat"), _bar(stage.console) as bar:
        task = bar.add_task("people chat", total=None)
        chats = crowd.chat(leaflet, lambda: bar.advance(task))
        bar.update(task, total=len(chats), completed=len(chats))
    right = sum(chat.right for chat in chats if chat.answer)
    about = sum(bool(chat.answer) for chat in chats)
    stage.console.print(f"  Rubric: {RUBRIC}")
    with stage.timed("feedback"):
        if stage.options.kind == "poisoned":
            crowd.poison(chats)
            done = crowd.annotate(chats, only_heldout=True)
            who = f"hostile raters 'corrected' all {len(chats)} replies to nonsense"
        else:
            crowd.rate(chats)
            done = crowd.annotate(chats)
            who = f"people rated {len(chats)} replies"
    stage.console.print(
        f"  The model got {right} of {about} questions about the library right; {who}, annotators checked {done}."
    )
    return chats


def _cycle(stage: Stage, url: str, swapping: SwapClient) -> CycleState:
    """Ask for a cycle as an operator would, show its journal as a progress bar, keep asking while the swap happens."""
    body = {"kind": "cycle", "alias": stage.settings.learner.alias, "reason": f"demo, {stage.options.kind}"}
    httpx.post(f"{url}/requests", json=body, timeout=30).raise_for_status()
    deadline = time.monotonic() + CYCLE_TIMEOUT_S
    with _bar(stage.console) as bar:
        tasks: dict[str, TaskID] = {}
        while time.monotonic() < deadline:
            journals = journal_files(stage.settings.store.data_dir / "journal")
            if not journals:
                time.sleep(POLL_S)
                continue
            state = read_cycle(journals[0])
            if state.step in ("gate", "register", "deploy"):
                swapping.start()
            _show(bar, tasks, state)
            if state.status == "finished":
                return state
            if state.status == "failed":
                outcome = state.outcome
                raise CycleFailed(f"{outcome.get('message')} [{outcome.get('code')}]", str(outcome.get("mend", "")))
            time.sleep(POLL_S)
    raise CycleFailed(
        f"The cycle did not end within {CYCLE_TIMEOUT_S:.0f} s.", "See logs/learner.log in its data folder."
    )


def _show(bar: Progress, tasks: dict[str, TaskID], state: CycleState) -> None:
    for step in STEPS:
        reached = step == state.step or step in state.done
        if reached and step not in tasks:
            tasks[step] = bar.add_task(LABELS[step], total=1.0)
        if step in state.done and not bar.tasks[list(tasks).index(step)].finished:
            bar.update(tasks[step], completed=1.0)
    if state.step in tasks and state.step not in state.done and state.progress:
        share = float(state.progress.get("share", 0.0))
        text = str(state.progress.get("text", ""))
        bar.update(tasks[state.step], completed=min(share, 0.999), description=f"{LABELS[state.step]} {text}"[:78])


def _serving(url: str, alias: str) -> str:
    aliases = httpx.get(f"{url}/versions", timeout=30).raise_for_status().json()["aliases"]
    return str(aliases[alias]["champion"]["version"])


def _example(stage: Stage, crowd: Crowd, chats: list[Chat]) -> Example | None:
    """A held-out question, asked again through the gateway: what the person hears now."""
    heldout = [chat for chat in chats if chat.answer and split_of(chat.question, stage.settings.pool) == "heldout"]
    for before in heldout:
        after = crowd.ask(before.question, before.accept, before.answer)
        if after.right and not before.right:
            return Example(question=before.question, before=before.reply, after=after.reply)
    if not heldout:
        return None
    after = crowd.ask(heldout[0].question, heldout[0].accept, heldout[0].answer)
    return Example(question=heldout[0].question, before=heldout[0].reply, after=after.reply)


def _report(
    stage: Stage, state: CycleState, swap: Swap, example: Example | None, version: str, peak_rss_mb: float
) -> DemoReport:
    asked: dict[str, Any] = state.done["evaluate"]
    before, after = asked["champion"], asked["candidate"]
    verdict = state.done["gate"]["verdict"]
    deployed = state.done.get("deploy", {})
    return DemoReport(
        kind=stage.options.kind,
        heldout_before=before["heldout"],
        heldout_after=after["heldout"],
        heldout_items=after["heldout_items"],
        retention=verdict["retention"],
        general_before=before["general"],
        general_after=after["general"],
        general_items=after["general_items"],
        verdict=verdict["outcome"],
        reasons=verdict["reasons"],
        version=version,
        swap_requests=swap.requests,
        swap_failed=swap.failed,
        swap_half_loaded=swap.half_loaded,
        swap_versions=swap.versions,
        flip_ms=deployed.get("flip_ms"),
        seconds=round(time.monotonic() - stage.started, 1),
        peak_rss_mb=round(peak_rss_mb),
        snapshot=state.done["snapshot"]["snapshot"],
        run=state.done["train"]["run"],
        cycle=state.cycle,
        adapter_scale=state.done["export"]["choice"]["scale"],
        example=example,
        stages=stage.seconds,
        machine=f"{platform.machine()}, Python {platform.python_version()}",
    )


def _print_report(console: Console, report: DemoReport) -> bool:
    """Print what was seen; whether every promise was kept."""
    console.print()
    console.print(
        f"[bold]Report[/] ({report.kind}): cycle {report.cycle}, snapshot {report.snapshot}, run {report.run}"
    )
    if report.example:
        console.print(f"  Q: {report.example.question}", markup=False)
        console.print(f"  before: {report.example.before}", markup=False)
        console.print(f"  after:  {report.example.after}", markup=False)
    console.print(f"  Verdict: {report.verdict}")
    for reason in report.reasons:
        console.print(f"    {reason}", markup=False)
    console.print(f"  Serving: version {report.version}; adapter scale {report.adapter_scale}")
    found = checks(report)
    for check in found:
        console.print(f"  {'[green]kept[/]  ' if check.holds else '[red]BROKEN[/]'} {check.name}: {check.text}")
    return all(check.holds for check in found)


def _stay(console: Console, stage: Stage) -> None:
    """`--keep`: leave everything running until Ctrl-C."""
    console.print(
        f"\nStill serving at http://127.0.0.1:{stage.settings.gateway.port}; "
        f"`ratchet --settings {stage.file} versions` and the like work. Ctrl-C ends it."
    )
    with contextlib.suppress(KeyboardInterrupt):
        threading.Event().wait()


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _settings_text(folder: Path, options: DemoOptions) -> str:
    """The demo's settings: free ports, short answers allowed, all else as shipped."""
    gateway, engine = _free_port(), _free_port()
    upstream = f"http://127.0.0.1:{engine}"
    return f"""# Written by `ratchet demo`.
[store]
data_dir = {str(folder / "data")!r}

[pool]
min_tokens = 8        # people ask short questions here

[gateway]
port = {gateway}
upstream_url = "{upstream}"

[engine]
port = {engine}

[learner]
gateway_url = "http://127.0.0.1:{gateway}"
upstream_url = "{upstream}"

[recipe]
epochs = 4            # small and quick
max_steps = {0 if options.kind == "untrained" else -1}
"""


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("  {task.description:<44}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        console=console,
    )
