"""Putting a version in the champion's place without a request failing.

    place it on every host (`placing`) → swap alias.json → drain → unload the old one

Everything that can go wrong goes wrong before the swap, while the champion serves on; the swap is one rename; what
comes after it only tidies up, and its failures are reported, not raised. The old version stays on the upstream's disk:
that is where a rollback goes. What must never happen: an alias that names a model which is not loaded, not the file
that was judged, or prompted otherwise than it was trained; or an unload of what serves.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import msgspec

from feedback.errors import Conflict, RatchetError, Unavailable
from feedback.mint import now
from learner.alias import Alias, AliasFile, Served, read_aliases, write_aliases
from learner.placing import Placed, Site, mirror, place, push, tag_of, unload_everywhere
from learner.records import VersionManifest

PREVIOUS_KEPT = 10
GRACE_S = 0.5
"""Wait between the swap and the unload: a request that read the old alias just before has reached the upstream."""
POLL_S = 0.1


class ChampionMoved(Conflict):
    code = "champion-moved"


class NothingToRollBack(Conflict):
    code = "nothing-to-roll-back"


class Deployed(Placed, frozen=True, kw_only=True):
    """What a deploy did."""

    version: str
    tag: str
    previous: str | None
    """The version that served before; none for the first."""
    flip_ms: float
    """How long the swap itself took: the rename of alias.json."""
    drained: bool
    """Whether the old version was seen to leave memory within drain_timeout_s; if not, it leaves when its last reply
    has ended."""


def champion_of(site: Site) -> Alias | None:
    """The alias as it stands; none before the first version serves."""
    return read_aliases(site.alias_file).aliases.get(site.model)


def promote(site: Site, version: str, reason: str, *, expected: str | None = None) -> Deployed:
    """Make a registered version the champion.

    `expected` is the champion that it was judged against: where another serves by now, nothing is swapped.

    Raises UnknownVersion, VersionCorrupt, ChampionMoved, SmokeTestFailed, PromptMismatch and the upstream's errors; the
    champion then serves on.
    """
    return _deploy(site, site.registry.get(site.model, version), reason, expected=expected, back=False)


def rollback(site: Site, reason: str) -> Deployed:
    """Make the former champion the champion again. Raises NothingToRollBack, and what `promote` raises."""
    alias = champion_of(site)
    if alias is None or not alias.previous:
        raise NothingToRollBack(f"{site.model} has no former champion.", "Promote a version by its number instead.")
    manifest = site.registry.get(site.model, alias.previous[0].version)
    return _deploy(site, manifest, reason, expected=alias.champion.version, back=True)


def bootstrap(site: Site, base: VersionManifest) -> Deployed | None:
    """See that something serves: the base where the alias is missing, else the champion, pushed and loaded if need be.

    Returns what was deployed; none where the champion was there already.
    """
    alias = champion_of(site)
    if alias is None:
        return _deploy(site, base, "bootstrap", expected=None, back=False)
    manifest = site.registry.get(site.model, alias.champion.version)
    push(site, manifest, alias.champion.tag)
    site.upstream.load(alias.champion.tag)
    mirror(site, manifest, alias.champion.tag)
    return None


def _deploy(site: Site, manifest: VersionManifest, reason: str, *, expected: str | None, back: bool) -> Deployed:
    before = champion_of(site)
    _check_champion(site, before, expected, manifest)
    tag = tag_of(manifest)
    serving = before is not None and before.champion.tag == tag
    try:
        placed = place(site, manifest, tag)
        old, flip_ms = _swap(site, manifest, tag, reason, expected=expected, back=back)
    except RatchetError:
        if not serving:
            _let_go(site, tag)
        raise
    drained = old is None or _drain(site, old, manifest)
    return Deployed(
        version=manifest.version, tag=tag, previous=None if before is None else before.champion.version,
        flip_ms=flip_ms, drained=drained, **msgspec.structs.asdict(placed),
    )  # fmt: skip


def _swap(
    site: Site, manifest: VersionManifest, tag: str, reason: str, *, expected: str | None, back: bool
) -> tuple[Served | None, float]:
    """Replace alias.json; returns who served before and the milliseconds that the rename took."""
    with _alias_lock(site):
        file = read_aliases(site.alias_file)
        alias = file.aliases.get(site.model)
        _check_champion(site, alias, expected, manifest)
        site.upstream.load(tag)  # a drain that ran meanwhile may have let it go; loaded already, this costs nothing
        served = Served(version=manifest.version, tag=tag)
        if alias is None:
            moved = Alias(champion=served, changed_at=now(), reason=reason)
        elif alias.champion == served:
            return None, 0.0
        else:
            previous = alias.previous[1:] if back else [alias.champion, *alias.previous]
            previous = [one for one in previous if one.version != served.version][:PREVIOUS_KEPT]
            beside = alias.challenger is not None and alias.challenger != served
            moved = Alias(
                champion=served, challenger=alias.challenger if beside else None,
                challenger_share=alias.challenger_share if beside else 0.0, changed_at=now(), reason=reason,
                previous=previous,
            )  # fmt: skip
        flip_s = write_aliases(site.alias_file, AliasFile(aliases={**file.aliases, site.model: moved}))
    return None if alias is None else alias.champion, flip_s * 1000


def _check_champion(site: Site, alias: Alias | None, expected: str | None, manifest: VersionManifest) -> None:
    serving = None if alias is None else alias.champion.version
    if expected is not None and serving not in (expected, manifest.version):
        raise ChampionMoved(
            f"{manifest.version} was judged against {expected}, but {serving} serves by now.",
            f"If it is wanted all the same: `ratchet promote {manifest.version}`.",
        )


def _drain(site: Site, old: Served, new: VersionManifest) -> bool:
    """Let the old version finish and leave memory; whether it was seen to go in time.

    keep_alive 0 does both: a model that is still answering goes when its last reply has ended. A version of the same
    weights stays: Ollama runs both in one runner, which now serves.
    """
    if _weights_of(site, old) == new.gguf_sha256:
        return True
    time.sleep(GRACE_S)
    limit = time.monotonic() + site.settings.drain_timeout_s
    try:
        with _alias_lock(site):
            if _in_use(site, old.tag):
                return False
            unload_everywhere(site, old.tag)
        while old.tag in site.upstream.loaded():
            if time.monotonic() > limit:
                return False
            time.sleep(POLL_S)
    except Unavailable:
        return False  # the new version serves already: an upstream that fails now is the gateway's to report
    return True


def _weights_of(site: Site, served: Served) -> str | None:
    """The hash of a version's GGUF; none where the registry lost the version."""
    try:
        return site.registry.get(site.model, served.version).gguf_sha256
    except RatchetError:
        return None


def _in_use(site: Site, tag: str) -> bool:
    aliases = read_aliases(site.alias_file).aliases.values()
    return any(tag in (one.champion.tag, one.challenger and one.challenger.tag) for one in aliases)


def _let_go(site: Site, tag: str) -> None:
    """Free the memory of what did not come to serve. A failure of this must not hide the one that led here."""
    with suppress(RatchetError), _alias_lock(site):
        if not _in_use(site, tag):
            unload_everywhere(site, tag)


@contextmanager
def _alias_lock(site: Site) -> Iterator[None]:
    """One writer of alias.json at a time, across processes; a dead one's lock is the kernel's to release."""
    site.data_dir.mkdir(parents=True, exist_ok=True)
    with (site.data_dir / "alias.lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
