"""Ray for the length of one training: a cluster where RAY_ADDRESS names one, else a small local one of our own.

A local one listens on loopback only, keeps its files in a folder of its own under the temporary folder (a short path:
Unix sockets take 107 bytes) and leaves nothing behind: its processes die with this one, even by kill -9
(`learner.reaper`), and the folder goes with them. Must never report usage to
anybody, write into the home folder, or take more threads than it was given.
"""

from __future__ import annotations

import functools
import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from learner import reaper

HOME = Path(__file__).resolve().parents[1]
"""The folder that holds our packages: workers must find them whatever their working directory."""
OBJECT_STORE_BYTES = 80 << 20
"""Ray's shared memory. Nothing of ours goes through it; the least that it takes, and it fits a 64 MB /dev/shm."""
PREFIX = "ratchet-ray-"
_LONGEST_TEMP = 30
"""Longest temporary folder, in characters, that leaves room for Ray's socket names."""


@contextmanager
def ray_session(cpus: int) -> Iterator[Any]:
    """The `ray` module, connected. `cpus` is what a local session may use; a cluster knows its own."""
    address = os.environ.get("RAY_ADDRESS", "")
    with _environment(_variables(local=not address)):
        import ray  # only now: some of its constants are read from the environment at import

        if address:
            ray.init(address=address, log_to_driver=False, logging_level="error", runtime_env=_cluster_environment())
            try:
                yield ray
            finally:
                ray.shutdown()
            return
        with _temporary_folder() as folder:
            ray.init(
                address="local",
                num_cpus=cpus,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                log_to_driver=False,
                logging_level="error",
                _temp_dir=str(folder),
                _node_ip_address="127.0.0.1",
            )
            try:
                yield ray
            finally:
                ray.shutdown()


def usable_cpus() -> int:
    """CPUs that this process may use: its affinity, or its control group's quota where that is less."""
    cpus = len(os.sched_getaffinity(0))
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return cpus
    return cpus if quota == "max" else max(1, min(cpus, int(quota) // int(period)))


def _variables(*, local: bool) -> dict[str, str]:
    paths = [str(HOME), os.environ["PYTHONPATH"]] if os.environ.get("PYTHONPATH") else [str(HOME)]
    variables = {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",  # the default of 2 s is waited for at the end too
        "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S": "300",  # importing torch on a busy machine takes its time
        "RAY_TRAIN_METRICS_ENABLED": "0",
        "RAY_CHDIR_TO_TRIAL_DIR": "0",
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # the coming behaviour, without the warning about it
        "OMP_WAIT_POLICY": "PASSIVE",  # a spinning thread steals the time that the gateway needs
        "TOKENIZERS_PARALLELISM": "false",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join(paths),
    }
    if local:
        variables |= {
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on Linux too, this is what makes Ray stay on loopback
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": _token(),  # else Ray writes one of its own into the home folder
            "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",  # a process more, to see a machine reclaimed that is this one
        }
    return variables


def _cluster_environment() -> dict[str, Any]:
    """Our packages travel to the cluster's workers; the training stack must be installed there."""
    kept = ("OMP_WAIT_POLICY", "TOKENIZERS_PARALLELISM", "HF_HUB_OFFLINE")
    variables = _variables(local=False)
    return {
        "py_modules": [str(HOME / "learner"), str(HOME / "feedback")],
        "env_vars": {name: variables[name] for name in kept},
    }


@functools.cache
def _token() -> str:
    """One token for this process: Ray reads it once and keeps it."""
    return secrets.token_hex(32)


@contextmanager
def _environment(variables: dict[str, str]) -> Iterator[None]:
    """Set environment variables, which Ray's processes inherit, and put the old ones back."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder for one session. A reaper deletes it, with all that still uses it, when this process ends or leaves."""
    parent = Path(tempfile.gettempdir())
    if len(str(parent)) > _LONGEST_TEMP:
        parent = Path("/tmp")
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent)).resolve()
    # A session of its own: Ctrl-C ends the driver, and then the reaper has work to do.
    command = [sys.executable, "-I", "-S", reaper.__file__, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):  # leaving closes the pipe and waits
        yield folder
