"""That something serves: the base model as 1.0.0 on a fresh data folder, the champion on one that has a past.

What `ratchet up` does before the gateway is told that it may answer. It needs neither torch nor the base converted for
training.
"""

from __future__ import annotations

from feedback.files import sha256_file
from learner.base_file import base_file
from learner.deploy import Deployed, bootstrap
from learner.placing import Site
from learner.records import VersionManifest
from learner.templates import served_for


def serve_something(site: Site) -> Deployed | None:
    """Register the settings' base if it is new, and see that the alias names a loaded model.

    Returns what was deployed; none where the champion of before serves on. Raises InvalidSettings for no base model,
    UnknownTemplate for one that can't be prompted, and the upstream's errors.
    """
    return bootstrap(site, registered_base(site))


def registered_base(site: Site, sha256: str = "") -> VersionManifest:
    """The version that is the settings' base model; registered if it is new. `sha256` spares hashing it once more."""
    gguf = base_file(site.settings)
    sha256 = sha256 or sha256_file(gguf)
    known = site.registry.base(site.model, sha256)
    return known or site.registry.register_base(site.model, gguf, sha256, served_for(gguf, site.settings))
