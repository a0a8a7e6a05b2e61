"""What each verb of `ratchet` does: reads the settings, and calls the room that does it.

Imports of the rooms happen inside the functions, so that `ratchet versions` never loads a training stack.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from service.cli import settings as settings_file


def _load(given: argparse.Namespace) -> tuple[Path | None, settings_file.Settings]:
    path = settings_file.settings_path(given.settings)
    return path, settings_file.load(path)


def up(given: argparse.Namespace) -> int:
    from service.cli.supervisor import run_up

    return run_up(*_load(given))


def gateway(given: argparse.Namespace) -> int:
    from service.front.server import run_gateway

    _, settings = _load(given)
    ready = _say_ready("gateway")
    run_gateway(settings.gateway, settings.store, settings.pool, ready, settings.labelling, settings.quality)
    return 0


def engine(given: argparse.Namespace) -> int:
    from service.engine.server import run_engine

    _, settings = _load(given)
    run_engine(settings.engine, settings.store.data_dir, _say_ready("engine"))
    return 0


def learner(given: argparse.Namespace) -> int:
    from service.cli.learning import run_learner

    return run_learner(*_load(given))


def doctor(given: argparse.Namespace) -> int:
    from service.cli.doctor import examine

    return examine(*_load(given))


def back_up(given: argparse.Namespace) -> int:
    from service.cli.operations import back_up as act

    return act(_load(given)[1], given.target)


def create_key(given: argparse.Namespace) -> int:
    from service.cli.keys import create_key as act
    from service.cli.keys import key_input

    return act(_load(given)[1], key_input(given), days=given.days, keep=given.keep)


def list_keys(given: argparse.Namespace) -> int:
    from service.cli.keys import list_keys as act

    return act(_load(given)[1])


def revoke_key(given: argparse.Namespace) -> int:
    from service.cli.keys import revoke_key as act

    return act(_load(given)[1], given.key)


def erase_data(given: argparse.Namespace) -> int:
    from service.cli.privacy import erase

    named = {"subject": given.subject, "conversation": given.conversation, "turn": given.turn}
    return erase(_load(given)[1], named, note=given.note, yes=given.yes)


def export_data(given: argparse.Namespace) -> int:
    from service.cli.privacy import export

    return export(_load(given)[1], given.subject, given.to)


def import_feedback(given: argparse.Namespace) -> int:
    from service.cli.transfer import import_feedback as act

    asked = {"format": given.format, "project": given.project, "tier": given.tier}
    return act(_load(given)[1], given.file, asked | {"dry_run": "true" if given.dry_run else ""})


def export_feedback(given: argparse.Namespace) -> int:
    from service.cli.transfer import export_feedback as act

    names = ("format", "which", "project", "version", "since", "until")
    return act(_load(given)[1], given.to, {name: getattr(given, name) for name in names})


def check_words(given: argparse.Namespace) -> int:
    from service.cli.words import check_text

    return check_text(_load(given)[1], given.text, given.direction)


def test_words(given: argparse.Namespace) -> int:
    from service.cli.words import run_cases

    return run_cases(given.cases)


def import_words(given: argparse.Namespace) -> int:
    from service.cli.words import import_words as act

    return act(given.file, given.format, given.out, given.category, given.action)


def cycle_run(given: argparse.Namespace) -> int:
    from service.cli.learning import run_cycle_here

    return run_cycle_here(*_load(given), reason=given.reason, resume=given.resume)


def cycle_list(given: argparse.Namespace) -> int:
    from service.cli.operations import list_cycles

    return list_cycles(_load(given)[1])


def cycle_show(given: argparse.Namespace) -> int:
    from service.cli.operations import show_cycle

    return show_cycle(_load(given)[1], given.cycle)


def versions(given: argparse.Namespace) -> int:
    from service.cli.operations import list_versions

    return list_versions(_load(given)[1])


def promote_version(given: argparse.Namespace) -> int:
    from service.cli.operations import request

    return request(_load(given)[1], kind="promote", version=given.version, reason=given.reason)


def roll_back(given: argparse.Namespace) -> int:
    from service.cli.operations import request

    return request(_load(given)[1], kind="rollback", version="", reason=given.reason)


def run_demo(given: argparse.Namespace) -> int:
    from service.cli.demo.report import Kind
    from service.cli.demo.run import run_demo as act
    from service.cli.demo.stage import DemoOptions

    kind: Kind = "poisoned" if given.poisoned else "untrained" if given.untrained else "honest"
    return act(DemoOptions(kind=kind, keep=given.keep, facts=given.facts, report=given.report, data=given.data))


def _say_ready(name: str) -> Callable[[str], None]:
    """What a supervisor waits for: one line on standard output once the process listens."""

    def say(url: str) -> None:
        print(f"ready {name} {url}", flush=True)

    return say
