"""Putting an item into somebody's hands, showing it to them, and taking what they say of it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future

import msgspec

from feedback.annotations import Annotation, AnnotationInput
from feedback.errors import Conflict, UnknownTurn
from feedback.labelling.board import Board
from feedback.labelling.leases import Held
from feedback.labelling.records import Lease, Review, Skip, Stage
from feedback.labelling.showing import annotations_shown, item_shown, reviews_shown
from feedback.labelling.task import Draft, Task
from feedback.labelling.workflow import Case, OwnWork
from feedback.mint import new_id, now
from feedback.store.database import Store
from feedback.store.tables import LEASES
from feedback.turns import Turn
from service.labelling import past
from service.labelling.drafts import Drafts
from service.labelling.inputs import LeaseLost
from service.labelling.landing import Landing

LOST = "Your draft is kept. Ask for the next item: it is this one again, if it is free and for you."


class Hands:
    """For the event loop's thread. Between finding an item free and `take` or `own` holding it nothing is awaited."""

    def __init__(self, store: Store, board: Board, drafts: Drafts, landing: Landing) -> None:
        self._store, self._board, self._drafts, self._landing = store, board, drafts, landing

    async def free(self, person: str, item_id: str) -> Case:
        """An item that they could be given. Raises UnknownItem, OwnWork, LeaseLost."""
        case = self._board.case(item_id)
        if case is None:
            await past.item_of(self._store, self._board, item_id)
            raise LeaseLost("This item is closed.", "Ask for the next one.")
        stage = self._board.stage(item_id)
        if self._board.free(person, item_id):
            if stage in ("annotate", "return") or self._board.leases.had(person, item_id) is not None:
                return case
            # Whether they may sit at that desk is for the desk to know, which gave it to them before, or did not.
            raise LeaseLost(f"This item was not given to you at the desk {stage!r}.", LOST)
        if self._board.leases.holders(item_id, now()):
            raise LeaseLost("Somebody else has this item now.", LOST)
        if stage in ("review", "expert") and person in case.people:
            raise OwnWork("Nobody decides about their own work.", "Leave it to a colleague.")
        raise LeaseLost("This item is not for you now.", LOST)

    async def take(self, case: Case, person: str) -> Held:
        """Give it to them, durably."""
        lease = self._lease(case, person)
        stored = self._store.add(LEASES, lease)
        held = self._board.leases.hold(lease)
        await self._landing.see(stored, held, lambda: None, lambda error: self._not_taken(error, held))
        return held

    async def own(self, person: str, item_id: str, *stages: Stage) -> tuple[Case, Held]:
        """The item that they have. One that their lease on has run out is theirs still while nobody else took it."""
        held = self._board.leases.of(person, item_id, now())
        case = self._board.case(item_id) if held is not None else await self.free(person, item_id)
        stage = self._board.stage(item_id)
        if case is None or (stages and stage not in stages):
            raise LeaseLost("This item waits for something else now.", LOST)
        if held is None:
            held = self._board.leases.hold(self._lease(case, person))
        refuse_busy(held)
        return case, held

    async def shown(self, held: Held) -> Task:
        """What they have before them. Raises UnknownTurn, LeaseLost where it was erased just now."""
        item_id, person = held.lease.item_id, held.person
        case = self._board.case(item_id)
        if case is None:
            raise LeaseLost("This item is closed.", "Ask for the next one.")
        standing = self._board.standing(item_id)
        try:
            turn, draft, held.guideline = await asyncio.to_thread(self._read, case, person)
        except UnknownTurn:
            self._board.forget_turns([case.item.turn_id])
            raise
        return Task(
            item=item_shown(case.item, standing.stage),
            stage=standing.stage,
            lease_id=held.lease.lease_id,
            expires_at=held.expires_at,
            messages=turn.messages,
            reply=turn.reply,
            attachments=turn.attachments,
            annotations=annotations_shown(case, standing, person),
            reviews=reviews_shown(case, standing),
            draft=draft,
            guideline=held.guideline,
        )

    async def annotation(self, given: AnnotationInput, case: Case, held: Held) -> Annotation:
        """What is given as it is stored; `given` has been through the word filter."""
        project, guideline = case.item.project, held.guideline
        if not guideline:  # the item was not shown since the gateway started, or there is none
            guideline = await asyncio.to_thread(past.guideline_of, self._store, project)
        at = now()
        return Annotation(
            annotation_id=new_id("annotation"),
            turn_id=case.item.turn_id,
            created_at=at,
            item_id=case.item.item_id,
            guideline=guideline,
            seconds=(at - held.since).total_seconds(),
            **msgspec.structs.asdict(given),
        )

    async def say(self, held: Held, stored: Future[None], *words: Annotation | Review | Skip) -> None:
        """See it onto the disk and the board; the draft has then served."""
        item_id, person = held.lease.item_id, held.person
        await self._landing.see(
            stored, held, lambda: self._board.said(item_id, person, *words), lambda error: self._erased(error, held)
        )
        await asyncio.to_thread(self._drafts.remove, item_id, person)

    def _lease(self, case: Case, person: str) -> Lease:
        at, item = now(), case.item
        return Lease(
            lease_id=new_id("lease"), turn_id=item.turn_id, item_id=item.item_id, created_at=at, person=person,
            stage=self._board.standing(item.item_id).stage, expires_at=at + self._board.leases.lasts,
        )  # fmt: skip

    def _not_taken(self, error: Exception, held: Held) -> None:
        self._board.leases.drop(held.lease.item_id, held.person)
        self._erased(error, held)

    def _erased(self, error: Exception, held: Held) -> None:
        if isinstance(error, UnknownTurn):
            self._board.forget_turns([held.lease.turn_id])

    def _read(self, case: Case, person: str) -> tuple[Turn, Draft | None, int]:
        turn = self._store.turn(case.item.turn_id)
        draft = self._drafts.read(case.item.item_id, person)
        return turn, draft, past.guideline_of(self._store, case.item.project)


def refuse_busy(held: Held) -> None:
    """Raise Conflict where what they sent a moment ago is on its way to the disk."""
    if held.busy:
        raise Conflict("What you sent for this item is being stored.", "Ask again in a moment.")
