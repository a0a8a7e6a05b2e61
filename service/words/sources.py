"""Where the rules come from: one file, a folder of lists with its `words.toml`, and the list against inducement.

    words/
      words.toml       what holds for whole lists, and the policy: what happens with a category, by direction
      insults.csv      lists, by their ending: .txt, .csv, .jsonl
      scams.jsonl

Read whole or not at all, into one set of rules. What would be written is read the same way, by an overlay, so that a
list is known to be good before it is on disk. Nothing here keeps state or knows who serves.
"""

from __future__ import annotations

import datetime as dt
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

from feedback.errors import InvalidWords
from feedback.settings import nearest
from service.settings import GatewaySettings
from service.words.blocks import Part, Rules, WordBlock
from service.words.lists import SUFFIXES, Defaults, parse_rules
from service.words.policy import OPTIONS_FILE, PolicyTable, apply_policy
from service.words.rules import Action, Direction, Folding, ListOptions, Match, Rule, RuleSet

INDUCEMENT = Path(__file__).with_name("inducement.jsonl")
INDUCEMENT_FOLD = ["width"]
"""Its patterns say themselves where case does not matter: DAN is a jailbreak and Dan is a name."""
FOLDINGS = tuple(field.name for field in msgspec.structs.fields(Folding))

Overlay = Mapping[Path, bytes | None]
"""Path → what it would hold; None: it would be gone."""
Stamp = tuple[Path, int, int, int]
"""A file: where, when it was changed (ns), its size, its inode."""


class ListTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table [lists.NAME] of words.toml."""

    enabled: bool = True
    category: str = "words"
    action: Action = "mask"
    only: Direction | None = None
    label: str | None = None
    replacement: str | None = None
    severity: int = 0
    fold: list[str] | None = None
    """Names of the foldings that are on; none given: those that are on by default."""
    noise: bool = False
    repeat: bool = False
    whole_word: bool = False
    match: Match = "overlap"


class Tables(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """words.toml."""

    lists: dict[str, ListTable] = {}
    policy: dict[str, PolicyTable] = {}
    drop_hidden: bool = True
    """Leave out tag characters, with which text is smuggled past people's eyes."""


class ListInfo(msgspec.Struct, frozen=True, kw_only=True):
    """One list as `GET /words` tells of it."""

    name: str
    source: Literal["file", "folder", "shipped"]
    enabled: bool
    rules: int
    in_force: int
    """Rules that hold today (UTC)."""
    categories: dict[str, int]
    actions: dict[str, int]
    options: ListOptions


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was read."""

    rules: RuleSet
    lists: list[ListInfo]
    policy: dict[str, PolicyTable]
    dated: bool
    """Some rule begins or ends on a day: read again when the day changes."""


class Sources(msgspec.Struct, frozen=True, kw_only=True):
    """Where to look."""

    file: Path | None = None
    folder: Path | None = None
    inducement: bool = True
    """Whether the shipped list is in, unless the folder has an `inducement` of its own."""

    def lists(self, overlay: Overlay) -> list[Path]:
        """The folder's lists, by name. Raises InvalidWords where two would have one name."""
        if self.folder is None:
            return []
        try:
            there = {path for path in self.folder.iterdir() if path.is_file()}
        except OSError as error:
            raise InvalidWords(f"{self.folder} can't be read: {error.strerror}.", "Name an existing folder.") from error
        there |= {path for path, data in overlay.items() if data is not None}
        there -= {path for path, data in overlay.items() if data is None}
        found = sorted(path for path in there if path.suffix.lower() in SUFFIXES and path.name[0] != ".")
        stems = Counter(path.stem for path in found)
        for path in found:
            if stems[path.stem] > 1:
                raise InvalidWords(f"{self.folder} has two lists called {path.stem}.", "Rename one of them.")
        return found

    def signature(self) -> frozenset[Stamp]:
        """What changes when a file does."""
        paths = [path for path in (self.file,) if path is not None]
        if self.folder is not None and self.folder.is_dir():
            paths += [
                path for path in sorted(self.folder.iterdir())
                if path.name == OPTIONS_FILE or (path.suffix.lower() in SUFFIXES and path.name[0] != ".")
            ]  # fmt: skip
        return frozenset(_stamp(path) for path in paths)

    def read(self, today: dt.date, overlay: Overlay | None = None) -> Loaded:
        """Every rule that holds today (UTC). Raises InvalidWords with file, line and reason."""
        over = overlay or {}
        tables = self._tables(over)
        lists = [_read(path, "folder", tables.lists.get(path.stem, ListTable()), over) for path in self.lists(over)]
        if self.file is not None:
            lists.append(_read(self.file, "file", ListTable(), over))
        # The shipped list's own lines say category, action and direction.
        if self.inducement and not any(Path(one.name).stem == INDUCEMENT.stem for one, _ in lists):
            table = tables.lists.get(INDUCEMENT.stem) or ListTable()
            table = msgspec.structs.replace(table, fold=INDUCEMENT_FOLD) if table.fold is None else table
            lists.append(_read(INDUCEMENT, "shipped", table, over))
        _refuse_unknown(tables, [info for info, _ in lists], self.folder)
        every = Rules([rules for _, rules in lists])
        in_force = every.holding(today)
        policed = [apply_policy(part, tables.policy, self.folder) for part in in_force.parts]
        return Loaded(
            rules=RuleSet(rules=_together(policed), drop_hidden=tables.drop_hidden),
            lists=[_count(info, rules, today) for info, rules in lists],
            policy=tables.policy,
            dated=any(map(_dated, every.kinds())),
        )

    def _tables(self, overlay: Overlay) -> Tables:
        path = self.folder / OPTIONS_FILE if self.folder is not None else None
        if path is None or (path not in overlay and not path.is_file()):
            return Tables()
        try:
            data = _content(path, overlay).decode("utf-8-sig")
            return msgspec.convert(tomllib.loads(data), Tables)
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidWords(f"{path} is not TOML: {error}.", "Mend the line that it names.") from error
        except msgspec.ValidationError as error:
            raise InvalidWords(f"{path}: {error}.", "The guide to words has every key.") from error


