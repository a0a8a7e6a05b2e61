"""`ratchet erase` and `ratchet export`: by the gateway where one runs, else by opening the store here."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import get_args

import httpx
import msgspec

from feedback.erasure import Erasure, Kind
from feedback.errors import InvalidInput, UpstreamBroke, UpstreamDown
from feedback.files import move_file
from feedback.operator_key import operator_headers
from service.cli.operations import ask_gateway, gateway_url, refusal_of
from service.cli.settings import Settings

KINDS: tuple[Kind, ...] = get_args(Kind)
ERASE_TIMEOUT_S = 3600.0
"""A large database is written anew before the answer comes."""


def erase(settings: Settings, named: dict[str, str], *, note: str, yes: bool) -> int:
    """`ratchet erase`: 0 once it is done, 3 where it waits for something and goes on by itself."""
    kind, whose = next(((kind, named[kind]) for kind in KINDS if named.get(kind)), (KINDS[0], ""))
    if not whose:
        raise InvalidInput("Nobody is named.", "Turns without a subject are erased by --conversation or --turn.")
    if not yes and not _confirmed(kind, whose):
        print("Nothing was erased.")
        return 1
    try:
        body = {kind: whose, "note": note}
        answer = ask_gateway(settings, "POST", "/erasures", body, timeout_s=ERASE_TIMEOUT_S)
        erasure = msgspec.convert(answer, Erasure)
    except UpstreamDown:
        erasure = _erase_here(settings, kind, whose, note)
    return _say(erasure)


def export(settings: Settings, subject: str, to: Path) -> int:
    """`ratchet export`: write one person's data to a ZIP file. Never overwrites."""
    to = to.expanduser().absolute()
    if to.exists():
        raise InvalidInput(f"{to} is there already.", "Name a file that does not exist: exports are never overwritten.")
    part = to.with_name(f".{to.name}.part")
    try:
        try:
            _fetch(settings, subject, part)
        except UpstreamDown:
            _export_here(settings, subject, part)
        move_file(part, to)
    finally:
        part.unlink(missing_ok=True)
    print(to)
    return 0


def _confirmed(kind: Kind, whose: str) -> bool:
    if not sys.stdin.isatty():
        raise InvalidInput("Erasing can't be undone, and nobody is there to ask.", "Add --yes.")
    print(f"This erases the {kind} {whose!r} from the store, from snapshots and from runs. It can't be undone.")
    return input("Type the name again to go on: ") == whose


def _say(erasure: Erasure) -> int:
    print(f"{erasure.erasure_id}: {erasure.state}")
    print(f"  {erasure.turns} turns, {erasure.ratings} ratings, {erasure.annotations} annotations, ", end="")
    print(f"{erasure.attachments} attachments")
    rows = sum(erasure.snapshots.values())
    print(f"  {rows} rows of {len(erasure.snapshots)} snapshots, {erasure.answers} answers and examples of runs")
    if erasure.versions:
        print(f"  Trained on it: {', '.join(erasure.versions)}. Their weights still hold what they learnt: train anew.")
    if erasure.copies_not_reached:
        print(
            f"  Not reached: {', '.join(erasure.copies_not_reached)}. Delete these copies when you need them no more."
        )
    if erasure.state != "done":
        print(f"  It waits for {erasure.waits_for}, and goes on by itself while a gateway runs.")
        return 3
    return 0


def _erase_here(settings: Settings, kind: Kind, whose: str, note: str) -> Erasure:
    from feedback.store.database import Store
    from service.privacy.erasing import Eraser

    store = Store.open(settings.store)
    try:
        eraser = Eraser(store, settings.store.data_dir)
        erasure = eraser.begin(kind, whose, note)
        eraser.go_on()
        return eraser.book.read(erasure.erasure_id)
    finally:
        store.close()


def _export_here(settings: Settings, subject: str, part: Path) -> None:
    from feedback.store.database import Store
    from service.privacy.export import write_export

    store = Store.open(settings.store)
    try:
        with write_export(store, settings.store.data_dir, subject) as found, part.open("wb") as out:
            shutil.copyfileobj(found, out)
    finally:
        store.close()


def _fetch(settings: Settings, subject: str, part: Path) -> None:
    url = gateway_url(settings)
    headers = operator_headers(settings.store.data_dir)
    try:
        with httpx.stream(
            "POST", f"{url}/exports", json={"subject": subject}, headers=headers, timeout=600.0
        ) as answer:
            if answer.is_error:
                raise refusal_of(answer.status_code, msgspec.json.decode(answer.read()))
            with part.open("wb") as out:
                for data in answer.iter_bytes():
                    out.write(data)
    except httpx.ConnectError as error:
        raise UpstreamDown(f"No gateway answers at {url}.", "Start it with `ratchet up`.") from error
    except httpx.TransportError as error:
        raise UpstreamBroke(f"The export was cut ({type(error).__name__}).", "Ask again.") from error
