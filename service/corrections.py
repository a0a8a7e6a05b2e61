"""What people write about a turn, through the word filter before it is stored.

A corrected reply is what the model is trained to say, so it is held to both sides' rules: those for what people write
and those for what the model says. One that has a word which blocks is refused, not masked: training on a mended half of
a forbidden sentence teaches the sentence. Masked words are stored masked. A phrase that right replies must hold is
refused if anything in it would be hidden, since no reply could ever hold it. Comments and notes, which are read and not
learnt, are masked and never refused: a moderator must be able to say what was wrong.
"""

from __future__ import annotations

import msgspec

from feedback.annotations import AnnotationInput, check_annotation
from feedback.errors import BlockedText
from feedback.preferences import PreferenceInput
from feedback.ratings import RatingInput, check_rating
from feedback.turns import FilterHit
from service.chat.fields import named
from service.words.book import WordBook
from service.words.filter import Checked
from service.words.rules import Direction


def words_in_rating(words: WordBook, given: RatingInput, turn_id: str) -> RatingInput:
    """The rating as it may be stored; hits are counted and logged. Raises BlockedText, InvalidRating."""
    seen = _Seen(words)
    try:
        changed = msgspec.structs.replace(
            given,
            comment=seen.note(given.comment, "comment"),
            reasons=[seen.note(reason, "reasons") for reason in given.reasons],
            corrected_reply=seen.correction(given.corrected_reply),
        )
    finally:
        seen.tell(turn_id)
    check_rating(changed)
    return changed


def words_in_annotation(words: WordBook, given: AnnotationInput, turn_id: str) -> AnnotationInput:
    """The annotation as it may be stored; hits are counted and logged. Raises BlockedText, InvalidAnnotation."""
    seen = _Seen(words)
    try:
        changed = msgspec.structs.replace(
            given,
            note=seen.note(given.note, "note"),
            category=seen.note(given.category, "category"),
            corrected_reply=seen.correction(given.corrected_reply),
            accept=[seen.phrase(phrase) for phrase in given.accept],
        )
    finally:
        seen.tell(turn_id)
    check_annotation(changed)
    return changed


def words_in_preference(words: WordBook, given: PreferenceInput) -> PreferenceInput:
    """The preference as it may be stored; hits are counted and logged."""
    seen = _Seen(words)
    try:
        return msgspec.structs.replace(
            given,
            comment=seen.note(given.comment, "comment"),
            reasons=[seen.note(reason, "reasons") for reason in given.reasons],
        )
    finally:
        seen.tell(given.first)


def words_in_note(words: WordBook, text: str, field: str, turn_id: str) -> str:
    """A text of the desks that only people read, as it may be stored; hits are counted and logged."""
    seen = _Seen(words)
    text = seen.note(text, field)
    seen.tell(turn_id)
    return text


class _Seen:
    """One verdict's texts, and what hit in them."""

    def __init__(self, words: WordBook) -> None:
        self._words = words
        self._serving = words.filter
        self._hits: list[FilterHit] = []

    def note(self, text: str, field: str) -> str:
        """A text that only people read. What blocks elsewhere is masked here."""
        return self._check(text, field, "in").text

    def correction(self, text: str | None) -> str | None:
        """A text to learn."""
        if text is None:
            return None
        written, said = self._both(text, "corrected_reply")
        if written.blocked or said.blocked:
            raise BlockedText("The corrected reply has a word that blocks.", "POST /words/check shows which.")
        return said.text

    def phrase(self, text: str) -> str:
        """A phrase that replies are scored by."""
        written, said = self._both(text, "accept")
        if written.blocked or said.blocked or said.text != text:
            raise BlockedText("accept has a phrase that the filter hides.", "POST /words/check shows which.")
        return text

    def tell(self, turn_id: str) -> None:
        """Count and log what hit."""
        self._words.note(self._hits, {}, turn=turn_id)

    def _both(self, text: str, field: str) -> tuple[Checked, Checked]:
        written = self._check(text, field, "in")
        return written, self._check(written.text, field, "out")

    def _check(self, text: str, field: str, direction: Direction) -> Checked:
        checked = self._serving.check(text, direction)
        self._hits.extend(named(checked.hits, field))
        return checked