def sources_of(gateway: GatewaySettings) -> Sources:
    """Which lists the settings name."""
    return Sources(
        file=Path(gateway.words_file).expanduser() if gateway.words_file else None,
        folder=Path(gateway.words_dir).expanduser() if gateway.words_dir else None,
        inducement=gateway.words_inducement,
    )


def _together(parts: list[Part]) -> Sequence[Rule]:
    """A plain list where no part is a block."""
    lists = [part for part in parts if not isinstance(part, WordBlock)]
    return Rules(parts) if len(lists) < len(parts) else [rule for part in lists for rule in part]


def _read(
    path: Path, source: Literal["file", "folder", "shipped"], table: ListTable, overlay: Overlay
) -> tuple[ListInfo, Part]:
    defaults = Defaults(
        category=table.category,
        action=table.action,
        only=table.only,
        replacement=table.replacement if table.action == "replace" else table.label,
        severity=table.severity,
        options=_options(path, table),
    )
    rules = parse_rules(path, _content(path, overlay), defaults)
    info = ListInfo(
        name=path.name, source=source, enabled=table.enabled, rules=len(rules), in_force=0,
        categories=_tally(rules, lambda rule: rule.category), actions=_tally(rules, lambda rule: rule.action),
        options=defaults.options,
    )  # fmt: skip
    return info, rules if table.enabled else []


def _options(path: Path, table: ListTable) -> ListOptions:
    folding = Folding()
    if table.fold is not None:
        for name in table.fold:
            if name not in FOLDINGS:
                where = path.with_name(OPTIONS_FILE)
                raise InvalidWords(f"{where}: unknown folding {name!r}.", nearest(name, list(FOLDINGS)))
        folding = Folding(**{name: name in table.fold for name in FOLDINGS})
    return ListOptions(
        folding=folding, noise=table.noise, repeat=table.repeat, whole_word=table.whole_word, match=table.match
    )


def _refuse_unknown(tables: Tables, lists: list[ListInfo], folder: Path | None) -> None:
    """A table for a list that is not there is a typo, or a list that somebody thinks is in force."""
    stems = [Path(info.name).stem for info in lists if info.source != "file"]
    for name in tables.lists:
        if name not in stems and name != INDUCEMENT.stem:
            raise InvalidWords(f"{folder}/{OPTIONS_FILE}: there is no list {name!r}.", nearest(name, stems or ["none"]))


def _tally(rules: Part, of: Callable[[Rule], str]) -> dict[str, int]:
    """How many rules have which."""
    if isinstance(rules, WordBlock):
        return {of(rules.template): len(rules)} if len(rules) else {}
    return dict(Counter(map(of, rules)))


def _count(info: ListInfo, rules: Part, today: dt.date) -> ListInfo:
    return msgspec.structs.replace(info, in_force=len(Rules([rules]).holding(today)))


def _dated(rule: Rule) -> bool:
    return rule.valid_from is not None or rule.valid_until is not None


def _content(path: Path, overlay: Overlay) -> bytes:
    data = overlay.get(path)
    if data is not None:
        return data
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidWords(f"{path} can't be read: {error.strerror}.", "Name an existing file.") from error


def _stamp(path: Path) -> Stamp:
    try:
        found = path.stat()
    except OSError:
        return path, 0, -1, 0
    return path, found.st_mtime_ns, found.st_size, found.st_ino
