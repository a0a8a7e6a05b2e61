"""Many ratings in one request, each answered by itself: a bad one costs nobody else's.

A rating is a write of its own, so that each is checked against its turn; the writer commits them together. Where the
request has a key (an Idempotency-Key, a webhook's id) the ids of its ratings follow from it: sent again, what is stored
is found and told of again. Must never store a rating of somebody else's turn for a user's key.
"""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Mapping, Sequence

import msgspec

from feedback.errors import InvalidInput, InvalidRating, RatchetError, StoreBusy, StoreUnavailable
from feedback.mint import new_id, now
from feedback.ratings import Rating, RatingInput
from feedback.store.admission import unknown_turn
from feedback.store.database import Store
from feedback.store.tables import RATINGS
from service.callers import Caller
from service.commits import committed
from service.corrections import words_in_rating
from service.transfer.making import DIGITS, ending, minted
from service.turns import decode
from service.words.book import WordBook

BATCH_RATINGS = 1000
"""Most ratings in a request."""


class RatingOfTurn(RatingInput, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A rating, and of which turn."""

    turn_id: str


class RatingBatch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a client sends: 1 to 1,000 ratings."""

    ratings: list[RatingOfTurn]


class _Undecoded(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same, each rating still as bytes: one that is out of shape is answered by itself."""

    ratings: list[msgspec.Raw]


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """Why one rating was not stored, as an error says it."""

    code: str
    message: str
    mend: str


class RatingAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one rating: it has an id, or an error."""

    turn_id: str = ""
    rating_id: str | None = None
    error: Refusal | None = None


class RatingAnswers(msgspec.Struct, frozen=True, kw_only=True):
    """What became of all of them, in the order in which they came."""

    stored: int
    """On disk now, or from an earlier request with the same key."""
    failed: int
    answers: list[RatingAnswer]


class RatingIntake:
    """Takes one request's ratings."""

    def __init__(self, store: Store, words: WordBook, caller: Caller, *, key: tuple[str, ...] = ()) -> None:
        """`key`: what makes the request one that is known when it comes again; empty: it is a new one each time."""
        self._store = store
        self._words = words
        self._caller = caller
        self._key = key

    async def take(self, body: bytes) -> RatingAnswers:
        """Store what can be stored. Raises InvalidInput for a body that is no batch, StoreBusy, StoreUnavailable."""
        raws = decode(body, _Undecoded, InvalidInput).ratings
        if not 1 <= len(raws) <= BATCH_RATINGS:
            raise InvalidInput(
                f"The request has {len(raws)} ratings.", f"Send 1 to {BATCH_RATINGS:,} in one; split larger ones."
            )
        given = [_decoded(raw) for raw in raws]
        owners, known = await asyncio.to_thread(self._look, [one for one in given if isinstance(one, RatingOfTurn)])
        made = await asyncio.to_thread(lambda: [self._made(at, one, owners) for at, one in enumerate(given)])
        answers = await asyncio.gather(*(self._stored(one, known) for one in made))
        stored = sum(one.rating_id is not None for one in answers)
        return RatingAnswers(stored=stored, failed=len(answers) - stored, answers=list(answers))

    def _look(self, given: Sequence[RatingOfTurn]) -> tuple[dict[str, str], dict[str, str]]:
        """Whose each turn is; and the ratings of these turns by the ends of their ids, where there is a key."""
        ids = sorted({one.turn_id for one in given})
        inside = "IN (SELECT unnest(?::VARCHAR[]))"
        with self._store.reader() as cursor:
            owners = dict(
                cursor.execute(f"SELECT turn_id, subject FROM turns WHERE turn_id {inside}", [ids]).fetchall()
            )
            if not self._key:
                return owners, {}
            rows = cursor.execute(f"SELECT rating_id FROM ratings WHERE turn_id {inside}", [ids]).fetchall()
        return owners, {rating_id[-DIGITS:]: rating_id for (rating_id,) in rows}

    def _made(
        self, at: int, given: RatingOfTurn | RatchetError, owners: Mapping[str, str]
    ) -> Rating | tuple[str, RatchetError]:
        """The rating as it may be stored, or why not."""
        if isinstance(given, RatchetError):
            return "", given
        try:
            if given.turn_id not in owners or not self._caller.may_see(owners[given.turn_id]):
                raise unknown_turn(given.turn_id)
            return self._rating(at, given)
        except RatchetError as error:
            return given.turn_id, error

    def _rating(self, at: int, given: RatingOfTurn) -> Rating:
        fields = {name: getattr(given, name) for name in RatingInput.__struct_fields__}
        if self._caller.subject:
            fields["rater"] = self._caller.subject
        kept = words_in_rating(self._words, RatingInput(**fields), given.turn_id)
        moment: dt.datetime = now()
        end = ending("keyed-rating", *self._key, at, given) if self._key else ""
        rating = Rating(
            rating_id=minted("rating", moment, end) if end else new_id("rating"),
            turn_id=given.turn_id,
            created_at=moment,
            **msgspec.structs.asdict(kept),
        )
        RATINGS.row(rating)  # raises for what can't be stored
        return rating

    async def _stored(self, made: Rating | tuple[str, RatchetError], known: Mapping[str, str]) -> RatingAnswer:
        """Store it and say so. Raises StoreBusy, StoreUnavailable: then the whole request is to be sent again."""
        if not isinstance(made, Rating):
            turn_id, error = made
            return RatingAnswer(turn_id=turn_id[:64], error=_refusal(error))
        rating_id = known.get(made.rating_id[-DIGITS:])
        if rating_id is None:
            try:
                await committed(self._store.add_rating(made))
            except (StoreBusy, StoreUnavailable):
                raise
            except RatchetError as error:
                return RatingAnswer(turn_id=made.turn_id, error=_refusal(error))
            rating_id = made.rating_id
        return RatingAnswer(turn_id=made.turn_id, rating_id=rating_id)


def _decoded(raw: msgspec.Raw) -> RatingOfTurn | RatchetError:
    try:
        return decode(bytes(raw), RatingOfTurn, InvalidRating)
    except RatchetError as error:
        return error


def _refusal(error: RatchetError) -> Refusal:
    return Refusal(code=error.code, message=error.message, mend=error.mend)
