"""A record's entries → the rows that may be stored: ids, times and lineage given, every text through the word filter.

Ids end in a hash of what came, so that the same thing gets the same ending whenever it comes, and what is stored is
known again by it. An id of ours that a record brings is kept. Must never give an imported turn a version: its reply is
none that a version of ours gave.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import re
from typing import Any

import msgspec

from feedback.annotations import Annotation
from feedback.errors import InvalidInput
from feedback.formats.entries import SOURCE, AnnotationRead, Entry, InvalidRecord, RatingRead, Rival
from feedback.mint import now
from feedback.preferences import Preference
from feedback.ratings import Rating
from feedback.turns import Message, Turn, conversation_of
from service.chat.fields import Fields
from service.corrections import words_in_annotation, words_in_rating
from service.words.book import WordBook

DIGITS = 20
"""Hex digits at the end of an id that are not its time."""
OURS = re.compile(r"(turn|rating|annotation|preference)-[0-9a-f]{32}")
ATTACHMENT = re.compile(r"[0-9a-f]{64}")


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where an import comes from."""

    format: str
    project: str
    """The alias that its turns are filed under; empty: the record's own, or `imported`."""


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """Where verdicts of an entry go: a turn that is stored, or is about to be."""

    turn_id: str
    at: dt.datetime
    """The time of a verdict that has none."""


def ending(name: str, *content: Any) -> str:
    """The end of the id of whatever has this content."""
    return hashlib.sha256(msgspec.json.encode([name, *content], order="deterministic")).hexdigest()[:DIGITS]


def minted(prefix: str, at: dt.datetime, end: str) -> str:
    """An id as `feedback.mint` makes them, with an ending of its own."""
    return f"{prefix}-{max(0, int(at.timestamp() * 1000)):012x}{end}"


def key_of(entry: Entry) -> str:
    """By which a turn is known again: the end of its id."""
    if own := own_id(entry):
        return own[-DIGITS:]
    return ending("turn", entry.messages, entry.reply, entry.model, entry.subject, entry.at)


def own_id(entry: Entry) -> str:
    """The id of ours that the entry names. A labelling tool's record may have somebody else's under the name of ours,
    which is none; a line of ours may not. Raises InvalidInput."""
    if entry.turn is None and not OURS.fullmatch(entry.turn_id):
        return ""
    return _ours("turn", entry.turn_id)


def rival_of(entry: Entry, rival: Rival) -> Entry:
    """The other draft as an entry of its own."""
    return Entry(
        messages=entry.messages,
        reply=rival.reply,
        record_id=entry.record_id,
        model=rival.model,
        subject=entry.subject,
        at=entry.at,
    )


def turn_of(words: WordBook, entry: Entry, key: str, origin: Origin) -> Turn:
    """The turn as it may be stored. Raises InvalidRecord."""
    at = min(entry.at or now(), now())
    kept = entry.turn
    turn_id = own_id(entry) or minted("turn", at, key)
    told, said = Fields(words.filter, "in"), Fields(words.filter, "out")
    messages = [
        Message(role=one.role, content=told.text(one.content, f"messages[{place}].content"))
        for place, one in enumerate(entry.messages)
    ]
    reply = said.text(entry.reply, "reply")
    hits = told.hits + said.hits
    words.note(hits, {}, turn=turn_id)
    source = {"format": origin.format, "id": entry.record_id, "model": entry.model}
    if kept is None:
        whole = Turn(
            turn_id=turn_id,
            conversation_id=conversation_of(entry.messages),
            created_at=at,
            alias=origin.project or "imported",
            version="",
            model_tag=f"imported:{origin.format}",
            dialect="openai",
            messages=messages,
            reply=reply,
            status="whole",
            filter_hits=hits,
            options={SOURCE: source},
            subject=entry.subject,
        )
    else:
        if not all(ATTACHMENT.fullmatch(name) for name in kept.attachments):
            raise InvalidRecord("turn.attachments holds something else than SHA-256.", "Write it as the export does.")
        whole = msgspec.structs.replace(
            kept,
            created_at=at,
            alias=origin.project or kept.alias,
            version="",
            model_tag=f"imported:{origin.format}",
            messages=messages,
            reply=reply,
            filter_hits=kept.filter_hits + hits,
            options={**kept.options, SOURCE: {**source, "version": kept.version}},
        )
    return msgspec.structs.replace(whole, status="blocked") if told.blocked or said.blocked else whole


def rating_of(words: WordBook, read: RatingRead, spot: Spot) -> Rating:
    """The rating as it may be stored. Raises InvalidRating, BlockedText."""
    at = read.at or spot.at
    end = ending("rating", spot.turn_id, read.given, read.at)
    given = words_in_rating(words, read.given, spot.turn_id)
    return Rating(
        rating_id=_ours("rating", read.rating_id) if read.rating_id else minted("rating", at, end),
        turn_id=spot.turn_id,
        created_at=min(at, now()),
        **msgspec.structs.asdict(given),
    )


def annotation_of(words: WordBook, read: AnnotationRead, spot: Spot) -> Annotation:
    """The annotation as it may be stored. Raises InvalidAnnotation, BlockedText."""
    at = read.at or spot.at
    end = ending("annotation", spot.turn_id, read.given, read.at)
    given = words_in_annotation(words, read.given, spot.turn_id)
    return Annotation(
        annotation_id=_ours("annotation", read.annotation_id) if read.annotation_id else minted("annotation", at, end),
        turn_id=spot.turn_id,
        created_at=min(at, now()),
        seconds=read.seconds,
        **msgspec.structs.asdict(given),
    )


def comparison(rival: Rival, spot: Spot, other_turn_id: str) -> Preference:
    """The preference that a pair of replies comes to. Raises InvalidRecord where they are one."""
    if other_turn_id == spot.turn_id:
        raise InvalidRecord("Both replies are the same.", "A preference needs two.")
    at = rival.at or spot.at
    end = ending("preference", spot.turn_id, other_turn_id, rival)
    return Preference(
        preference_id=minted("preference", at, end),
        turn_id=spot.turn_id,
        other_turn_id=other_turn_id,
        created_at=min(at, now()),
        rater=rival.rater,
        preferred=rival.preferred,
        reasons=[],
        comment="",
    )


def preference_of(words: WordBook, row: Preference, spot: Spot) -> Preference:
    """A row of ours as it may be stored. Raises InvalidRecord."""
    _ours("preference", row.preference_id)
    _ours("turn", row.other_turn_id)
    seen = Fields(words.filter, "in")
    kept = msgspec.structs.replace(
        row,
        created_at=min(row.created_at, now()),
        comment=seen.text(row.comment, "comment"),
        reasons=[seen.text(reason, "reasons") for reason in row.reasons],
    )
    words.note(seen.hits, {}, turn=spot.turn_id)
    return kept


def _ours(prefix: str, given: str) -> str:
    """The id, if it is one of ours. Raises InvalidInput."""
    if OURS.fullmatch(given) and given.startswith(f"{prefix}-"):
        return given
    raise InvalidInput(f"{prefix}_id is no id of ours.", f"Ids are {prefix}- and 32 hex digits; or leave it out.")
