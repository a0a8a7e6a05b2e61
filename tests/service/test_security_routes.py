"""Who may use which route: every route of the app's own table × every kind of key, and no spelling leads past it."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from feedback.settings import StoreSettings
from feedback.store.database import Store
from service.callers import AREA_OF, AREAS, ROLES
from tests.fakes.gateway import RunningGateway
from tests.fakes.keys import bearer, put_all_kinds, put_key
from tests.fakes.ollama import FakeOllama

CHANGES = ("POST", "PUT", "DELETE", "PATCH")


class Case(NamedTuple):
    method: str
    path: str
    allow: str | None
    area: str


def table(app: Litestar) -> list[Case]:
    """Every handler of the app with a path that reaches it."""
    cases = []
    for route in app.routes:
        assert isinstance(route, HTTPRoute), f"{route.path}: only HTTP is guarded"
        for handler in route.route_handlers:
            allow = handler.opt.get("allow")
            for method in handler.http_methods - {"OPTIONS"}:
                path = re.sub(r"\{\w+:\w+\}", "none", route.path)
                cases.append(Case(method, path, allow, handler.opt.get("scope") or AREA_OF.get(allow, "")))
    return sorted(cases)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningGateway, dict[str, str], FakeOllama]]:
    folder: Path = tmp_path_factory.mktemp("guarded")
    tokens = put_all_kinds(folder)
    store = Store.open(StoreSettings(data_dir=folder))
    for area in AREAS:
        tokens[f"only {area}"] = put_key(store, "operator", scopes=[area])
    store.close()
    with (
        FakeOllama(models=["assistant:1.0.0"]) as fake,
        RunningGateway(folder, fake.url, keys="required", words_dir=str(folder)) as running,
    ):
        yield running, tokens, fake


def app_of(running: RunningGateway) -> Litestar:
    assert running._server is not None
    return running._server.litestar


def ask(client: httpx.Client, case: Case, token: str) -> httpx.Response:
    body = {"content": b"{"} if case.method in CHANGES else {}
    return client.request(case.method, case.path, headers=bearer(token), **body)  # type: ignore[arg-type]


def test_every_route_says_who_may_use_it(place):
    silent = [case for case in table(app_of(place[0])) if case.allow is None]
    assert not silent


def test_every_route_lets_in_whom_it_says_and_nobody_else(place):
    running, tokens, _ = place
    wrong, seen = [], 0
    kinds = ["", *ROLES, "revoked", "expired", "unknown", "garbled"]
    tokens = {**tokens, "": "", "unknown": "rk_" + "0" * 32 + "_" + "1" * 48, "garbled": "x" * 5000}
    with httpx.Client(base_url=running.url, timeout=30) as client:
        for case in table(app_of(running)):
            for kind in kinds:
                answer = ask(client, case, tokens[kind])
                status = answer.status_code
                if case.allow == "anybody":
                    right = status not in (401, 403) and status < 500
                elif kind not in ROLES:  # a page leads whoever shows nothing to the sign-in page
                    led = not kind and answer.headers.get("location", "").startswith("/login?next=")
                    right = status == 401 or (status == 303 and led)
                elif ROLES.index(kind) < ROLES.index(case.allow):
                    right = status == 403
                else:
                    right = status not in (401, 403) and status != 500
                seen += 1
                if not right:
                    wrong.append((case, kind, status))
    assert not wrong
    assert seen > 250


def test_a_key_narrowed_to_an_area_reaches_that_area_only(place):
    running, tokens, _ = place
    wrong = []
    with httpx.Client(base_url=running.url, timeout=30) as client:
        for case in table(app_of(running)):
            for area in AREAS:
                let_in = ask(client, case, tokens[f"only {area}"]).status_code != 403
                if let_in != (case.allow == "anybody" or case.area == area):
                    wrong.append((case, area))
    assert not wrong


def spellings(path: str) -> list[str]:
    """Ways in which a careless matcher and a careless router might read one path differently."""
    first = path[1]
    return [
        path, f"/{path}", path.replace("/", "//"), f"{path}/", f"{path}//", path.upper(), path.title(),
        f"/%{ord(first):02x}{path[2:]}", f"/%{ord(first):02X}{path[2:]}", path.replace("/", "%2f"),
        "/" + path[1:].replace("/", "%2F"), f"/.{path}", f"/health/..{path}", f"/health/%2e%2e{path}",
        f"/api/chat/..{path}",
        f"/%2e{path}", f"/..{path}", f"{path};x=1", f"{path}?x=1", f"{path}%20", f"{path}%00", f"{path}%0a", f"{path}.",
        path.replace("/", "/./"), path.replace("/", "\\"), f"http://127.0.0.1{path}", f"http://other.example/{path}",
        f"//other.example{path}", f"/%252e%252e{path}", f"/ﬃ{path}", f"*{path}",
    ]  # fmt: skip


def raw(url: str, request: bytes) -> int:
    """Send these bytes, however odd; the answer's status, 0 where the server only hung up."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=10) as connection:
        connection.sendall(request)
        head = connection.recv(65536)
    return int(head.split(b" ", 2)[1]) if head.startswith(b"HTTP/1.1 ") else 0


def test_no_spelling_of_a_path_leads_a_user_to_an_operators_route(place):
    running, tokens, fake = place
    fake.history.clear()
    operators = [case for case in table(app_of(running)) if case.allow == "operator"]
    assert len(operators) > 10
    reached, fine = [], 0
    for case in operators:
        for spelling in spellings(case.path):
            head = f"{case.method} {spelling} HTTP/1.1\r\nHost: {running.url[7:]}\r\nConnection: close\r\n"
            head += f"Authorization: Bearer {tokens['user']}\r\nContent-Length: 2\r\n\r\n{{}}"
            status = raw(running.url, head.encode())
            fine += status == 403
            if status not in (0, 400, 403, 404, 405):
                reached.append((case.method, spelling, status))
    assert not reached
    assert fine > 3 * len(operators)  # spellings that do reach it are refused by who asks, not by luck
    assert not [seen for seen in fake.history if seen.path != "/api/tags"]  # which the gateway itself looks at


def test_an_unknown_path_says_nothing_of_who_asks(place):
    running, tokens, _ = place
    answers = [httpx.get(f"{running.url}/none/such", headers=bearer(token)) for token in ("", tokens["operator"])]
    assert answers[0].status_code == 404 and answers[0].content == answers[1].content
