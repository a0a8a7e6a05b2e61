"""The house: which rooms may see which, and that what is light stays light.

import-linter reads a static graph; these tests ask a fresh interpreter, which also sees what an `__init__` drags in.
"""

from __future__ import annotations

import ast
import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import msgspec
import pytest

from service.cli.settings import TABLES

ROOT = Path(__file__).parent.parent
IMPORTED_AS = {"google_re2": "re2", "opentelemetry_sdk": "opentelemetry", "markdown_it_py": "markdown_it"}
"""Packages whose module has another name."""
HEAVY = ("torch", "ray", "transformers", "peft", "pandas", "sklearn")
LIGHT = [
    "feedback.freeze",
    "feedback.snapshot",
    "feedback.store.database",
    "learner.alias",
    "learner.records",
    "learner.settings",
    "learner.registry",
    "learner.gate",
    "learner.scoring",
    "service.app",
    "service.front.server",
    "service.cli.main",
    "service.cli.supervisor",
]


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_module_loads_no_training_stack(module: str) -> None:
    code = f"import sys, {module}; print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", ["learner.daemon", "learner.cycle"])
def test_the_learner_never_loads_the_live_store(module: str) -> None:
    banned = ("duckdb", "feedback.store", "service")
    code = f"import sys, {module}; print([m for m in sys.modules if m.startswith({banned!r})])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"


def test_package_inits_hold_a_docstring_and_nothing_else() -> None:
    for package in ("service", "learner", "feedback"):
        for init in (ROOT / package).rglob("__init__.py"):
            body = ast.parse(init.read_text("utf-8")).body
            assert len(body) == 1 and isinstance(body[0], ast.Expr), f"{init} holds more than a docstring"


def test_every_module_says_what_it_is_for() -> None:
    for package in ("service", "learner", "feedback"):
        for module in (ROOT / package).rglob("*.py"):
            assert ast.get_docstring(ast.parse(module.read_text("utf-8"))), f"{module} has no docstring"


def test_no_module_is_called_utils() -> None:
    vague = {"utils", "util", "helpers", "helper", "common", "manager", "misc"}
    found = [path for package in ("service", "learner", "feedback") for path in (ROOT / package).rglob("*.py")]
    assert not [path for path in found if path.stem in vague]


@pytest.mark.parametrize("table", TABLES)
def test_the_defaults_of_every_setting_are_valid_and_documented_in_place(table: str) -> None:
    kind = TABLES[table]
    defaults = msgspec.to_builtins(kind(), enc_hook=str)
    assert msgspec.convert(defaults, kind, dec_hook=lambda wanted, value: wanted(value)) == kind()
    source = ast.parse(Path(sys.modules[kind.__module__].__file__ or "").read_text("utf-8"))
    body = next(node.body for node in ast.walk(source) if isinstance(node, ast.ClassDef) and node.name == kind.__name__)
    for field, text in itertools.pairwise(body):
        if isinstance(field, ast.AnnAssign):
            assert isinstance(text, ast.Expr), f"{table}.{ast.unparse(field.target)} has no docstring under it"


def test_every_imported_package_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    declared = {re.split(r"[^\w-]", name)[0].lower().replace("-", "_") for name in wanted}
    declared |= {IMPORTED_AS[name] for name in declared if name in IMPORTED_AS}
    known = declared | set(sys.stdlib_module_names) | {"service", "learner", "feedback", "tests", "_pytest"}
    for folder in ("service", "learner", "feedback", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
                names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
                undeclared = {name.split(".")[0] for name in names} - known
                assert not undeclared, f"{path} imports {undeclared}, which pyproject.toml does not declare"


def test_the_lock_pins_every_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted = [*project["dependencies"], *itertools.chain(*project["optional-dependencies"].values())]
    lines = (ROOT / "deploy" / "lock.txt").read_text("utf-8").splitlines()
    pinned = {line.split("==")[0] for line in lines if not line.startswith("#")}
    missing = {re.split(r"[^\w-]", name)[0].lower() for name in wanted} - pinned
    assert not missing
