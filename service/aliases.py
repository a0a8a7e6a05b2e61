"""Who answers to a name: an alias's version, a version asked for by its number, or another model of the upstream.

`alias.json` is re-read whenever it changes: one stat per request and a parse only after a swap, so that a swap is seen
by the very next request and costs nothing in between. A file that is damaged while the gateway runs must not stop it:
the last good one stays, and the log says so.

`resolve` is the one door from what a client wrote to what the upstream is asked for. Must never: hand out a model that
was not allowed, a version to who may not choose one (whatever spelling of its tag is used), or a name that a key is not
for; the last is answered as if there were no such name.
"""

from __future__ import annotations

import hashlib
import logging
import os
import re
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from feedback.errors import Forbidden, InvalidInput, UnknownAlias, UnknownVersion
from learner.alias import Alias, AliasCorrupt, AliasFile, Served, read_aliases
from learner.records import parse_semver
from service.callers import ANYBODY, Caller
from service.settings import GatewaySettings
from service.upstream.host import full_name

log = logging.getLogger(__name__)

MODEL_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,99}(/[a-z0-9][a-z0-9._-]{0,99}){0,3}:[a-z0-9_][a-z0-9._-]{0,99}")
OLLAMAS_OWN = ("registry.ollama.ai/", "library/")
"""Beginnings that Ollama adds to a name by itself: `library/assistant:1.0.0` is `assistant:1.0.0` to it."""
NAMES_LISTED = 30
"""Names that an error lists."""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What a request is for."""

    name: str
    """The alias's own name; of another model its full name at the upstream."""
    alias: Alias | None = None
    """None for another model of the upstream."""
    chosen: Served | None = None
    """The one that answers, where the name says so; else the alias's route decides."""
    sticky: str = ""
    """What stays with one version; empty: the conversation."""

    def served(self, conversation_id: str) -> Served:
        """Which version answers. Another model has the empty version: what it says is no version's doing."""
        if self.chosen is not None:
            return self.chosen
        assert self.alias is not None, "a target has an alias or a chosen model"
        return route(self.alias, self.sticky or conversation_id)

    @property
    def shown(self) -> Served:
        """Who stands for it in lists: the chosen one, or the champion."""
        if self.chosen is not None:
            return self.chosen
        assert self.alias is not None, "a target has an alias or a chosen model"
        return self.alias.champion


