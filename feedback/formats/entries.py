"""What every format comes to: a turn with what was said of it, on its way in (`Entry`) or out (`Judged`).

A format's module reads one record of its file into entries and writes one judged turn as records. It knows shapes and
nothing else: ids, the word filter and the store belong to whoever imports. Must never guess what a field means: a
record that is not in the format's documented shape is refused with a reason, and nothing of it is taken.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from feedback.annotations import Annotation, AnnotationInput, Tier
from feedback.errors import InvalidInput
from feedback.judgement import judge
from feedback.preferences import Preference, Preferred
from feedback.ratings import Rating, RatingInput
from feedback.turns import Message, Turn

Which = Literal["all", "judged", "good"]
"""Which turns are exported: every one, those that somebody rated or annotated, or those that can be learnt from."""
ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
"""Roles of a message that are taken."""


class InvalidRecord(InvalidInput):
    """A record that can't be taken; nothing of it is stored."""

    code = "invalid-record"


class RatingRead(msgspec.Struct, frozen=True, kw_only=True):
    """A user's verdict in a record."""

    given: RatingInput
    at: dt.datetime | None = None
    """None: the format does not say."""
    rating_id: str = ""
    """Where it is an id of ours."""


class AnnotationRead(msgspec.Struct, frozen=True, kw_only=True):
    """A trained person's verdict in a record."""

    given: AnnotationInput
    at: dt.datetime | None = None
    seconds: float | None = None
    annotation_id: str = ""


class Rival(msgspec.Struct, frozen=True, kw_only=True):
    """Another reply to the same prompt, and which of the two was preferred. The entry's own is `first`."""

    reply: str
    preferred: Preferred
    model: str = ""
    rater: str = ""
    at: dt.datetime | None = None


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A turn as a record has it."""

    messages: list[Message]
    """What the model was sent, oldest first."""
    reply: str
    turn: Turn | None = None
    """The whole turn, where the format has it; its texts are above."""
    turn_id: str = ""
    """Where the record names a turn of ours, in whatever store it lies."""
    record_id: str = ""
    """What its source calls it, for lineage."""
    model: str = ""
    """Who answered, in its source's words."""
    subject: str = ""
    at: dt.datetime | None = None
    ratings: list[RatingRead] = []
    annotations: list[AnnotationRead] = []
    preferences: list[Preference] = []
    """Rows of ours, about turns that have ids of ours."""
    rival: Rival | None = None


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """A preference, and the text of the draft that it compares with; none where that turn is gone."""

    preference: Preference
    other_reply: str | None


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """A turn of the store and everything that was said of it, oldest first."""

    turn: Turn
    ratings: list[Rating] = []
    annotations: list[Annotation] = []
    preferences: list[Compared] = []
    """Those whose first draft it is."""

    @property
    def judged(self) -> bool:
        return bool(self.ratings or self.annotations or self.preferences)

    @property
    def target(self) -> str | None:
        """The text to learn: the reply, or its correction; none where nobody found it good or the turn is not whole."""
        whole = self.turn.status == "whole"
        return judge(self.turn.reply, self.ratings, self.annotations).target if whole else None

    def text(self, which: Which) -> str | None:
        """The reply that a format for training shows, if it shows this turn at all."""
        if which == "good":
            return self.target
        return self.target or self.turn.reply if self.turn.reply and (which == "all" or self.judged) else None

    @property
    def model(self) -> str:
        """Who answered: the version of ours, or the model by its source's name."""
        source = self.turn.options.get(SOURCE)
        named = source.get("model") if isinstance(source, dict) else None
        return named if isinstance(named, str) and named else self.turn.model_tag


SOURCE = "source"
"""The key in a turn's options under which an imported one keeps where it came from."""


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format."""

    name: str
    read: Callable[[Any, Tier], list[Entry]]
    """One record, decoded → its turns. `Tier`: that of annotators whose tier the record does not say. Raises
    InvalidRecord, InvalidInput."""
    write: Callable[[Judged, Which], list[Any]]
    """One turn → records, none where the format can't express it or has no place for it."""
    which: Which
    """What is exported where nobody says."""
    array: bool
    """Whether a file is one JSON array; else one JSON object a line. Either is read."""


def part(record: Any, key: str, kind: type[Any], default: Any = None) -> Any:
    """`record[key]`, of that kind; the default where it is missing or null. Raises InvalidRecord for another kind."""
    value = record.get(key) if isinstance(record, dict) else None
    if value is None:
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise InvalidRecord(f"{key} is no {_KINDS.get(kind, kind.__name__)}.", "See the format's own documents.")
    return value


def text_of(record: Any, key: str) -> str:
    """A text that must be there and say something. Raises InvalidRecord."""
    value: str = part(record, key, str, "")
    if not value.strip():
        raise InvalidRecord(f"{key} is missing or empty.", "See the format's own documents.")
    return value


def message(role: str, content: Any) -> Message:
    """One message; content in parts is joined, where all of them are text. Raises InvalidRecord."""
    if role not in ROLES:
        raise InvalidRecord("A message has an unknown role.", f"Roles are {', '.join(sorted(ROLES))}.")
    if isinstance(content, list):
        if not all(isinstance(one, dict) and isinstance(one.get("text"), str) for one in content):
            raise InvalidRecord("A message has a part that is no text.", "Images and sound can't be imported.")
        content = "".join(one["text"] for one in content)
    if content is None:
        content = ""  # a call of a tool, which has no text
    if not isinstance(content, str):
        raise InvalidRecord("A message's content is no text.", "Send a string, or a list of text parts.")
    return Message(role=role, content=content)


def each_reply(messages: Sequence[Message], teaches: Sequence[bool]) -> list[tuple[list[Message], str]]:
    """Every reply in a conversation with what stood before it: each answered prompt is a turn.

    `teaches`: whether the message counts. Raises InvalidRecord where none does.
    """
    found = [
        (list(messages[:place]), one.content)
        for place, one in enumerate(messages)
        if one.role == "assistant" and one.content.strip() and teaches[place] and _asked(messages[:place])
    ]
    if not found:
        raise InvalidRecord("No message is a reply to a user's.", "A turn needs a prompt and its reply.")
    return found


def _asked(before: Sequence[Message]) -> bool:
    return any(one.role == "user" for one in before)


def moment(value: Any) -> dt.datetime | None:
    """A time in seconds or milliseconds since 1970, or in ISO 8601; none for anything else."""
    try:
        if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
            return dt.datetime.fromtimestamp(value / 1000 if value > 1e11 else value, dt.UTC)
        if isinstance(value, str):
            found = dt.datetime.fromisoformat(value)
            return found if found.tzinfo else found.replace(tzinfo=dt.UTC)
    except (ValueError, OverflowError, OSError):
        return None
    return None


_KINDS = {str: "text", dict: "object", list: "list", int: "whole number"}
