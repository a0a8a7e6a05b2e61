"""The word filters of two guards, LLM Guard's BanSubstrings and LiteLLM's content filter, beside ours.

Each lives in a venv of its own under ~/.cache/ratchet-bench, made once: half a minute, and 310 MB for LiteLLM's. Both
are installed without what they ask for. LLM Guard's scanner needs no model, and would bring torch, transformers and
spaCy along. LiteLLM gets what its filter imports: in full it asks for releases that not every package index has yet.

Both go through the whole list for every text, so they get fewer words than the other peers, and ours gets the same; of
the texts they get the first few. LiteLLM has a pattern for each word, of which Python keeps 512 compiled: 500 words are
its best case. Both mask, ignore case, fold nothing else and tell no places.
"""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NamedTuple

from tests.bench.report import Row, compared

CACHE = Path("~/.cache/ratchet-bench").expanduser()
SCRIPT = Path(__file__).with_name("words_peers.py")
ROUNDS = 5
FEW = 12
"""The guard's share of the texts; ours goes through all, or it would be done before the processor is warm."""


class Guard(NamedTuple):
    """A peer, and how it is installed."""

    title: str
    package: str
    version: str
    needs: tuple[str, ...]
    """What it imports: the only ones of its requirements that are installed."""
    numbers: tuple[int, ...]
    """How many words it is tried with."""


GUARDS = (
    Guard("BanSubstrings", "llm-guard", "0.3.16", ("structlog>=24",), (1_000, 10_000)),
    Guard(
        "content filter",
        "litellm",
        "1.109.1",
        (
            "aiohttp>=3.14.2,<4", "fastapi>=0.136.3,<1", "fastuuid>=0.14,<1", "httpx[http2]>=0.28,<1",
            "huggingface-hub>=0.34,<2", "importlib-metadata>=8,<9", "jinja2>=3.1.6,<4", "jsonschema>=4,<5",
            "openai>=2.20,<4", "pydantic-settings>=2.14.1,<3", "python-dotenv>=1,<2", "pyyaml>=6.0.3,<7",
            "tiktoken>=0.8,<1", "tokenizers>=0.21,<1",
        ),
        (500, 1_000, 10_000),
    ),
)  # fmt: skip


def beside(guard: Guard, words: list[str], ours: Callable[[str], object], texts: dict[str, list[str]]) -> Iterator[Row]:
    """Rows of microseconds a text, ours and the guard's by turns, for each of the named lists of texts.

    Args:
        guard: One of `GUARDS`; its venv is made where there is none yet.
        words: The list that both have.
        ours: Checks one text against the same words.
        texts: By what the row shall call them.
    """
    mine: dict[str, list[float]] = {name: [] for name in texts}
    theirs: dict[str, list[float]] = {name: [] for name in texts}
    few = {name: listed[:FEW] for name, listed in texts.items()}
    with _started(guard, {"words": words, "texts": few}) as (asks, answers):
        for _ in range(ROUNDS):
            for name, listed in texts.items():
                began = time.process_time()
                for text in listed:
                    ours(text)
                mine[name].append((time.process_time() - began) / len(listed))
            for name, took in _round(guard, asks, answers).items():
                theirs[name].append(took / len(few[name]))
    for name in texts:
        yield compared(
            f"{name}, {len(words):,} words", min(mine[name]) * 1e6, "µs",
            peer=f"{guard.package} {guard.version} {guard.title} (no folding but case, no spans)",
            peer_value=min(theirs[name]) * 1e6,
        )  # fmt: skip


@contextmanager
def _started(guard: Guard, work: dict[str, object]) -> Iterator[tuple[IO[str], IO[str]]]:
    """The guard at work: where it is asked and where it answers, after a round that warms it up."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "work.json"
        file.write_text(json.dumps(work), encoding="utf-8")
        # Isolated, so that neither this folder's modules nor PYTHONPATH get in its way.
        command = [str(python_of(guard)), "-I", str(SCRIPT), guard.package, str(file)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None and process.stdout is not None, "both are piped"
            _round(guard, process.stdin, process.stdout)
            yield process.stdin, process.stdout


def _round(guard: Guard, asks: IO[str], answers: IO[str]) -> dict[str, float]:
    """CPU seconds of one round, by the names of the lists."""
    asks.write("\n")
    asks.flush()
    answer = answers.readline()
    if not answer:
        raise SystemExit(f"{guard.package} stopped: what it said is above; its venv can be removed from {CACHE}")
    took: dict[str, float] = json.loads(answer)
    return took


def python_of(guard: Guard) -> Path:
    """The interpreter of the guard's venv, which is made anew where it is missing, unfinished or of another kind."""
    kind = zlib.crc32(repr((guard.version, guard.needs, sys.version)).encode())
    folder = CACHE / f"{guard.package}-{kind:08x}"
    done = folder / "installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", "--without-pip", folder], check=True)
        pip = [sys.executable, "-m", "pip", "--python", str(folder), "install", "-q", "--no-compile"]
        subprocess.run([*pip, *guard.needs], check=True)
        subprocess.run([*pip, "--no-deps", f"{guard.package}=={guard.version}"], check=True)
        done.touch()
    return Path(sysconfig.get_path("scripts", "venv", vars={"base": str(folder)})) / "python"
