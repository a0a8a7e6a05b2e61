"""The learner, as the command line starts it: the daemon, one cycle here and now, the first version.

Everything of `learner` is imported inside the functions: `ratchet versions` must not pay for a training stack.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from feedback.errors import CycleFailed
from feedback.mint import new_id
from service.cli.journal_bar import JournalBar
from service.cli.settings import Settings

if TYPE_CHECKING:
    from learner.records import CycleState
    from learner.workshop import LearnerTables

POLL_S = 0.2


def tables_of(settings: Settings) -> LearnerTables:
    """What the learner and its child processes get of the settings."""
    from learner.workshop import LearnerTables

    return LearnerTables(store=settings.store, learner=settings.learner, recipe=settings.recipe)


def run_learner(path: Path | None, settings: Settings) -> int:
    """`ratchet learner`: the daemon, until stopped."""
    import logging

    from learner.daemon import run_daemon

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    run_daemon(tables_of(settings), ready=lambda: print(f"ready learner {settings.store.data_dir}", flush=True))
    return 0


def bootstrap_alias(settings: Settings, say: Callable[[str], None]) -> None:
    """See that something serves under the alias: the base as 1.0.0 where there is none yet, loaded and warm."""
    from feedback.files import sha256_file
    from learner.base_file import base_file
    from learner.deploy import bootstrap, champion_of
    from learner.templates import served_for
    from learner.workshop import site_of, upstream_of

    with upstream_of(settings.learner) as upstream:
        site = site_of(tables_of(settings), upstream)
        first = champion_of(site) is None
        gguf = base_file(settings.learner)
        digest = sha256_file(gguf)
        manifest = site.registry.base(site.model, digest)
        if manifest is None:
            served = served_for(gguf, settings.learner)
            manifest = site.registry.register_base(site.model, gguf, digest, served)
        bootstrap(site, manifest)
        if first:
            say(f"{site.model} is {gguf.name}, version {manifest.version}.")


def run_cycle_here(path: Path | None, settings: Settings, *, reason: str, resume: str) -> int:
    """`ratchet cycle run`: a cycle in this process, with a progress bar; 0 where it finished, whatever the verdict."""
    from learner.cycle import run_cycle
    from learner.workshop import Workshop, real_parts, upstream_of

    console = Console(highlight=False)
    cycle = resume or new_id("cycle")
    console.print(f"{cycle} (journal in {settings.store.data_dir / 'journal'})")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ended = threading.Event()
    bar = threading.Thread(target=_show, args=(settings, cycle, ended, console), daemon=True)
    bar.start()
    try:
        with upstream_of(settings.learner) as upstream:
            tables = tables_of(settings)
            shop = Workshop(tables=tables, parts=real_parts(tables), upstream=upstream)
            state = run_cycle(shop, cycle, reason)
    finally:
        ended.set()
        bar.join()
    return _say(console, state)


def _say(console: Console, state: CycleState) -> int:
    outcome = state.outcome
    if state.status == "failed":
        raise CycleFailed(f"{outcome.get('message')} [{outcome.get('code')}]", str(outcome.get("mend", "")))
    verdict = outcome["verdict"]
    console.print(f"Verdict: {verdict['outcome']}")
    for line in verdict["reasons"]:
        console.print(f"  {line}", markup=False)
    served = f"version {outcome['version']} serves" if outcome["deployed"] else "the champion serves on"
    console.print(f"{served}. Report: {outcome['report']}")
    return 0


def _show(settings: Settings, cycle: str, ended: threading.Event, console: Console) -> None:
    """Follow the journal until told that the cycle has ended, and once more then."""
    from learner.records import read_cycle

    journal = settings.store.data_dir / "journal" / f"{cycle}.jsonl"
    bar = JournalBar(console)
    with bar.progress:
        while True:
            last = ended.is_set()
            if journal.exists():
                bar.show(read_cycle(journal))
            if last:
                return
            time.sleep(POLL_S)
