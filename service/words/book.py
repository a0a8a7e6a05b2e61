"""The filter that serves, and how it is exchanged for another while requests are under way.

    a file changed, or somebody asked ─► read everything ─► compile, in a thread ─► [write] ─► one assignment

A request takes `filter` once and keeps it to its end, so it never sees half of one list and half of another. A list
that is wrong in any line changes nothing: the old filter serves on, and `state` tells of the error until a good load.
Must never: write a list that was not compiled first, load on the event loop, or log what people wrote unless asked to.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import itertools
import logging
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from feedback.errors import InvalidInput, InvalidWords, StoreUnavailable
from feedback.files import replace_file, sync_folder
from feedback.mint import now
from feedback.turns import FilterHit
from service.words.compile import LARGE
from service.words.filter import WordFilter
from service.words.lists import SUFFIXES
from service.words.policy import OPTIONS_FILE, PolicyTable
from service.words.rules import RuleSet
from service.words.sources import ListInfo, Loaded, Sources, Stamp
from service.words.statistics import Report, Statistics

log = logging.getLogger(__name__)

NAME = re.compile(r"\w[\w.-]{0,99}")
"""Names that a list may have: they become part of a path."""
LOGGED_HITS = 100
"""Hits of one text that get a line of their own in the log; the last line says how many more there were."""


KEPT_COMPILED = 16
"""Compiled lists that are kept for the next start."""
KEPT_BYTES = 1 << 30
"""And how many bytes of them at most; a million words are some 170 MB."""
SWITCH_S = 0.0005
"""How long a thread that loads may keep others waiting, in seconds; Python's own default is ten times that."""


class LoadError(msgspec.Struct, frozen=True, kw_only=True):
    """Why the last load changed nothing."""

    at: dt.datetime
    code: str
    message: str
    mend: str


class WordState(msgspec.Struct, frozen=True, kw_only=True):
    """What `GET /words` answers."""

    lists: list[ListInfo]
    policy: dict[str, PolicyTable]
    rules: int
    """In force, all lists together."""
    loaded_at: dt.datetime
    load_s: float
    """How long the last good load took."""
    error: LoadError | None
    """Of the last load, where it was refused; what serves is older."""
    statistics: Report


class WordBook:
    """The lists, the filter made of them, and what it has hit."""

    def __init__(self, sources: Sources, cache: Path | None = None) -> None:
        """Load everything, here and now. `cache` keeps what was compiled, for the next start. Raises InvalidWords."""
        self._cache = cache
        self.statistics = Statistics()
        self._sources = sources
        self._changing = asyncio.Lock()
        self._error: LoadError | None = None
        began, signature = time.perf_counter(), sources.signature()
        self._take(_load(sources, {}, cache, starting=True), began)
        self._seen = self._mark(signature)

    @property
    def filter(self) -> WordFilter:
        """The one that serves now. Take it once for a request."""
        return self._filter

    def state(self, top: int) -> WordState:
        """Lists, last load, last error, counts with the `top` rules."""
        loaded = self._loaded
        return WordState(
            lists=loaded.lists, policy=loaded.policy, rules=self._rules, loaded_at=self._loaded_at,
            load_s=self._load_s, error=self._error, statistics=self.statistics.report(top),
        )  # fmt: skip

    def note(self, hits: Sequence[FilterHit], texts: Mapping[str, str], **where: str) -> None:
        """Count and log hits. `texts` are the originals by field, where the log was asked to show what hit."""
        if not hits:
            return
        self.statistics.add(hits)
        if not log.isEnabledFor(logging.INFO):
            return
        for hit in hits[:LOGGED_HITS]:
            fields = {**msgspec.structs.asdict(hit), **where}
            if hit.field in texts:
                fields["text"] = texts[hit.field][hit.start : hit.end]
            log.info("word-hit", extra={"fields": fields})
        if len(hits) > LOGGED_HITS:
            log.info("word-hits-not-logged", extra={"fields": {"hits": len(hits) - LOGGED_HITS, **where}})

    async def reload(self) -> None:
        """Read every list again and let it serve. Raises InvalidWords; then nothing has changed."""
        await self._exchange({})

    async def change(self, lists: Mapping[str, bytes | None]) -> None:
        """Put lists (file name → content; None deletes) in the folder and let them serve, all or none.

        A name without its ending means the list that has it. Raises InvalidInput for a name that can't be, InvalidWords
        for a list that can't be, StoreUnavailable where the disk refuses; then what serves has not changed.
        """
        await self._exchange(lists)

    @contextlib.asynccontextmanager
    async def watching(self, every_s: float) -> AsyncIterator[None]:
        """`async with`: look at the files every so many seconds (0: never) and load what changed."""
        task = asyncio.create_task(self._watch(every_s)) if every_s > 0 else None
        try:
            yield
        finally:
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task

    async def _watch(self, every_s: float) -> None:
        """Load once a change has held still for one look, so that a file is not read while it is written."""
        moving = self._seen
        while True:
            await asyncio.sleep(every_s)
            try:
                mark = self._mark(await asyncio.to_thread(self._sources.signature))
            except OSError as error:  # the folder is being moved: look again
                log.warning("words-not-seen", extra={"fields": {"type": type(error).__qualname__}})
                continue
            if mark == self._seen or mark != moving:
                moving = mark
                continue
            with contextlib.suppress(InvalidWords):  # kept as `error`, and logged
                await self.reload()

    async def _exchange(self, lists: Mapping[str, bytes | None]) -> None:
        async with self._changing:
            began = time.perf_counter()
            signature = await asyncio.to_thread(self._sources.signature)
            overlay = self._overlay(lists)
            try:
                with _polite():
                    made = await asyncio.to_thread(_load, self._sources, overlay, self._cache)
            except InvalidWords as error:
                if not overlay:
                    self._seen = self._mark(signature)
                self._refused(error)
                raise
            if overlay:
                await asyncio.to_thread(_write, overlay)
                # Of the other files what they were before: one that was changed meanwhile is still to be loaded.
                written = await asyncio.to_thread(self._sources.signature)
                signature = frozenset(
                    stamp for stamps, ours in ((signature, False), (written, True))
                    for stamp in stamps if (stamp[0] in overlay) is ours
                )  # fmt: skip
            old = [self._filter]
            self._take(made, began)
            self._seen = self._mark(signature)
            await asyncio.to_thread(old.clear)  # what is large takes a while to free: not on the event loop

    def _take(self, made: tuple[Loaded, WordFilter], began: float) -> None:
        self._loaded, self._filter = made
        self._rules = sum(one.in_force for one in self._loaded.lists)
        self._loaded_at = now()
        self._load_s = round(time.perf_counter() - began, 3)
        self._error = None
        fields = {"lists": len(self._loaded.lists), "rules": self._rules, "seconds": self._load_s}
        log.info("words-loaded", extra={"fields": fields})

    def _refused(self, error: InvalidWords) -> None:
        self._error = LoadError(at=now(), code=error.code, message=error.message, mend=error.mend)
        log.error("words-refused", extra={"fields": {"message": error.message, "mend": error.mend}})

    def _mark(self, signature: frozenset[Stamp]) -> tuple[object, ...]:
        """Changes when there is something to load: a file, or the day where rules have days."""
        return (now().date() if self._loaded.dated else None, signature)

    def _overlay(self, lists: Mapping[str, bytes | None]) -> dict[Path, bytes | None]:
        """What the folder would hold. Raises InvalidInput."""
        folder = self._sources.folder
        if lists and folder is None:
            raise InvalidInput("This gateway has no folder of lists.", "Set gateway.words_dir to one.")
        return {_path(folder, name): content for name, content in lists.items()} if folder is not None else {}


