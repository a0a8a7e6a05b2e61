"""Compiling in a process of its own: `python -m service.words.apart`, which `compile_apart` starts and waits for.

To compile a large list takes seconds in which Python's lock is held for long whiles, and memory that a process never
gives back. So a child does it, politely (nice 10), and leaves the file that `kept` loads. It has none of the parent's
sockets, learns the words by its standard input, and dies when that closes: with its parent, however that ends.
"""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import struct
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, BinaryIO

import msgspec

from feedback.errors import InvalidWords
from service.words.automaton import Automaton
from service.words.folded import BadWord, Chunk, Profile
from service.words.kept import decoded, encoded, keep

NICE = 10
COMMAND = ("-m", "service.words.apart")
_LENGTH = struct.Struct("<I")
_OVER = 0xFFFFFFFF
"""In place of a length: there are no more words."""
_MEND = "The lists that serve are as before. Free memory, or split the list or shorten it, and load again."


class Order(msgspec.Struct, frozen=True):
    """What to do."""

    profile: Profile
    file: str


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of it; nothing at all is good news."""

    place: int | None = None
    """Of the word that can't be, and why it can't."""
    reason: str = ""
    errno: int = 0
    """Of the system, where it refused something."""
    no_memory: bool = False


def compile_apart(profile: Profile, chunks: Iterable[Chunk], file: Path) -> None:
    """Have a file made. Raises BadWord, OSError where the disk refuses, InvalidWords where the child did not live."""
    root = str(Path(__file__).parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OPENBLAS_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, *COMMAND], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        env=environment,
    ) as child:  # fmt: skip
        try:
            said = _talk(child, msgspec.json.encode(Order(profile, str(file))), chunks)
        except BaseException:  # interrupted as well: a child that nobody listens to must not go on
            child.kill()
            raise
        finally:
            with contextlib.suppress(OSError):  # it may be dead, with what it was told still in the pipe's buffer
                child.stdin.close()  # type: ignore[union-attr]
    _judge(said, child.returncode)


def _talk(child: subprocess.Popen[bytes], order: bytes, chunks: Iterable[Chunk]) -> bytes:
    assert child.stdin is not None and child.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # it died: its exit status tells more
        _send(child.stdin, order)
        for chunk in chunks:
            _send(child.stdin, encoded(chunk))
        child.stdin.write(_LENGTH.pack(_OVER))
        child.stdin.flush()
    said = child.stdout.read()
    child.wait()  # before its input closes: that would end it
    return said


def _judge(said: bytes, status: int) -> None:
    """Raise what the child could not. The answer is all that it says, so its standard error is not kept."""
    try:
        answer = msgspec.json.decode(said, type=Answer)
    except msgspec.DecodeError as error:
        how = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        raise InvalidWords(f"The list was not compiled: the process that does it ended with {how}.", _MEND) from error
    if answer.place is not None:
        raise BadWord(answer.place, answer.reason)
    if answer.no_memory or answer.errno == errno.ENOMEM:
        raise InvalidWords("The list was not compiled: there is not enough memory for it.", _MEND)
    if answer.errno:
        raise OSError(answer.errno, os.strerror(answer.errno))


def _send(out: IO[bytes], data: bytes) -> None:
    out.write(_LENGTH.pack(len(data)))
    out.write(data)


def _received(source: BinaryIO) -> Iterator[bytes]:
    while True:
        head = source.read(_LENGTH.size)
        if len(head) < _LENGTH.size:
            raise SystemExit(1)  # the parent is gone
        (length,) = _LENGTH.unpack(head)
        if length == _OVER:
            return
        yield source.read(length)


def main() -> None:
    """The child."""
    os.nice(NICE)
    heard = _received(sys.stdin.buffer)
    order = msgspec.json.decode(next(heard), type=Order)
    chunks = list(heard)
    threading.Thread(target=_die_with_the_parent, daemon=True).start()
    sys.stdout.buffer.write(msgspec.json.encode(_answer(order, chunks)))


def _answer(order: Order, chunks: list[bytes]) -> Answer:
    try:
        keep(Path(order.file), *Automaton.build(order.profile, map(decoded, chunks)))
    except BadWord as error:
        return Answer(place=error.place, reason=error.reason)
    except OSError as error:
        return Answer(errno=error.errno or errno.EIO)
    except MemoryError:
        return Answer(no_memory=True)
    return Answer()


def _die_with_the_parent() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing comes any more but the end
    os._exit(1)


if __name__ == "__main__":
    main()
