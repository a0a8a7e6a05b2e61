"""Who has which item before them: one person an item, but for gold, and one item a person at each desk.

The rows of `LEASES` make it last over a restart; this is what they come to, kept in memory. A row is written when an
item is given out, when it is let go, and from time to time while its owner goes on: `due` says when. Must never give
out an item that somebody has.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Iterator

import msgspec

from feedback.labelling.records import Lease
from feedback.labelling.task import Desk
from feedback.labelling.workflow import DESKS
from feedback.mint import new_id

RENEWED_AFTER = 0.25
"""Share of a lease after which going on is written down: a restart costs nobody more than that."""


@dataclasses.dataclass(kw_only=True)
class Held:
    """An item in somebody's hands."""

    lease: Lease
    since: dt.datetime
    """When it was given to them."""
    expires_at: dt.datetime
    """Until when, by what they did since the row was written."""
    guideline: int = 0
    """The version of the guideline that they were shown."""
    busy: bool = False
    """What they sent is on its way to the disk: it can't expire meanwhile."""

    @property
    def person(self) -> str:
        return self.lease.person

    @property
    def desk(self) -> Desk:
        return DESKS[self.lease.stage]

    def live(self, at: dt.datetime) -> bool:
        return self.busy or at < self.expires_at


class Leases:
    """For one thread."""

    def __init__(self, lasts: dt.timedelta) -> None:
        self.lasts = lasts
        self._of_items: dict[str, dict[str, Held]] = {}
        self._of_people: dict[str, dict[str, Held]] = {}

    def holders(self, item_id: str, at: dt.datetime) -> list[Held]:
        """Whoever has it now."""
        return [held for held in self._of_items.get(item_id, {}).values() if held.live(at)]

    def of(self, person: str, item_id: str, at: dt.datetime) -> Held | None:
        """This person's hold on it, while it lasts."""
        held = self._of_items.get(item_id, {}).get(person)
        return held if held is not None and held.live(at) else None

    def had(self, person: str, item_id: str) -> Held | None:
        """The same, also where it has run out since and nobody else has taken the item."""
        return self._of_items.get(item_id, {}).get(person)

    def at_desk(self, person: str, desk: Desk, at: dt.datetime) -> Held | None:
        """What this person has before them there."""
        own = self._of_people.get(person, {}).values()
        return next((held for held in own if held.desk == desk and held.live(at)), None)

    def all(self, at: dt.datetime) -> Iterator[Held]:
        return (held for of in self._of_items.values() for held in of.values() if held.live(at))

    def hold(self, lease: Lease, since: dt.datetime | None = None) -> Held:
        """Put it into their hands; whose hold on it has run out loses it."""
        for gone in [
            held for held in self._of_items.get(lease.item_id, {}).values() if not held.live(lease.created_at)
        ]:
            self.drop(gone.lease.item_id, gone.person)
        held = Held(lease=lease, since=since or lease.created_at, expires_at=lease.expires_at)
        self._of_items.setdefault(lease.item_id, {})[lease.person] = held
        self._of_people.setdefault(lease.person, {})[lease.item_id] = held
        return held

    def renew(self, held: Held, at: dt.datetime) -> Lease | None:
        """It is theirs for as long again. The row to write down, if it is time for one."""
        held.expires_at = at + self.lasts
        if at - held.lease.created_at < self.lasts * RENEWED_AFTER:
            return None
        fresh = {"lease_id": new_id("lease"), "created_at": at, "expires_at": held.expires_at}
        held.lease = msgspec.structs.replace(held.lease, **fresh)
        return held.lease

    def drop(self, item_id: str, person: str) -> None:
        """They have it no longer."""
        for outer, one, other in ((self._of_items, item_id, person), (self._of_people, person, item_id)):
            inner = outer.get(one, {})
            inner.pop(other, None)
            if not inner:
                outer.pop(one, None)

    def drop_item(self, item_id: str) -> None:
        """Nobody has it."""
        for person in list(self._of_items.get(item_id, {})):
            self.drop(item_id, person)

    def drop_person(self, person: str) -> None:
        """They have nothing."""
        for item_id in list(self._of_people.get(person, {})):
            self.drop(item_id, person)
