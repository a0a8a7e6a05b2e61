"""Settings: one TOML file, one frozen struct per table, loaded once at the entry point and passed in.

Precedence: `RATCHET_<TABLE>_<KEY>` in the environment, then the file, then the default. A key or table that nobody
reads is refused by name with the nearest valid one, so that a typo can't silently mean the default. Must never be read
at import.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from feedback.errors import InvalidSettings

Kind = TypeVar("Kind", bound=msgspec.Struct)


class StoreSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table [store]: where everything lies that must survive."""

    data_dir: Path = Path("data")
    """The data folder: database, snapshots, runs, registry, alias, journal, requests."""
    queue_limit: int = 10_000
    """Writes that may wait for the writer before further ones are refused with `store-busy`."""
    wal_autocheckpoint_mib: int = 16
    """How large the write-ahead log may grow, MiB, before the writer folds it into the database file while further
    writes wait: about 0.1 s at 16, 0.3 s at 64."""
    idle_checkpoint_s: float = 2.0
    """Seconds without a write after which the writer folds the log in, while nobody waits for it."""
    memory_limit_mib: int = 1024
    """Memory that DuckDB may use in the gateway, MiB. Folding the log in needs room for 2,048 turns' text."""
    retention_days: int = 0
    """Days after which a turn is removed for good, with its ratings, annotations and attachments; 0 keeps all."""


class PoolSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table [pool]: which turns may be learnt from."""

    min_tokens: int = 50
    """Fewest tokens, prompt and reply together, in the base model's own tokens."""
    max_tokens: int = 512
    """Most tokens, prompt and reply together."""
    heldout_percent: int = 20
    """Share of conversations, by hash of their opening, that is never trained on and asked in evaluation. Don't change
    it on a store that was trained from: a conversation once held out must stay so."""
    validation_percent: int = 10
    """Share of conversations used to stop early and to choose the adapter's scale."""
    near_copy_similarity: float = 0.8
    """Jaccard similarity of character 5-grams (2-grams in Chinese, Japanese and Korean) from which two prompts count as
    near copies, above 0 and at most 1."""
    max_age_days: int = 0
    """Oldest turn admitted, in days; 0 admits every age."""
    min_train_rows: int = 8
    """Fewest training rows for a snapshot to be worth a cycle."""


class LabellingSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table [labelling]: who is asked to look at what."""

    lease_minutes: float = 30.0
    """How long an item is one person's, minutes; each autosave begins it anew."""
    second_share: float = 0.2
    """Share of items, 0 to 1, that a second person annotates without seeing the first's answer."""
    review_share: float = 0.1
    """Share of items on which nobody disagrees that a reviewer looks at all the same, 0 to 1."""
    gold_share: float = 0.05
    """Share of an annotator's items that are gold, 0 to 1, while there is gold that they have not seen."""
    open_items: int = 500
    """How many items are kept waiting for a first annotation; more are chosen when fewer wait."""
    random_share: float = 0.3
    """Share of chosen items that is drawn at random from all turns, 0 to 1. Keep it above 0: estimates need it."""
    topic_quota: float = 0.4
    """Largest share of one topic among the items chosen for one reason, 0 to 1, while others have turns left."""
    version_quota: float = 0.6
    """The same of one version, within a topic."""
    topics: dict[str, list[str]] = {}
    """Topics by name, each with its key words: `{harbour = ["ferry", "渡轮"]}`; empty: the built-in ones."""
    skips_limit: int = 3
    """After so many people have skipped it an item is dropped."""


class QualitySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Table [quality]: whose verdicts are believed how much, and when somebody has to look at them first."""

    check_minutes: float = 10.0
    """Minutes between looks at new verdicts; 0 never looks by itself."""
    window_days: int = 180
    """How old a user's rating may be to count for the trust in whoever gave it, and to be looked at, days."""
    ratings_per_day: int = 200
    """Ratings of one rater in a day (UTC) that count; further ones are quarantined, and the rater where there are five
    times as many. 0: no quota."""
    subject_ratings_per_day: int = 500
    """Ratings on one person's turns in a day (UTC) that count, by whomever; further ones are quarantined. 0: no
    quota."""
    burst_ratings: int = 30
    """Ratings of one rater within `burst_seconds` from which on the rater is quarantined. 0 never."""
    burst_seconds: float = 60.0
    """How long a burst is, seconds."""
    copies_least: int = 5
    """Near-identical comments, by three raters or more, from which on their ratings are quarantined; one rater's own
    are from three times as many. 0 never."""
    copy_similarity: float = 0.8
    """Similarity from which comments count as near-identical, 0 to 1; see `pool.near_copy_similarity`."""
    crowd_votes: int = 20
    """Fewest ratings that can be compared with what trained people and other raters said, before a rater is quarantined
    for voting against them. 0 never."""
    drift_votes: int = 30
    """Fewest first verdicts of a rater that later ones are compared with, to see them drift. 0 never."""


def load_settings(
    tables: Mapping[str, type[msgspec.Struct]],
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
) -> dict[str, msgspec.Struct]:
    """Read `path` (none: defaults only) and the environment into one struct per table.

    `defaults` stand in for a struct's own, by table and key, where neither file nor environment says anything.

    Raises InvalidSettings, naming file, key and the nearest valid key.
    """
    given: dict[str, Any] = {}
    if path is not None:
        try:
            given = tomllib.loads(path.read_text("utf-8"))
        except OSError as error:
            raise InvalidSettings(
                f"The settings file {path} can't be read: {error.strerror}.", "Name an existing file."
            ) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidSettings(f"{path} is not TOML: {error}.", "Mend the line that it names.") from error
    where = str(path) if path else "the settings"
    for table in given:
        if table not in tables:
            raise InvalidSettings(f"{where} has an unknown table [{table}].", nearest(table, tables))
    env = os.environ if environ is None else environ
    return {
        table: _load_table(table, kind, given.get(table, {}), where, env, (defaults or {}).get(table, {}))
        for table, kind in tables.items()
    }


def nearest(name: str, valid: Mapping[str, Any] | list[str]) -> str:
    """The mend for an unknown name: the nearest valid one, or all of them."""
    close = difflib.get_close_matches(name, list(valid), n=1)
    return f"Did you mean {close[0]!r}?" if close else f"Valid are: {', '.join(valid)}."


def _load_table(
    table: str, kind: type[Kind], given: Any, where: str, env: Mapping[str, str], defaults: Mapping[str, Any]
) -> Kind:
    if not isinstance(given, dict):
        raise InvalidSettings(f"{where}: {table} is not a table.", f"Write [{table}] on a line of its own.")
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for key in given:
        if key not in fields:
            raise InvalidSettings(f"{where} has an unknown key {table}.{key}.", nearest(key, list(fields)))
    values = {**defaults, **given}
    values.update(_from_environment(table, list(fields), env))
    try:
        # strict=False lets "8080" from the environment be an int; a TOML file gives real types anyway.
        return msgspec.convert(values, kind, strict=False, dec_hook=_decode_path)
    except msgspec.ValidationError as error:
        raise InvalidSettings(
            f"{where}, table [{table}]: {error}.", "See the guide to settings for each key's type and unit."
        ) from error


def _from_environment(table: str, keys: list[str], env: Mapping[str, str]) -> dict[str, Any]:
    """`RATCHET_GATEWAY_PORT=8080` and the like; lists and tables are JSON."""
    found: dict[str, Any] = {}
    for key in keys:
        raw = env.get(f"RATCHET_{table}_{key}".upper())
        if raw is not None:
            found[key] = msgspec.json.decode(raw) if raw.startswith(("[", "{")) else raw
    return found


def _decode_path(kind: type, value: Any) -> Any:
    """msgspec knows no Path: take a string, with ~ expanded."""
    if kind is Path and isinstance(value, str):
        return Path(value).expanduser()
    raise TypeError(f"no setting may be of type {kind}")
