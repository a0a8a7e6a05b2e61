"""Two drafts of one reply, so that somebody can say which they would rather have had.

A client asks twice for the same prompt, once for each place of a pair (`X-Draft: first`, `X-Draft: second`, and one
`X-Draft-Pair` for both). Where the alias has a challenger, the champion is in one place and the challenger in the
other; where it has none, or the model was named exactly, both are samples of the same one. Which place is whose is
drawn under a key that this process made up, so no client can know. Must never: tell in such an answer who made it.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from typing import Literal

import msgspec

from feedback.errors import MalformedBody
from learner.alias import Alias, Served
from service.aliases import Target

DRAFT_HEADER = b"x-draft"
PAIR_HEADER = b"x-draft-pair"
PAIR = re.compile(r"[A-Za-z0-9._:-]{8,128}")
NOBODYS_TAG = "draft"
"""Stands for a version's tag where a dialect has to name one."""
_KEY = secrets.token_bytes(16)


class Draft(msgspec.Struct, frozen=True, kw_only=True):
    """Which of two drafts is asked for."""

    place: Literal["first", "second"]
    pair: str
    """The same for both."""


def draft_of(place: bytes, headers: Mapping[bytes, bytes]) -> Draft:
    """What a request says that carries `X-Draft`. Raises MalformedBody."""
    pair = headers.get(PAIR_HEADER, b"").decode("latin-1")
    if not PAIR.fullmatch(pair):
        raise MalformedBody(
            "X-Draft came without the id of its pair.",
            "Send X-Draft-Pair, 8 to 128 letters, digits, `.`, `_`, `-` or `:`, the same for both drafts.",
        )
    match place:
        case b"first":
            return Draft(place="first", pair=pair)
        case b"second":
            return Draft(place="second", pair=pair)
    raise MalformedBody("X-Draft is neither first nor second.", "Ask for each of the two.")


def target_of(target: Target, draft: Draft) -> Target:
    """The same target, with the version that answers in this place."""
    if target.chosen is not None or target.alias is None or not _tries(target.alias):
        return target
    return msgspec.structs.replace(target, chosen=_drawn(target.alias, draft))


def _tries(alias: Alias) -> bool:
    return alias.challenger is not None and alias.challenger_share > 0


def _drawn(alias: Alias, draft: Draft) -> Served:
    assert alias.challenger is not None, "only asked of an alias that tries one"
    odd = hashlib.blake2b(draft.pair.encode(), key=_KEY, digest_size=1).digest()[0] & 1
    return alias.champion if odd == (draft.place == "first") else alias.challenger
