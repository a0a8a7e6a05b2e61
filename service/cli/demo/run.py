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
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import msgspec
from rich.console import Console

from feedback.errors import CycleFailed
from feedback.split import split_of
from learner.records import CycleState, journal_files, read_cycle
from service.cli.demo.memory import PeakMemory
from service.cli.demo.people import RUBRIC, Chat, Crowd, facts
from service.cli.demo.report import DemoReport, Example, checks
from service.cli.demo.stage import DemoOptions, Stage
from service.cli.demo.swap import Swap, SwapClient
from service.cli.journal_bar import JournalBar, new_bar
from service.cli.supervisor import start_all

CYCLE_TIMEOUT_S = 1500.0
POLL_S = 0.05
ANSWERS_OF_THE_NEW = 20
"""So many answers of the new version are awaited before the swap client stops."""


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
    with stage.timed("chat"), new_bar(stage.console) as bar:
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
    bar = JournalBar(stage.console)
    with bar.progress:
        while time.monotonic() < deadline:
            journals = journal_files(stage.settings.store.data_dir / "journal")
            if not journals:
                time.sleep(POLL_S)
                continue
            state = read_cycle(journals[0])
            if state.step in ("gate", "register", "deploy"):
                swapping.start()
            bar.show(state)
            if state.status == "finished":
                return state
            if state.status == "failed":
                outcome = state.outcome
                raise CycleFailed(f"{outcome.get('message')} [{outcome.get('code')}]", str(outcome.get("mend", "")))
            time.sleep(POLL_S)
    raise CycleFailed(
        f"The cycle did not end within {CYCLE_TIMEOUT_S:.0f} s.", "See logs/learner.log in its data folder."
    )


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
