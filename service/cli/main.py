"""`ratchet`: one command with a verb for each thing that a person does. Thin: it parses, then calls.

The verbs stand here, and what each does in `commands`.
Errors leave as one line on standard error and exit status 1; a usage error has status 2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from feedback.errors import RatchetError
from service.callers import AREAS, ROLES
from service.cli import commands

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
    _verb(
        verbs, "up", commands.up, "start gateway, learner and, where no Ollama answers, the engine; stay until stopped"
    )
    _verb(verbs, "gateway", commands.gateway, "run the gateway alone")
    _verb(verbs, "engine", commands.engine, "run the embedded engine alone")
    _verb(verbs, "learner", commands.learner, "run the learner daemon alone")
    _verb(verbs, "doctor", commands.doctor, "say what is there and what is missing")
    backup = _verb(verbs, "backup", commands.back_up, "make a consistent copy of the database, also while serving")
    backup.add_argument("target", nargs="?", default="", help="file to write (default: backups/ in the data folder)")
    _privacy_verbs(verbs)
    _transfer_verbs(verbs)
    _words_verbs(verbs)
    _keys_verbs(verbs)


def _keys_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    keys = verbs.add_parser("keys", help="make, list and revoke API keys")
    acts = keys.add_subparsers(required=True, metavar="ACT")
    create = _verb(acts, "create", commands.create_key, "make an API key and print it, this once")
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
    _verb(acts, "list", commands.list_keys, "every key with its rights, never its secret")
    _verb(acts, "revoke", commands.revoke_key, "end a key at once").add_argument("key", help="its id")


def _privacy_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    erase = _verb(
        verbs, "erase", commands.erase_data, "erase one person, conversation or turn, everywhere; can't be undone"
    )
    whose = erase.add_mutually_exclusive_group(required=True)
    whose.add_argument("--subject", default="", help="the person, as their turns name them")
    whose.add_argument("--conversation", default="", metavar="ID", help="one conversation")
    whose.add_argument("--turn", default="", metavar="ID", help="one turn")
    erase.add_argument("--note", default="", help="why, for the record, which is kept: write no name here")
    erase.add_argument("--yes", action="store_true", help="don't ask")
    export = _verb(verbs, "export", commands.export_data, "write everything that is stored of one person to a ZIP file")
    export.add_argument("--subject", required=True, help="the person, as their turns name them")
    export.add_argument("--to", required=True, type=Path, metavar="FILE", help="the .zip to write")


def _transfer_verbs(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from feedback.annotations import TIERS
    from feedback.formats.registry import FORMATS

    taken = _verb(
        verbs, "import", commands.import_feedback, "take feedback over from another tool's file; twice adds nothing"
    )
    taken.add_argument("file", type=Path, help="JSON lines, or one JSON array")
    taken.add_argument("--format", required=True, choices=tuple(FORMATS), help="how it is written")
    taken.add_argument("--project", default="", help="the alias to file its turns under (default: imported)")
    taken.add_argument("--tier", choices=TIERS, default="annotator", help="of its annotators, where it does not say")
    taken.add_argument("--dry-run", action="store_true", help="store nothing, only say what would be")
    given = _verb(verbs, "export-feedback", commands.export_feedback, "write turns and what was said of them to a file")
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
    check = _verb(acts, "check", commands.check_words, "check a text against the word lists of the settings")
    check.add_argument("text", help="the text to check")
    check.add_argument("--direction", choices=("in", "out"), default="in", help="as a prompt (in) or a reply (out)")
    test = _verb(acts, "test", commands.test_words, "run a file of cases; ends with 1 where one fails")
    test.add_argument("cases", type=Path, metavar="CASES", help="JSON lines: words, a text, what must come out")
    taken = _verb(acts, "import", commands.import_words, "write another filter's list as one of ours")
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
    run = _verb(
        acts, "run", commands.cycle_run, "snapshot, train, evaluate, gate, deploy, here and now, with a progress bar"
    )
    run.add_argument("--reason", default="run by hand", help="why, for the journal")
    run.add_argument("--resume", metavar="CYCLE", default="", help="take up a cycle whose process died")
    _verb(acts, "list", commands.cycle_list, "every cycle with its outcome")
    _verb(acts, "show", commands.cycle_show, "one cycle, step by step").add_argument("cycle", help="its id")
    _verb(verbs, "versions", commands.versions, "every version, which one serves, and its scores")
    promote = _verb(verbs, "promote", commands.promote_version, "let a version serve, without a failed request")
    promote.add_argument("version", help="for example 1.1.0")
    promote.add_argument("--reason", default="promoted by hand", help="why, for the record")
    rollback = _verb(verbs, "rollback", commands.roll_back, "go back to the version that served before")
    rollback.add_argument("--reason", default="rolled back by hand", help="why, for the record")


def _demo_verb(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    demo = _verb(
        verbs, "demo", commands.run_demo, "close the whole circle once, with a real small model, in a throw-away folder"
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


if __name__ == "__main__":
    sys.exit(main())
