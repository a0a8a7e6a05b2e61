"""The tables: which struct's fields are the columns of which, ids first and long text last.

A table that is about turns has the turn's id second. Whatever is added here is erased with its turn and with whoever
wrote it, and stands in their export: `removal` and the export go through `TABLES`.
"""

from __future__ import annotations

from typing import Any

from feedback.annotations import Annotation
from feedback.keyed import KeyedAnswer
from feedback.keys import KeyCreated, KeyRevoked
from feedback.labelling.records import Gold, Guideline, Item, Lease, Profile, Review, Skip
from feedback.preferences import Preference
from feedback.quality.records import Lift, Quarantine
from feedback.ratings import Rating
from feedback.store.table import Table
from feedback.turns import Turn

TURNS = Table(
    "turns",
    Turn,
    (
        "turn_id", "conversation_id", "created_at", "alias", "version", "model_tag", "dialect", "status", "done_reason",
        "subject", "prompt_tokens", "reply_tokens", "first_token_ms", "total_ms", "uncertainty", "options",
        "filter_hits", "attachments", "messages", "reply",
    ),
    json=("options", "filter_hits", "attachments", "messages"),
)  # fmt: skip
RATINGS = Table(
    "ratings",
    Rating,
    (
        "rating_id", "turn_id", "created_at", "rater", "verdict", "stars", "task_completed", "reasons", "comment",
        "corrected_reply",
    ),
    json=("reasons",),
    by="rater",
)  # fmt: skip
ANNOTATIONS = Table(
    "annotations",
    Annotation,
    (
        "annotation_id", "turn_id", "created_at", "annotator", "tier", "accuracy", "fluency", "item_id", "guideline",
        "seconds", "category", "flags", "accept", "note", "corrected_reply",
    ),
    json=("accept", "flags"),
    by="annotator",
)  # fmt: skip
KEYS = Table(
    "api_keys",
    KeyCreated,
    (
        "key_id", "created_at", "role", "store", "expires_at", "requests_per_minute", "tokens_per_minute", "name",
        "subject", "scopes", "aliases", "secret_hash",
    ),
    json=("scopes", "aliases"),
    of_turns=False,
)  # fmt: skip
REVOCATIONS = Table(
    "api_key_revocations", KeyRevoked, ("revocation_id", "key_id", "created_at"), json=(), of_turns=False
)
KEYED = Table(
    "idempotency_keys",
    KeyedAnswer,
    ("key_hash", "turn_id", "answer_id", "created_at", "request_hash", "said"),
    json=(),
)
PREFERENCES = Table(
    "preferences",
    Preference,
    ("preference_id", "turn_id", "other_turn_id", "created_at", "rater", "preferred", "reasons", "comment"),
    json=("reasons",),
    by="rater",
)
ITEMS = Table(
    "items",
    Item,
    (
        "item_id", "turn_id", "created_at", "project", "choice", "probability", "annotators", "review", "language",
        "topic", "version",
    ),
)  # fmt: skip
LEASES = Table(
    "leases", Lease, ("lease_id", "turn_id", "item_id", "created_at", "person", "stage", "expires_at"), by="person"
)
SKIPS = Table("skips", Skip, ("skip_id", "turn_id", "item_id", "created_at", "person", "reason", "note"), by="person")
REVIEWS = Table(
    "reviews",
    Review,
    ("review_id", "turn_id", "item_id", "created_at", "person", "decision", "annotation_id", "reason"),
    by="person",
)
GOLD = Table(
    "gold",
    Gold,
    ("gold_id", "turn_id", "item_id", "created_at", "author", "accuracy", "fluency", "retired", "note"),
    by="author",
)
GUIDELINES = Table(
    "guidelines",
    Guideline,
    ("guideline_id", "created_at", "project", "version", "author", "text"),
    of_turns=False,
)
"""Has no `by`: the rules of a project outlive whoever wrote them, and erasing a person blanks the author only."""
PROFILES = Table(
    "profiles",
    Profile,
    ("profile_id", "created_at", "person", "languages", "topics"),
    json=("languages", "topics"),
    of_turns=False,
    by="person",
)
QUARANTINES = Table(
    "quarantines", Quarantine, ("quarantine_id", "created_at", "kind", "target", "reason", "evidence"), of_turns=False
)
LIFTS = Table("lifts", Lift, ("lift_id", "quarantine_id", "created_at", "operator", "reason"), of_turns=False)
TABLES: tuple[Table[Any], ...] = (
    TURNS, RATINGS, PREFERENCES, ANNOTATIONS, ITEMS, LEASES, SKIPS, REVIEWS, GOLD, GUIDELINES, PROFILES, QUARANTINES,
    LIFTS, KEYS, REVOCATIONS, KEYED,
)  # fmt: skip
