"""Schemathesis against a real gateway process, over the whole OpenAPI surface, for as long as one likes.

    python -m tests.soak.schemas --minutes 10

Its exit code is schemathesis's: 0 where nothing was found. Schemathesis lives in a venv of its own, which is made where
it is missing: its needs are not ours. What it must find: an answer of ours with 5xx, a status, content type, header or
body that the document does not tell of, and an invalid request that is not refused.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

from feedback.mint import now
from learner.alias import Alias, AliasFile, Served, write_aliases
from tests.fakes.gateway_process import GatewayProcess
from tests.fakes.ollama import FakeOllama

VERSION = "4.32.5"
CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "unsupported_method", "allow_header_conformance",
)  # fmt: skip


def schemathesis(folder: Path) -> Path:
    """The command, in a venv there, which is made where it is missing."""
    command = folder / "bin" / "schemathesis"
    if not command.exists():
        venv.create(folder, with_pip=True)
        install = [str(folder / "bin" / "pip"), "install", "--quiet", f"schemathesis=={VERSION}"]
        subprocess.run(install, check=True)
    return command


def main() -> int:
    """Run it; 0 where nothing was found."""
    parser = argparse.ArgumentParser(description="Schemathesis over the whole API.")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--seed", type=int, help="the same requests again")
    parser.add_argument("--venv", type=Path, default=Path(".venv-schemathesis"), help="where schemathesis lives")
    parser.add_argument("more", nargs="*", help="further options for schemathesis, behind --")
    given = parser.parse_args()
    command = [str(schemathesis(given.venv.resolve())), "run", "--checks", ",".join(CHECKS), "--continue-on-failure"]
    command += ["--max-time", str(max(1, round(given.minutes * 60))), "--suppress-health-check", "all", "--no-color"]
    command += ["--generation-database", "none", "--request-timeout", "30", "--warnings", "off", *given.more]
    if given.seed is not None:
        command += ["--seed", str(given.seed)]
    with tempfile.TemporaryDirectory() as folder, FakeOllama(models=["embedder:1.0.0", "spare:latest"]) as fake:
        data = Path(folder) / "data"
        embedder = Served(version="1.0.0", tag="embedder:1.0.0")  # one that does everything
        alias = Alias(champion=embedder, changed_at=now(), reason="soak")
        write_aliases(data / "alias.json", AliasFile(aliases={"assistant": alias}))
        words = Path(folder) / "words"
        words.mkdir()
        (words / "insults.csv").write_text("word,category,action\ndarn,insult,mask\n", encoding="utf-8")
        with GatewayProcess(data, fake.url, words_dir=words, log_level="error") as gateway:
            done = subprocess.run([*command, f"{gateway.url}/schema/openapi.json"], cwd=folder, check=False)
            code, log = gateway.terminate(60)
    faults = [line for line in log if '"unforeseen"' in line or not line.startswith("{")]
    print(f"the gateway left with {code}; unforeseen: {len(faults)}", *faults[:20], sep="\n")
    return done.returncode or code or bool(faults)


if __name__ == "__main__":
    sys.exit(main())
