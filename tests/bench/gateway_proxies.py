"""The proxies of the gateway's bench, each a process pinned to the first core: ours, its peers, and none at all.

LiteLLM lives in a venv of its own, as in `words_guards`. It speaks OpenAI's dialect on both sides, with a model that
its price map knows, no database and no callbacks: by far its cheapest way. nginx is Debian's, taken from PATH.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.bench.words_guards import Guard, python_of
from tests.fakes.gateway import set_alias

ROOT = Path(__file__).parents[2]
PROXY_CORE, OTHER_CORE = 0, 1
START_S = 90
"""LiteLLM needs half of it on a busy machine."""

LITELLM = Guard(
    "proxy",
    "litellm",
    "1.109.1",
    (
        "aiohttp>=3.14.2,<4", "apscheduler>=3.11.2,<4", "azure-identity>=1.25", "azure-storage-blob>=12.28",
        "backoff>=2.2.1,<3", "backports-zstd>=1", "boto3>=1.40", "click>=8.1,<9", "cryptography>=43",
        "email-validator>=2", "expression>=5.6,<6", "fastapi>=0.136.3,<1", "fastapi-sso>=0.19,<1",
        "fastuuid>=0.14,<1", "gunicorn>=23,<24", "hiredis>=3,<4", "httptools>=0.6", "httpx2>=2.10,<3",
        "httpx[http2]>=0.28,<1", "huggingface-hub>=0.34,<2", "importlib-metadata>=8,<9", "inquirerpy>=0.3.4,<1",
        "jinja2>=3.1.6,<4", "jsonschema>=4,<5", "mcp>=2.3,<3", "openai>=2.20,<4", "orjson>=3.11.6,<4",
        "polars>=1.38.1,<2", "pydantic-settings>=2.14.1,<3", "pyjwt>=2.10", "pynacl>=1.6", "pyroscope-io>=0.8.16,<1",
        "python-dotenv>=1,<2", "python-multipart>=0.0.20", "pyyaml>=6.0.3,<7", "redis>=5", "restrictedpython>=8,<9",
        "rich>=13,<16", "rq>=2.7,<3", "soundfile>=0.12.1,<1", "starlette>=1.0.1,<2", "tiktoken>=0.8,<1",
        "tokenizers>=0.21,<1", "tomlkit>=0.13.3,<1", "uvicorn>=0.33,<1", "uvloop>=0.22.1,<1", "websockets>=15",
    ),
    (),
)  # fmt: skip
LITELLM_CONFIG = """
model_list:
  - model_name: assistant
    litellm_params: {{model: openai/gpt-4o, api_base: "{upstream}/v1", api_key: none}}
litellm_settings: {{callbacks: [], num_retries: 0, request_timeout: 600}}
general_settings: {{disable_spend_logs: true}}
"""
OPEN_LITELLM = "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY"
"""Without it this release refuses to serve without a key, whose check would cost it time."""
NGINX_CONFIG = """
daemon off; master_process off; worker_processes 1; pid {folder}/pid; error_log stderr error;
events {{ worker_connections 8192; }}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder}; fastcgi_temp_path {folder};
  uwsgi_temp_path {folder}; scgi_temp_path {folder}; keepalive_requests 1000000000;
  upstream stub {{ server {upstream}; keepalive 2048; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=2048;
    proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off;
    location / {{ proxy_pass http://stub; }}
  }}
}}
"""


class Proxy(NamedTuple):
    """Something that takes chats at a port."""

    name: str
    port: int
    process: subprocess.Popen[str] | None = None
    path: str = "/api/chat"
    model: str = "assistant:1.0.0"
    headers: dict[str, str] = {}

    def cpu_s(self) -> float:
        """CPU seconds so far, its threads included; none of them has child processes. 0 for none at all."""
        if self.process is None:
            return 0.0
        # The kernel's clock of that process, exact to the nanosecond, where /proc counts in hundredths of a second.
        return time.clock_gettime((~self.process.pid) << 3 | 2)

    def rss_mib(self) -> float:
        return 0.0 if self.process is None else psutil.Process(self.process.pid).memory_info().rss / 2**20


@contextlib.contextmanager
def child(command: list[str], core: int, **given: str) -> Iterator[subprocess.Popen[str]]:
    """A process on one core, whose stdin and stdout are pipes; killed when left."""
    cores = os.sched_getaffinity(0)

    def pin() -> None:
        if core in cores:
            os.sched_setaffinity(0, {core})

    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        preexec_fn=pin, env={**os.environ, **given},
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@contextlib.contextmanager
def ours(upstream: str, folder: Path, words: Path, **settings: object) -> Iterator[Proxy]:
    """A gateway as it comes, with a word list and its store on this disk."""
    folder.mkdir()
    set_alias(folder)
    given = [f"{key}={value}" for key, value in {"words_file": words, **settings}.items()]
    command = [sys.executable, "-m", "tests.fakes.gateway_process", str(folder), upstream, *given]
    with child(command, PROXY_CORE) as process:
        url = _line(process, "the gateway")
        yield Proxy("ratchet", int(url.rsplit(":", 1)[1]), process, model="assistant")


@contextlib.contextmanager
def as_first_written(kind: str, name: str, upstream: str) -> Iterator[Proxy]:
    """One of `gateway_peers`."""
    with child([sys.executable, "-m", "tests.bench.gateway_peers", kind, upstream], PROXY_CORE) as process:
        proxy = Proxy(name, int(_line(process, name)), process)
        _wait(proxy.port, "/api/version")
        yield proxy


@contextlib.contextmanager
def nginx(upstream: str, folder: Path) -> Iterator[Proxy | None]:
    """nginx, or None where there is none."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        yield None
        return
    version = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stderr.strip()
    port = _free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX_CONFIG.format(folder=folder, port=port, upstream=upstream.removeprefix("http://")))
    with child([program, "-e", "stderr", "-p", str(folder), "-c", str(config)], PROXY_CORE) as process:
        _wait(port, "/api/version")
        yield Proxy(f"nginx {version.rsplit('/', 1)[-1]}", port, process)


@contextlib.contextmanager
def litellm(upstream: str, folder: Path) -> Iterator[Proxy]:
    """LiteLLM's proxy at its best."""
    config, port = folder / "litellm.yaml", _free_port()
    config.write_text(LITELLM_CONFIG.format(upstream=upstream))
    start = "from litellm.proxy.proxy_cli import run_server; run_server()"
    command = [str(python_of(LITELLM)), "-I", "-c", start, "--config", str(config), "--host", "127.0.0.1"]
    given = {"LITELLM_LOG": "ERROR", "LITELLM_MODE": "PRODUCTION", OPEN_LITELLM: "true"}
    with child([*command, "--port", str(port)], PROXY_CORE, **given) as process:
        _wait(port, "/health/liveliness")
        yield Proxy(f"LiteLLM {LITELLM.version}", port, process, path="/v1/chat/completions", model="assistant")


def _line(process: subprocess.Popen[str], name: str) -> str:
    assert process.stdout is not None, "it is piped"
    line = process.stdout.readline().strip()
    if not line:
        raise SystemExit(f"{name} did not start: run `{' '.join(map(str, process.args))}` to see why")  # type: ignore[union-attr]
    return line


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
        return port


def _wait(port: int, path: str) -> None:
    """Until something answers there, whatever it says."""
    until = time.monotonic() + START_S
    while True:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError as error:
            if time.monotonic() > until:
                raise SystemExit(f"nothing answers on port {port} after {START_S} s") from error
            time.sleep(0.1)