def _path(folder: Path, name: str) -> Path:
    """Where a list of that name lies, or would. Raises InvalidInput."""
    if NAME.fullmatch(name):
        if name == OPTIONS_FILE or Path(name).suffix.lower() in SUFFIXES:
            return folder / name
        for suffix in SUFFIXES:
            if (folder / f"{name}{suffix}").is_file():
                return folder / f"{name}{suffix}"
    raise InvalidInput(
        f"There is no list {name[:100]!r}, and a new one can't have that name.",
        f"Name it with its ending, one of {', '.join(SUFFIXES)}, or {OPTIONS_FILE} for the options.",
    )


def _load(
    sources: Sources, overlay: Mapping[Path, bytes | None], cache: Path | None, *, starting: bool = False
) -> tuple[Loaded, WordFilter]:
    loaded = sources.read(now().date(), overlay)
    try:
        made = WordFilter(loaded.rules, cache)
    except OSError as error:  # the cache is a convenience: a full disk must not stop a list
        if not starting and len(loaded.rules.rules) > LARGE:  # but compiling it here would stop those who are served
            raise InvalidWords(
                f"The list was not compiled: {error.strerror}.", "Look at the disk; the old lists serve on."
            ) from error
        log.warning("words-not-kept", extra={"fields": {"type": type(error).__qualname__}})
        made = WordFilter(loaded.rules)
    if cache is not None:
        _prune(cache)
        made.warm()
    return msgspec.structs.replace(loaded, rules=RuleSet(rules=[])), made


@contextlib.contextmanager
def _polite() -> Iterator[None]:
    """While a thread loads, requests get the interpreter soon after they ask for it."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


def _prune(cache: Path) -> None:
    """Keep the compiled lists that were made last, and nothing that a process that was killed left half made."""
    for left in cache.glob(".*"):
        left.unlink(missing_ok=True)
    files = sorted(cache.glob("*.words"), key=lambda file: file.stat().st_mtime, reverse=True)
    total = itertools.accumulate(file.stat().st_size for file in files)
    for number, (file, size) in enumerate(zip(files, total, strict=True)):
        if number >= KEPT_COMPILED or (size > KEPT_BYTES and number):
            file.unlink(missing_ok=True)


def _write(overlay: Mapping[Path, bytes | None]) -> None:
    for path, data in overlay.items():
        try:
            if data is None:
                path.unlink(missing_ok=True)
                sync_folder(path.parent)
            else:
                replace_file(path, data)
        except OSError as error:
            raise StoreUnavailable(
                f"{path.name} could not be written: {error.strerror}.", "Look at the disk; the old lists still serve."
            ) from error
