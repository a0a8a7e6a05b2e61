"""The documents can fail: every setting, route, error code and command stands in the README or a guide."""

from __future__ import annotations

import argparse
import ast
import re
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from litestar import Litestar

from feedback.settings import PoolSettings, StoreSettings
from service.app import create_app
from service.cli.main import build_parser
from service.cli.settings import TABLES
from service.settings import GatewaySettings

ROOT = Path(__file__).parent.parent
GUIDES = ROOT / "deploy" / "guides"


@pytest.fixture(scope="module")
def text() -> str:
    pages = [ROOT / "README.md", *sorted(GUIDES.glob("*.md"))]
    return "\n".join(page.read_text("utf-8") for page in pages)


def test_settings_md_has_every_setting_with_its_default_and_no_other() -> None:
    page = (GUIDES / "settings.md").read_text("utf-8")
    for table, kind in TABLES.items():
        section = page.split(f"## [{table}]")[1].split("\n## ")[0]
        documented = dict(re.findall(r"^\| `(\w+)` \| `([^`]*)` \| \S", section, re.M))
        assert documented == {field.name: _shown(getattr(kind(), field.name)) for field in msgspec.structs.fields(kind)}


def _shown(default: object) -> str:
    """A default as the guide writes it, which is as TOML does where they differ."""
    if isinstance(default, bool):
        return str(default).lower()
    return '""' if default in ("", Path("")) else str(default)


def test_every_error_code_is_documented(text: str) -> None:
    missing = [code for code in _codes() if f"`{code}`" not in text]
    assert not missing


def test_every_command_is_documented(text: str) -> None:
    missing = [command for command in _commands(build_parser(), "ratchet") if f"`{command}" not in text]
    assert not missing


def test_every_route_is_documented(text: str, tmp_path: Path) -> None:
    app = create_app(GatewaySettings(), StoreSettings(data_dir=tmp_path), PoolSettings())
    missing = [route for route in _routes(app) if route not in text]
    assert not missing


def test_every_link_in_the_documents_leads_somewhere() -> None:
    for page in [ROOT / "README.md", ROOT / "CHANGELOG.md", *GUIDES.glob("*.md")]:
        for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def _codes() -> Iterator[str]:
    """The `code = "kebab-case"` of every error class in the three packages."""
    for package in ("service", "learner", "feedback"):
        for path in sorted((ROOT / package).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.ClassDef):
                    yield from _code_of(node)


def _code_of(node: ast.ClassDef) -> Iterator[str]:
    for line in node.body:
        if (
            isinstance(line, ast.Assign)
            and ast.unparse(line.targets[0]) == "code"
            and isinstance(line.value, ast.Constant)
        ):
            yield str(line.value.value)


def _commands(parser: argparse.ArgumentParser, name: str) -> Iterator[str]:
    """Leaf commands in words, and their options."""
    acts = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not acts:
        yield name
    for action in acts:
        for verb, inner in action.choices.items():
            yield from _commands(inner, f"{name} {verb}")


def _routes(app: Litestar) -> Iterator[str]:
    """`METHOD /path/{name}` of every route of ours; OpenAPI's own pages and static files are named by their root."""
    for route in app.routes:
        path = re.sub(r"\{(\w+):\w+\}", r"{\1}", route.path)
        if path.startswith("/schema"):
            continue
        for method in sorted(getattr(route, "methods", set()) - {"OPTIONS", "HEAD"}):
            yield f"{method} {path}"