class AliasBook:
    """The aliases as they stand, and who may ask for what."""

    def __init__(
        self,
        path: Path,
        settings: GatewaySettings | None = None,
        upstream_tags: Callable[[], frozenset[str]] = frozenset,
    ) -> None:
        """`upstream_tags` says which models the upstream has, as far as known; nothing known: any may be there."""
        self.path = path
        self._file_name = str(path)
        self._settings = settings or GatewaySettings()
        self._upstream_tags = upstream_tags
        self._patterns = [full_pattern(pattern) for pattern in self._settings.allowed_models]
        self._seen: tuple[int, int, int] | None = None
        self._file = AliasFile()

    def all(self) -> dict[str, Alias]:
        """Name → alias. Raises AliasCorrupt where the file is damaged and no good one was read before."""
        seen = self._stat()
        if seen != self._seen:
            try:
                self._file = read_aliases(self.path)
            except AliasCorrupt as error:
                if not self._file.aliases:
                    raise
                log.error("alias-corrupt", extra={"fields": {"message": error.message, "mend": error.mend}})
            self._seen = seen
        return self._file.aliases

    def resolve(self, asked: str, caller: Caller = ANYBODY) -> Target:
        """What a client asked for by a model's name; `name:latest` is `name`, as Ollama's clients write it.

        Raises UnknownAlias, listing the names that this caller may use; UnknownVersion, Forbidden for a version by
        number.
        """
        aliases = self.all()
        name = asked if asked in aliases else asked.removesuffix(":latest")
        if name in aliases and caller.may_chat_with(name):
            sticky = (caller.subject or caller.key_id) if self._settings.sticky_by == "key" else ""
            return Target(name=name, alias=aliases[name], sticky=sticky)
        name, at, version = name.rpartition("@")
        if at and name in aliases and (caller.may_chat_with(name) or caller.may_chat_with(asked)):
            return Target(name=name, alias=aliases[name], chosen=self._pinned(name, aliases[name], version, caller))
        if self._patterns and self._allowed(full := full_name(asked), caller):
            return Target(name=full, chosen=Served(version="", tag=full))
        known = [*sorted(self.visible(caller)), *self.others(caller)]
        listed = ", ".join(known[:NAMES_LISTED]) + (", …" if len(known) > NAMES_LISTED else "")
        raise UnknownAlias(f"model {asked[:100]!r} not found.", f"Known names: {listed or 'none yet'}.")

    def find(self, asked: str, caller: Caller = ANYBODY) -> tuple[str, Alias]:
        """The alias that a client asked for, and its own name. Raises as `resolve` does, and for what is no alias."""
        target = self.resolve(asked, caller)
        if target.alias is None:
            raise UnknownAlias(f"{target.name!r} is a model, and no alias.", "Name an alias.")
        return target.name, target.alias

    def visible(self, caller: Caller = ANYBODY) -> dict[str, Alias]:
        """The aliases that this caller may chat with and be told of."""
        return {name: alias for name, alias in self.all().items() if caller.may_chat_with(name)}

    def others(self, caller: Caller = ANYBODY) -> list[str]:
        """The full names of the upstream's other models that this caller may chat with, sorted."""
        if not self._patterns:
            return []
        return sorted(tag for tag in self._upstream_tags() if self._allowed(tag, caller))

    def _pinned(self, name: str, alias: Alias, version: str, caller: Caller) -> Served:
        """The version of an alias that is asked for by its number."""
        if not caller.may(self._settings.pins) and f"{name}@{version}" not in caller.aliases:
            raise Forbidden(
                f"A version by its number is for the role {self._settings.pins} and above.",
                f"Ask for {name!r} instead.",
            )
        for one in (alias.champion, alias.challenger, *alias.previous):
            if one is not None and one.version == version:
                return one
        try:
            parse_semver(version)  # also keeps whatever else a client writes out of the path below
            registered = (self.path.parent / "registry" / name / version / "manifest.json").is_file()
        except InvalidInput:
            registered = False
        if not registered:
            raise UnknownVersion(f"{name} has no version {version[:40]!r}.", "`ratchet versions` lists them.")
        return Served(version=version, tag=f"{name}:{version}")

    def _allowed(self, full: str, caller: Caller) -> bool:
        """Whether a model of the upstream, none of ours, may be asked by this caller."""
        if not MODEL_NAME.fullmatch(full) or not any(fnmatchcase(full, pattern) for pattern in self._patterns):
            return False
        bare = full
        for beginning in OLLAMAS_OWN:
            bare = bare.removeprefix(beginning)
        if bare.partition(":")[0] in {name.lower() for name in self.all()}:
            return False  # a version's own tag is no way around the alias
        known = self._upstream_tags()
        if known and full not in known:
            return False
        return caller.may_chat_with(full) or caller.may_chat_with(full.removesuffix(":latest"))

    def _stat(self) -> tuple[int, int, int] | None:
        try:
            stat = os.stat(self._file_name)  # once a request: pathlib would cost as much as the system does
        except FileNotFoundError:
            return None
        return stat.st_mtime_ns, stat.st_ino, stat.st_size


def full_pattern(pattern: str) -> str:
    """A pattern for full names: `qwen3` means its latest, as it does to Ollama; `*` means everything."""
    pattern = pattern.lower()
    return pattern if ":" in pattern or pattern.endswith("*") else f"{pattern}:latest"


def route(alias: Alias, who: str) -> Served:
    """Which version answers a conversation (or a person): always the same one for the same challenger and share.

    A share that grows only moves some from the champion to the challenger, none back. Each challenger is tried by
    others than the last one was.
    """
    if alias.challenger is None or alias.challenger_share <= 0:
        return alias.champion
    drawn = hashlib.sha256(f"{alias.challenger.tag}\n{who}".encode()).digest()[:8]
    place = int.from_bytes(drawn, "big") / 2**64
    return alias.challenger if place < alias.challenger_share else alias.champion
