"""`ratchet`: one command with a verb for each thing that a person does. Thin: it parses, then calls.

Imports of the rooms behind a verb happen inside its function, so that `ratchet versions` never loads a training stack.
Errors leave as one line on standard error and exit status 1; a usage error has status 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from feedback.errors import RatchetError
from service.callers import AREAS, ROLES
from service.cli import settings as settings_file

Command = Callable[[argparse.Namespace], int]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status."""
    given = build_parser().parse_args(arguments)
    command: Command = given.command
    try:
        return command(given)
    except RatchetError as error:
        print(f"ratchet: {error} [{error.code}]", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def build_parser() -> argparse.ArgumentParser:
    """The whole grammar; a test walks it and asks that every command is documented."""
    parser = argparse.ArgumentParser(prog="ratchet", description="A chat gateway for Ollama that learns from ratings.")
    parser.add_argument(
        "--settings", metavar="FILE", help="settings file (default: ratchet.toml here, if there is one)"
    )
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _service_verbs(verbs)
    _learner_verbs(verbs)
    _demo_verb(verbs)
    return parser


def _service_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    _verb(verbs, "up", up, "start gateway, learner and, where no Ollama answers, the engine; stay until stopped")
    _verb(verbs, "gateway", gateway, "run the gateway alone")
    _verb(verbs, "engine", engine, "run the embedded engine alone")
    _verb(verbs, "learner", learner, "run the learner daemon alone")
    _verb(verbs, "doctor", doctor, "say what is there and what is missing")
    backup = _verb(verbs, "backup", back_up, "make a consistent copy of the database, also while serving")
    backup.add_argument("target", nargs="?", default="", help="file to write (default: backups/ in the data folder)")
    _privacy_verbs(verbs)
    _transfer_verbs(verbs)
    _words_verbs(verbs)
    _keys_verbs(verbs)


def _keys_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    keys = verbs.add_parser("keys", help="make, list and revoke API keys")
    acts = keys.add_subparsers(required=True, metavar="ACT")
    create = _verb(acts, "create", create_key, "make an API key and print it, this once")
    create.add_argument("--name", default="", help="what people call it")
    create.add_argument("--role", choices=ROLES, default="user", help="what its owner may do (default: user)")
    create.add_argument("--subject", default="", help="the person whose turns come with it")
    create.add_argument("--scope", action="append", default=[], choices=AREAS, help="narrow it to areas (repeatable)")
    create.add_argument("--alias", action="append", default=[], help="narrow it to names to chat with (repeatable)")
    create.add_argument("--days", type=float, default=0, help="days until it expires (default: never)")
    create.add_argument("--requests-per-minute", type=int, default=0, metavar="N", help="default: no limit")
    create.add_argument("--tokens-per-minute", type=int, default=0, metavar="N", help="default: no limit")
    create.add_argument("--no-store", action="store_true", help="record nothing that is asked with it")
    create.add_argument(
        "--keep", action="store_true", help="also as operator-key in the data folder, for our processes"
    )
    _verb(acts, "list", list_keys, "every key with its rights, never its secret")
    _verb(acts, "revoke", revoke_key, "end a key at once").add_argument("key", help="its id")


def _privacy_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    erase = _verb(verbs, "erase", erase_data, "erase one person, conversation or turn, everywhere; can't be undone")
    whose = erase.add_mutually_exclusive_group(required=True)
    whose.add_argument("--subject", default="", help="the person, as their turns name them")
    whose.add_argument("--conversation", default="", metavar="ID", help="one conversation")
    whose.add_argument("--turn", default="", metavar="ID", help="one turn")
    erase.add_argument("--note", default="", help="why, for the record, which is kept: write no name here")
    erase.add_argument("--yes", action="store_true", help="don't ask")
    export = _verb(verbs, "export", export_data, "write everything that is stored of one person to a ZIP file")
    export.add_argument("--subject", required=True, help="the person, as their turns name them")
    export.add_argument("--to", required=True, type=Path, metavar="FILE", help="the .zip to write")


def _transfer_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from feedback.annotations import TIERS
    from feedback.formats.registry import FORMATS

    taken = _verb(verbs, "import", import_feedback, "take feedback over from another tool's file; twice adds nothing")
    taken.add_argument("file", type=Path, help="JSON lines, or one JSON array")
    taken.add_argument("--format", required=True, choices=tuple(FORMATS), help="how it is written")
    taken.add_argument("--project", default="", help="the alias to file its turns under (default: imported)")
    taken.add_argument("--tier", choices=TIERS, default="annotator", help="of its annotators, where it does not say")
    taken.add_argument("--dry-run", action="store_true", help="store nothing, only say what would be")
    given = _verb(verbs, "export-feedback", export_feedback, "write turns and what was said of them to a file")
    given.add_argument("--format", choices=tuple(FORMATS), default="jsonl", help="how to write it (default: jsonl)")
    given.add_argument("--to", required=True, type=Path, metavar="FILE", help="the file to write")
    given.add_argument("--which", choices=("all", "judged", "good"), default="", help="default: the format's own")
    given.add_argument("--project", default="", help="only turns of this alias")
    given.add_argument("--version", default="", help="only turns that this version answered")
    given.add_argument("--since", default="", metavar="TIME", help="only turns begun from then on")
    given.add_argument("--until", default="", metavar="TIME", help="only turns begun before then")


def _words_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    words = verbs.add_parser("words", help="try a text on the word lists, run cases, take over a list")
    acts = words.add_subparsers(required=True, metavar="ACT")
    check = _verb(acts, "check", check_words, "check a text against the word lists of the settings")
    check.add_argument("text", help="the text to check")
    check.add_argument("--direction", choices=("in", "out"), default="in", help="as a prompt (in) or a reply (out)")
    test = _verb(acts, "test", test_words, "run a file of cases; ends with 1 where one fails")
    test.add_argument("cases", type=Path, metavar="CASES", help="JSON lines: words, a text, what must come out")
    taken = _verb(acts, "import", import_words, "write another filter's list as one of ours")
    taken.add_argument("file", type=Path, help="the list to read")
    taken.add_argument(
        "--format", required=True, choices=("plain", "csv", "houbb", "toolgood"), help="how it is written"
    )
    taken.add_argument("--out", required=True, type=Path, metavar="LIST", help="the .csv to write")
    taken.add_argument("--category", default="imported", help="for words that have none (default: imported)")
    taken.add_argument(
        "--action", choices=("block", "mask", "flag"), default="flag", help="for every word (default: flag)"
    )


def _learner_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    cycle = verbs.add_parser("cycle", help="run a cycle now, list cycles, show one")
    acts = cycle.add_subparsers(required=True, metavar="ACT")
    run = _verb(acts, "run", cycle_run, "snapshot, train, evaluate, gate, deploy, here and now, with a progress bar")
    run.add_argument("--reason", default="run by hand", help="why, for the journal")
    run.add_argument("--resume", metavar="CYCLE", default="", help="take up a cycle whose process died")
    _verb(acts, "list", cycle_list, "every cycle with its outcome")
    _verb(acts, "show", cycle_show, "one cycle, step by step").add_argument("cycle", help="its id")
    _verb(verbs, "versions", versions, "every version, which one serves, and its scores")
    promote = _verb(verbs, "promote", promote_version, "let a version serve, without a failed request")
    promote.add_argument("version", help="for example 1.1.0")
    promote.add_argument("--reason", default="promoted by hand", help="why, for the record")
    rollback = _verb(verbs, "rollback", roll_back, "go back to the version that served before")
    rollback.add_argument("--reason", default="rolled back by hand", help="why, for the record")


def _demo_verb(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = _verb(
        verbs, "demo", run_demo, "close the whole circle once, with a real small model, in a throw-away folder"
    )
    demo.add_argument("--keep", action="store_true", help="leave everything running at the end, until Ctrl-C")
    kind = demo.add_mutually_exclusive_group()
    kind.add_argument("--poisoned", action="store_true", help="hostile raters: ends with the gate's refusal")
    kind.add_argument("--untrained", action="store_true", help="control: the adapter stays untrained, so it must fail")
    demo.add_argument("--facts", type=int, default=0, metavar="N", help="use only the first N facts (a quicker demo)")
    demo.add_argument("--report", type=Path, metavar="FILE", help="write the report as JSON")
    demo.add_argument("--data", type=Path, metavar="DIR", help="data folder to make and leave (default: thrown away)")


def _verb(
    verbs: argparse._SubParsersAction[argparse.ArgumentParser], name: str, command: Command, help_text: str
) -> argparse.ArgumentParser:
    parser = verbs.add_parser(name, help=help_text, description=help_text[0].upper() + help_text[1:] + ".")
    parser.set_defaults(command=command)
    return parser


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


if __name__ == "__main__":
    sys.exit(main())
