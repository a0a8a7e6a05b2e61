"""What an operator asks of a running service: versions, promotion, rollback, cycles, backups.

Everything goes over the gateway's HTTP API, so these verbs work from another host too. Only a backup may open the
database itself, and only where no gateway runs: two owners of one file are impossible by the store's lock.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from feedback.errors import CycleFailed, InvalidInput, UpstreamDown
from feedback.files import move_file
from feedback.operator_key import operator_headers
from service.cli.settings import Settings

ANSWER_TIMEOUT_S = 300.0
"""A promotion pushes, loads and warms a model before it is done."""


def gateway_url(settings: Settings) -> str:
    """Where this settings file's gateway is reached: one that listens everywhere, through loopback."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.gateway.host, settings.gateway.host)
    return f"http://{f'[{host}]' if ':' in host else host}:{settings.gateway.port}"


def ask_for_all(settings: Settings, path: str, field: str = "items") -> Iterator[dict[str, Any]]:
    """Every item of a list that comes in pages."""
    cursor: str | None = ""
    while cursor is not None:
        page = ask_gateway(settings, "GET", f"{path}?limit=500&cursor={cursor}")
        yield from page[field]
        cursor = page["next_cursor"]


def list_versions(settings: Settings) -> int:
    """`ratchet versions`."""
    found = ask_gateway(settings, "GET", "/versions?limit=1")
    name = settings.learner.alias
    table = Table(
        "", "version", "made", "from", "held-out", "general", "retention", "erased", title=name, title_justify="left"
    )
    alias = found["aliases"].get(name, {})
    serving = {(alias.get(role) or {}).get("version"): role for role in ("challenger", "champion")}
    erased = found.get("trained_on_erased_data", {})
    for manifest in ask_for_all(settings, "/versions", "versions"):
        scores, verdict = manifest.get("scores"), manifest.get("verdict")
        table.add_row(
            serving.get(manifest["version"], ""),
            manifest["version"],
            manifest["created_at"][:16].replace("T", " "),
            manifest.get("parent") or "base",
            f"{scores['heldout']:.2f}" if scores else "",
            f"{scores['general']:.2f}" if scores else "",
            f"{verdict['retention']:.2f}" if verdict else "",
            _erased(erased.get(f"{manifest['model']}:{manifest['version']}", [])),
        )
    Console().print(table)
    return 0


def _erased(lines: list[dict[str, Any]]) -> str:
    """How many of the rows that a version was trained on were erased since, and when last."""
    return f"{sum(line['rows'] for line in lines)} rows, {lines[-1]['at'][:10]}" if lines else ""


def request(settings: Settings, *, kind: str, version: str, reason: str) -> int:
    """`ratchet promote` and `ratchet rollback`: ask the learner, wait for its answer, say it."""
    body = {"kind": kind, "alias": settings.learner.alias, "version": version, "reason": reason}
    asked = ask_gateway(settings, "POST", "/requests", body)
    deadline = time.monotonic() + ANSWER_TIMEOUT_S
    while time.monotonic() < deadline:
        answer = ask_gateway(settings, "GET", f"/requests/{asked['request_id']}")
        if answer["state"] == "done":
            return _say_result(kind, answer["result"])
        time.sleep(0.2)
    raise CycleFailed(
        f"The learner has not answered {asked['request_id']} within {ANSWER_TIMEOUT_S:.0f} s.",
        "It keeps the request; look whether `ratchet learner` runs.",
    )


def _say_result(kind: str, result: dict[str, Any]) -> int:
    detail = result["detail"]
    if not result["ok"]:
        raise CycleFailed(f"The learner refused to {kind}: {detail.get('message', '')}", str(detail.get("mend", "")))
    print(f"{detail.get('version', '')} serves now (was {detail.get('previous', '')}).")
    return 0


def list_cycles(settings: Settings) -> int:
    """`ratchet cycle list`."""
    table = Table("cycle", "started", "status", "step", "outcome")
    for cycle in ask_for_all(settings, "/cycles"):
        outcome = cycle["outcome"]
        verdict = (outcome.get("verdict") or {}).get("outcome")
        said = outcome.get("version") or verdict or outcome.get("code") or ""
        table.add_row(cycle["cycle"], (cycle["started_at"] or "")[:16], cycle["status"], cycle["step"] or "", str(said))
    Console().print(table)
    return 0


def show_cycle(settings: Settings, cycle: str) -> int:
    """`ratchet cycle show ID`."""
    Console().print_json(data=ask_gateway(settings, "GET", f"/cycles/{cycle}"))
    return 0


def back_up(settings: Settings, target: str) -> int:
    """`ratchet backup [FILE]`: by the gateway where one runs, else by opening the store here."""
    where = Path(target).expanduser().absolute() if target else None
    if where is not None and where.exists():
        raise InvalidInput(
            f"{where} is there already.", "Name a file that does not exist: backups are never overwritten."
        )
    try:
        made = Path(ask_gateway(settings, "POST", "/backups")["file"])
    except UpstreamDown:
        from feedback.store.database import Store

        folder = settings.store.data_dir / "backups"
        folder.mkdir(parents=True, exist_ok=True)
        store = Store.open(settings.store)
        try:
            made = store.backup(folder)
        finally:
            store.close()
    if where is not None:
        made = move_file(made, where)
    print(made)
    return 0


def ask_gateway(
    settings: Settings, method: str, route: str, body: dict[str, Any] | None = None, *, timeout_s: float = 60.0
) -> Any:
    """One call of the gateway's API, with the operator's key if there is one; its errors become ours, word for word."""
    url = gateway_url(settings)
    try:
        headers = operator_headers(settings.store.data_dir)
        answer = httpx.request(method, url + route, json=body, headers=headers, timeout=timeout_s)
    except httpx.TransportError as error:
        raise UpstreamDown(
            f"No gateway answers at {url}.", "Start it with `ratchet up`, or name its settings file."
        ) from error
    if answer.is_error:
        raise refusal_of(answer.status_code, answer.json())
    return answer.json()


def refusal_of(status: int, body: dict[str, Any]) -> InvalidInput:
    """The gateway's error as one of ours, word for word."""
    said = body.get("error", {})
    refused = InvalidInput(str(said.get("message", status)), str(said.get("mend", "")))
    refused.code = str(said.get("code", refused.code))
    return refused
