"""The desks: what annotators, reviewers and experts are given next, and what they do with it. See `Desk`."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import weakref
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Self

import msgspec

from feedback.annotations import Annotation, AnnotationInput, check_annotation
from feedback.errors import UnknownTurn
from feedback.labelling.board import Board
from feedback.labelling.board import Waiting as Waiting
from feedback.labelling.decisions import check_review, verdict_of
from feedback.labelling.loading import load_board
from feedback.labelling.records import Item, Profile, Review, Skip, Stage
from feedback.labelling.task import Desk as DeskName
from feedback.labelling.task import Draft, Filters, ReviewInput, SkipInput, Task, Today
from feedback.labelling.workflow import OwnWork
from feedback.mint import new_id, now
from feedback.settings import LabellingSettings
from feedback.store.database import Store
from feedback.store.tables import ANNOTATIONS, LEASES, REVIEWS, SKIPS
from service.corrections import words_in_annotation, words_in_note
from service.labelling import asking, past
from service.labelling.drafts import Drafts
from service.labelling.hands import Hands, refuse_busy
from service.labelling.inputs import ItemState as ItemState
from service.labelling.inputs import LeaseLost
from service.labelling.landing import Landing
from service.words.book import WordBook

TRIES = 5
"""How many items may turn out to be erased before somebody is told that nothing waits."""


class Desk:
    """On `parts.desk`, for the event loop's thread. A person is a name as `people.person_of` gives it.

    Whether their role is enough for a desk is for whoever calls `next` to know: nothing that reviewers or experts work
    on is taken but from there.

    Raises UnknownItem, LeaseLost (the draft is kept), OwnWork, InvalidReview, InvalidAnnotation, BlockedText, and what
    the store raises. What is sent twice, as by somebody whose connection broke, is stored once.
    """

    def __init__(self, store: Store, words: WordBook, data_dir: Path, rules: LabellingSettings, board: Board) -> None:
        self.board = board
        self.drafts = Drafts(data_dir)
        self._store, self._words, self._rules = store, words, rules
        self._landing = Landing()
        self._hands = Hands(store, board, self.drafts, self._landing)
        self._alone: weakref.WeakValueDictionary[tuple[str, str], asyncio.Lock] = weakref.WeakValueDictionary()

    @classmethod
    @contextlib.asynccontextmanager
    async def opened(
        cls, store: Store, words: WordBook, data_dir: Path, rules: LabellingSettings
    ) -> AsyncIterator[Self]:
        """`async with`: the desks as the store has them; at the end what is under way is waited for."""
        desk = cls(store, words, data_dir, rules, await asyncio.to_thread(load_board, store, rules))
        await asyncio.to_thread(desk.drafts.drop_old)
        try:
            yield desk
        finally:
            await desk._landing.close()

    async def next(self, person: str, desk: DeskName, filters: Filters | None = None) -> Task | None:
        """The item that they have at this desk, or the next one, which is theirs from now on; none: nothing waits."""
        profile, drafts = await asyncio.to_thread(self._about, person)
        for _ in range(TRIES):
            held = self.board.leases.at_desk(person, desk, now())
            try:
                if held is None:
                    case = self.board.pick(person, desk, filters or Filters(), profile, drafts)
                    if case is None:
                        return None
                    held = await self._hands.take(case, person)
                return await self._hands.shown(held)
            except (UnknownTurn, LeaseLost):  # erased since
                continue
        return None

    async def task(self, person: str, item_id: str) -> Task:
        """That item, if it is theirs, or free for them to take: then it is theirs from now on."""
        held = self.board.leases.of(person, item_id, now())
        if held is None:
            held = await self._hands.take(await self._hands.free(person, item_id), person)
        return await self._hands.shown(held)

    async def draft(self, person: str, item_id: str) -> Draft | None:
        """What they had filled in, also where the item is no longer theirs."""
        await past.item_of(self._store, self.board, item_id)
        return await asyncio.to_thread(self.drafts.read, item_id, person)

    async def autosave(self, person: str, item_id: str, draft: Draft) -> dt.datetime:
        """Keep what is filled in so far; the item is theirs for another `lease_minutes`: until when."""
        async with self._one(item_id, person):
            item = await past.item_of(self._store, self.board, item_id)
            try:
                held = self.board.leases.of(person, item_id, now())
                held = held or await self._hands.take(await self._hands.free(person, item_id), person)
            except LeaseLost:
                if not await past.had_to_do(self._store, self.board, item_id, person):
                    await asyncio.to_thread(self.drafts.write, item.turn_id, item_id, person, draft)
                raise
            await asyncio.to_thread(self.drafts.write, item.turn_id, item_id, person, draft)
            if (row := self.board.leases.renew(held, now())) is not None:
                await self._landing.see(self._store.add(LEASES, row), held, lambda: None)
            return held.expires_at

    async def annotate(self, person: str, item_id: str, given: AnnotationInput) -> Annotation:
        """Their annotation; the tier and the annotator of what is given do not matter."""
        given = msgspec.structs.replace(given, annotator=person, tier="annotator")
        check_annotation(given)
        async with self._one(item_id, person):
            try:
                case, held = await self._hands.own(person, item_id, "annotate", "return")
            except (LeaseLost, OwnWork):
                if (known := await past.same_annotation(self._store, self._words, person, item_id, given)) is not None:
                    return known
                raise
            given = words_in_annotation(self._words, given, case.item.turn_id)
            annotation = await self._hands.annotation(given, case, held)
            await self._hands.say(held, self._store.add(ANNOTATIONS, annotation), annotation)
            return annotation

    async def skip(self, person: str, item_id: str, given: SkipInput) -> None:
        """They would rather not; they aren't given it again."""
        async with self._one(item_id, person):
            try:
                case, held = await self._hands.own(person, item_id)
            except (LeaseLost, OwnWork):
                if await past.skipped(self._store, person, item_id):
                    return
                raise
            turn_id, note = case.item.turn_id, words_in_note(self._words, given.note, "note", case.item.turn_id)
            skip = Skip(
                skip_id=new_id("skip"), turn_id=turn_id, item_id=item_id, created_at=now(), person=person,
                reason=given.reason, note=note,
            )  # fmt: skip
            await self._hands.say(held, self._store.add(SKIPS, skip), skip)

    async def decide(self, person: str, item_id: str, given: ReviewInput) -> Review:
        """A reviewer's or an expert's decision, or an annotator's objection; with its annotation, or not at all."""
        async with self._one(item_id, person):
            try:
                case, held = await self._hands.own(person, item_id)
            except (LeaseLost, OwnWork):
                if (known := await past.same_review(self._store, self._words, person, item_id, given)) is not None:
                    return known
                raise
            turn_id = case.item.turn_id
            given = check_review(given, case, self.board.standing(item_id))
            reason = words_in_note(self._words, given.reason, "reason", turn_id)
            review = Review(
                review_id=new_id("review"), turn_id=turn_id, item_id=item_id, created_at=now(), person=person,
                decision=given.decision, annotation_id=given.annotation_id, reason=reason,
            )  # fmt: skip
            if (verdict := verdict_of(given, case, person)) is None:
                await self._hands.say(held, self._store.add(REVIEWS, review), review)
                return review
            check_annotation(verdict)
            annotation = await self._hands.annotation(words_in_annotation(self._words, verdict, turn_id), case, held)
            if given.decision == "decide":
                review = msgspec.structs.replace(review, annotation_id=annotation.annotation_id)
            stored = self._store.add(ANNOTATIONS, annotation, (REVIEWS, review))
            await self._hands.say(held, stored, annotation, review)
            return review

    async def release(self, person: str, item_id: str) -> None:
        """They let it go, and are given others first; the draft is kept for them."""
        async with self._one(item_id, person):
            at = now()
            held = self.board.leases.of(person, item_id, at)
            if held is None:
                await past.item_of(self._store, self.board, item_id)
                return
            refuse_busy(held)
            over = msgspec.structs.replace(held.lease, lease_id=new_id("lease"), created_at=at, expires_at=at)
            stored = self._store.add(LEASES, over)
            await self._landing.see(stored, held, lambda: self.board.let_go(person, item_id))

    async def today(self, person: str, since: dt.datetime | None = None) -> Today:
        """What they did since then; none: since midnight, UTC."""
        since = since or now().replace(hour=0, minute=0, second=0, microsecond=0)
        return await past.today(self._store, self.board, self._rules, person, since)

    async def waiting(self, person: str = "") -> Waiting:
        """How many items wait; for a person, those that they could be given."""
        if not person:
            return self.board.waiting()
        profile, _ = await asyncio.to_thread(self._about, person)
        return self.board.waiting(person, profile)

    def items(self, stage: Stage | None = None) -> list[ItemState]:
        """Open items, by id; of one stage, where one is named."""
        return asking.items(self.board, stage)

    async def ask_for(self, turn_ids: Sequence[str], *, annotators: int = 1, review: bool = False) -> list[Item]:
        """Turns that an operator wants looked at, as items; those that wait already are given as they are."""
        return await asking.ask_for(self._store, self.board, self._rules, turn_ids, annotators, review)

    def hears_of_erasures(self) -> Callable[[Sequence[str], str], None]:
        """What whoever erases is to call, in any thread: with the turns, or else the person, that were taken out of the
        store."""
        loop = asyncio.get_running_loop()

        def erased(turn_ids: Sequence[str], person: str) -> None:
            self.board.forget_turns(turn_ids)
            if person:
                self.board.forget_person(person)

        def told(turn_ids: Sequence[str], person: str) -> None:
            loop.call_soon_threadsafe(erased, list(turn_ids), person)

        return told

    @contextlib.asynccontextmanager
    async def _one(self, item_id: str, person: str) -> AsyncIterator[None]:
        """One thing at a time that a person does with an item: a draft must not be kept after it was sent."""
        lock = self._alone.setdefault((item_id, person), asyncio.Lock())
        async with lock:
            yield

    def _about(self, person: str) -> tuple[Profile | None, list[str]]:
        return past.profile_of(self._store, person), self.drafts.items_of(person)
