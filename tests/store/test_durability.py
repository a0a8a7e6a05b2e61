"""What was acknowledged is on the disk, whatever happens to the process; a disk that fails is survived."""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from feedback.settings import StoreSettings
from feedback.store.database import Store

HERE = Path(__file__).parent
ROUNDS = 20

BROKEN_FSYNC = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
static int broken(void) { const char *marker = getenv("FSYNC_FAILS_WHILE"); return marker && !access(marker, F_OK); }
#define FAILING(name) int name(int file) { \\
    if (broken()) { errno = EIO; return -1; } \\
    return ((int (*)(int))dlsym(RTLD_NEXT, #name))(file); }
FAILING(fsync)
FAILING(fdatasync)
"""


def start(child: str, *arguments: str, **options: Any) -> subprocess.Popen[bytes]:
    environ = os.environ | {"PYTHONPATH": str(HERE.parents[1])} | options.pop("env", {})
    return subprocess.Popen([sys.executable, str(HERE / child), *arguments], env=environ, **options)


def acknowledged(file: Path) -> set[str]:
    return {line.decode() for line in file.read_bytes().split(b"\n")[:-1]}


def test_no_acknowledged_row_is_lost_in_twenty_kills(tmp_path: Path) -> None:
    data_dir, printed = tmp_path / "data", tmp_path / "acknowledged"
    chance = random.Random(9)
    for _ in range(ROUNDS):
        size = printed.stat().st_size if printed.exists() else 0
        with printed.open("ab") as out:
            child = start("writing_child.py", str(data_dir), stdout=out)
        deadline = time.monotonic() + 30
        while printed.stat().st_size == size and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.uniform(0, 0.25))
        child.kill()
        child.wait(10)
        assert printed.stat().st_size > size, "the child wrote nothing"
        store = Store.open(StoreSettings(data_dir=data_dir))
        try:
            with store.reader() as cursor:
                rows = cursor.execute("SELECT turn_id FROM turns UNION ALL SELECT rating_id FROM ratings").fetchall()
        finally:
            store.close()
        stored = [item_id for (item_id,) in rows]
        assert acknowledged(printed) <= set(stored)
        assert len(stored) == len(set(stored)), "a row was replayed twice"
    assert len(acknowledged(printed)) > ROUNDS * 64


def steps(child: subprocess.Popen[bytes]) -> dict[str, dict[str, Any]]:
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    return {step["step"]: step for step in map(json.loads, out.splitlines())}


def test_a_full_disk_fails_writes_not_reads_and_writing_goes_on_once_there_is_space(tmp_path: Path) -> None:
    said = steps(start("failing_disk_child.py", str(tmp_path / "data"), "full", stdout=subprocess.PIPE))
    assert said["before"]["writes"] == said["after"]["writes"] == ["ok"] * 3
    assert said["broken"]["writes"] == ["store-unavailable"] * 3
    assert said["broken"]["reads"] == ["unknown-turn"] * 3, "what was not acknowledged must not be served"
    assert (said["broken"]["backup"], said["broken"]["files"]) == ("store-unavailable", ["before.duckdb"])
    assert (said["after"]["backup"], said["after"]["files"]) == ("ok", ["after.duckdb", "before.duckdb"])
    assert said["reopened"]["turns"] == 6


def test_a_log_that_can_not_be_folded_in_takes_nothing_from_what_was_acknowledged(tmp_path: Path) -> None:
    said = steps(start("failing_disk_child.py", str(tmp_path / "data"), "fold", stdout=subprocess.PIPE))
    for step in ("before", "broken", "after"):
        assert said[step]["writes"] == said[step]["reads"] == ["ok"] * 3
    assert said["reopened"]["turns"] == 9


@pytest.mark.skipif(not shutil.which("cc") or sys.platform != "linux", reason="needs a C compiler and LD_PRELOAD")
def test_a_failing_fsync_is_never_acknowledged_and_the_database_is_opened_anew(tmp_path: Path) -> None:
    source, library, marker = tmp_path / "fsync.c", tmp_path / "fsync.so", tmp_path / "broken"
    source.write_text(BROKEN_FSYNC)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    environ = {"LD_PRELOAD": str(library), "FSYNC_FAILS_WHILE": str(marker)}
    arguments = (str(tmp_path / "data"), "fsync", str(marker))
    said = steps(start("failing_disk_child.py", *arguments, stdout=subprocess.PIPE, env=environ))
    assert said["before"]["writes"] == ["ok"] * 3
    assert said["broken"]["writes"] == ["store-unavailable"] * 3
    assert "ok" not in said["broken"]["reads"]
    assert said["after"]["writes"] == said["after"]["reads"] == ["ok"] * 3
    assert (said["after"]["backup"], said["after"]["files"]) == ("ok", ["after.duckdb", "before.duckdb"])
    # A row whose fsync failed may have reached the disk nevertheless: it was promised to nobody.
    assert 6 <= said["reopened"]["turns"] <= 9
