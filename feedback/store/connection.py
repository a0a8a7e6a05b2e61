"""The one open DuckDB database: owned by this process, and opened anew after its disk has failed.

The file is attached to an instance in memory, because only ATTACH takes a row group size. A checkpoint writes the last,
unfilled row group again each time, out of memory, and commits wait for it: small row groups keep acknowledgements even,
and let long texts be folded in at all. The writer decides when: DuckDB's own checkpoints, inside a commit, are off,
for one that fails would make a durable commit look like a failed one.

A failed fsync or checkpoint makes DuckDB refuse everything until the database is opened again. That happens here, on
the next use, once every cursor on the broken instance has been left: two instances on one file would release each
other's lock.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb

from feedback.errors import StoreLocked, StoreUnavailable
from feedback.files import sync_folder
from feedback.settings import StoreSettings

DATABASE = "ratchet"
"""The name that the file is attached by."""
ROW_GROUP_ROWS = 2048
"""Rows in a row group, DuckDB's least. 200,000 turns of 1 KB checkpointed every 16,000 took at most 0.07 s of CPU each,
against 0.61 s with DuckDB's 122,880, and 0.7 against 2.1 s in all; scans and look-ups cost the same. With 8,192, turns
of 100 KB could not be folded in within 256 MiB of memory."""

_open_here: set[Path] = set()
_open_here_gate = threading.Lock()
"""The files that this process has open: the lock on a file keeps other processes out, but not the process itself."""


class Connection:
    """Hands out cursors on the open file. Thread-safe."""

    def __init__(self, file: Path, settings: StoreSettings) -> None:
        """Raises StoreLocked, naming the process that owns the file; StoreUnavailable where it can't be opened."""
        self.file = file
        self._settings = settings
        self._gate = threading.Condition()
        self._replacing = False
        self._cursors = 0
        self._broken = False
        self._closed = False
        _claim(file)
        try:
            self._root = _attach(file, settings)
        except BaseException:  # interrupted as well: a claim without a connection would lock the file for good
            _release(file)
            raise

    @contextlib.contextmanager
    def cursor(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of the caller's own, closed when left; a transaction left open is rolled back.

        Raises StoreUnavailable after `close`, or while a broken database can't be opened again.
        """
        with self._gate:
            self._gate.wait_for(lambda: not self._replacing)
            cursor = self._living().cursor()
            self._cursors += 1
        try:
            cursor.execute(f"USE {DATABASE}")
            yield cursor
        except Exception as error:  # raised on: it is only looked at, for whether the database broke
            self.note(error)
            raise
        finally:
            with self._gate:
                cursor.close()
                self._cursors -= 1
                self._release_if_last()
                self._gate.notify_all()

    @property
    def broken(self) -> bool:
        """Whether a fatal error was seen: every cursor must be left before the file can be opened anew."""
        return self._broken

    def note(self, error: Exception) -> None:
        """Remember an error that leaves the database unusable, whether or not it was translated since."""
        if _is_final(error) or _is_final(error.__cause__):
            self._broken = True

    @property
    def log_bytes(self) -> int:
        """Size of the write-ahead log, in bytes."""
        with contextlib.suppress(FileNotFoundError):
            return os.stat(f"{self.file}.wal").st_size
        return 0

    def close(self) -> None:
        """Refuse further cursors, and release the file once the last one is left."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._release_if_last()

    def replace_with(self, fresh: Path, patience_s: float) -> bool:
        """Let another database take the file's place, atomically, once every cursor is left; new ones wait meanwhile.

        False, and nothing has changed, where some cursor is not left within `patience_s` seconds, or the log could not
        be folded in. The caller must hold no cursor. Raises StoreUnavailable where the file can't be opened anew.
        """
        with self._gate:
            self._replacing = True
            try:
                if not self._gate.wait_for(lambda: self._cursors == 0, patience_s) or self._closed or self._broken:
                    return False
                self._root.close()
                self._broken = True  # until it is open again
                clean = not self.log_bytes
                if clean:
                    os.replace(fresh, self.file)
                    sync_folder(self.file.parent)
                self._root = _attach(self.file, self._settings)
                self._broken = False
                return clean
            finally:
                self._replacing = False
                self._gate.notify_all()

    def _release_if_last(self) -> None:
        """Closing the root would close every cursor on it, under the hands of whoever reads: the last one closes it."""
        if self._closed and not self._cursors:
            self._root.close()
            _release(self.file)

    def _living(self) -> duckdb.DuckDBPyConnection:
        if self._closed:
            raise StoreUnavailable("The store is closed.", "Start the gateway again.")
        if self._broken:
            if self._cursors:
                raise StoreUnavailable("The database failed, and readers are still leaving it.", "Try again.")
            self._root.close()
            self._root = _attach(self.file, self._settings)
            self._broken = False
        return self._root


def attach_sql(file: Path, name: str) -> str:
    """The statement that attaches a database file, made with our row groups where it is new."""
    path = str(file).replace("'", "''")
    return f"ATTACH '{path}' AS {name} (ROW_GROUP_SIZE {ROW_GROUP_ROWS})"


def _attach(file: Path, settings: StoreSettings) -> duckdb.DuckDBPyConnection:
    root = duckdb.connect(
        config={
            "memory_limit": f"{settings.memory_limit_mib}MiB",
            "wal_autocheckpoint": "1000GiB",  # the writer folds the log in
            "temp_directory": f"{file}.tmp",
            # A third of the file and of a checkpoint's time, where DuckDB would choose FSST or a dictionary for text.
            "force_compression": "zstd",
            # What a query may need is built in: nothing is fetched, and no Python variable is taken for a table.
            "autoinstall_known_extensions": "false",
            "python_enable_replacements": "false",
        }
    )
    try:
        root.execute("SET GLOBAL TimeZone = 'UTC'")  # so that now() in a reader's query compares with our times
        root.execute(attach_sql(file, DATABASE))
    except duckdb.Error as error:
        root.close()
        owner = re.search(r"\(PID (\d+)\)", str(error))
        if owner is None:
            raise StoreUnavailable(f"{file} can't be opened: {error}", "Restore a backup, or mend the disk.") from error
        raise StoreLocked(
            f"{file} is open in process {owner[1]}.", "Stop that gateway first, or name another data folder."
        ) from error
    return root


def _is_final(error: BaseException | None) -> bool:
    """Whether DuckDB will answer nobody after it; a failed checkpoint is an I/O error that only says so in its text."""
    return isinstance(error, duckdb.FatalException) or (isinstance(error, duckdb.Error) and "invalidated" in str(error))


def _claim(file: Path) -> None:
    with _open_here_gate:
        if file in _open_here:
            raise StoreLocked(f"{file} is open in this process ({os.getpid()}) already.", "Use the store that is open.")
        _open_here.add(file)


def _release(file: Path) -> None:
    with _open_here_gate:
        _open_here.discard(file)
