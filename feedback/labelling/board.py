"""The open items, in memory: where each stands, whose it is, and which one somebody is given next.

Made of the store's rows at start (`loading`) and kept up by whoever writes: first to the disk, then here. Closed items
are forgotten; the store has them. For one thread: between looking and taking nothing else may happen.

Must never give out an item that somebody has, or one that its person may not take.
"""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain

import msgspec

from feedback.annotations import Annotation
from feedback.labelling.lanes import Lanes, wanted
from feedback.labelling.leases import Leases
from feedback.labelling.records import Item, Profile, Review, Skip, Stage
from feedback.labelling.task import Desk, Filters
from feedback.labelling.workflow import CLOSED, DESKS, Case, Standing, may_take, standing_of
from feedback.mint import now
from feedback.settings import LabellingSettings


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """How many items wait, by desk: for a person, those that they could be given."""

    annotate: int
    returned: int
    """Given back to this person, or to anybody, to mend or to object; not counted in `annotate`."""
    review: int
    expert: int


class Board:
    """Open items and who has them."""

    def __init__(self, rules: LabellingSettings, draw: Callable[[], float] = random.random) -> None:
        """`draw` gives a number from 0 to 1, by which gold is mixed in."""
        self.leases = Leases(dt.timedelta(minutes=rules.lease_minutes))
        self._rules = rules
        self._draw = draw
        self._cases: dict[str, Case] = {}
        self._standings: dict[str, Standing] = {}
        self._lanes = Lanes()
        self._of_turns: dict[str, set[str]] = {}
        self._met: dict[str, set[str]] = {}
        """Person → open items that they had to do with: all others are theirs to take."""
        self._gold: set[str] = set()
        self._let_go: dict[str, set[str]] = {}
        """Person → items that they gave back: they are given others first."""

    def __len__(self) -> int:
        return len(self._cases)

    def add(self, items: Iterable[Item]) -> None:
        """New items, which are in the store by now; those that are here already stay as they are."""
        for item in items:
            if item.item_id not in self._cases:
                self.put(Case(item=item))

    def put(self, case: Case, met: Iterable[str] = ()) -> None:
        """An item with all that was said of it. `met`: who had to do with gold, of which nothing else is kept."""
        item = case.item
        self.forget([item.item_id])
        standing = standing_of(case, self._rules.skips_limit)
        if standing.stage in CLOSED:
            return
        self._cases[item.item_id], self._standings[item.item_id] = case, standing
        self._of_turns.setdefault(item.turn_id, set()).add(item.item_id)
        for person in chain(case.people, met):
            self._met.setdefault(person, set()).add(item.item_id)
        if item.annotators == 0:
            self._gold.add(item.item_id)
        else:
            self._lanes.add(item, standing)

    def case(self, item_id: str) -> Case | None:
        """The item, while it is open."""
        return self._cases.get(item_id)

    def standing(self, item_id: str) -> Standing:
        """Where an open item stands."""
        return self._standings[item_id]

    def stage(self, item_id: str) -> Stage | None:
        """Where it stands; none: it is not open."""
        standing = self._standings.get(item_id)
        return standing.stage if standing is not None else None

    def cases(self) -> Iterator[Case]:
        return iter(self._cases.values())

    def of_turn(self, turn_id: str) -> list[Item]:
        """Open items of a turn."""
        return [self._cases[item_id].item for item_id in sorted(self._of_turns.get(turn_id, ()))]

    @property
    def unannotated(self) -> int:
        """How many wait for a first annotation; gold does not."""
        return sum(
            standing.stage == "annotate" and item_id not in self._gold and not self._cases[item_id].annotations
            for item_id, standing in self._standings.items()
        )

    def said(self, item_id: str, person: str, *words: Annotation | Review | Skip) -> None:
        """Somebody has said something of it, which is on the disk by now: they have it no longer."""
        self.leases.drop(item_id, person)
        case = self._cases.get(item_id)
        if case is None:  # it was erased on the way
            return
        if item_id in self._gold:
            self._met.setdefault(person, set()).add(item_id)
            return
        for word in words:
            match word:
                case Annotation():
                    case = msgspec.structs.replace(case, annotations=(*case.annotations, word))
                case Review():
                    case = msgspec.structs.replace(case, reviews=(*case.reviews, word))
                case Skip():
                    case = msgspec.structs.replace(case, skips=(*case.skips, word))
        self.put(case)

    def free(self, person: str, item_id: str) -> bool:
        """Whether this person could be given the item now."""
        case, at = self._cases.get(item_id), now()
        if case is None or (item_id not in self._gold and self.leases.holders(item_id, at)):
            return False
        if item_id not in self._met.get(person, ()):
            return self._standings[item_id].stage != "return"
        return item_id not in self._gold and may_take(person, case, self._standings[item_id])

    def pick(
        self, person: str, desk: Desk, filters: Filters, profile: Profile | None = None, first: Sequence[str] = ()
    ) -> Case | None:
        """What to give them next at this desk; none: nothing waits that is for them. `first` are items that they had
        and would like to go on with."""
        again = (one for one in first if self.stage(one) is not None and DESKS[self._standings[one].stage] == desk)
        languages, topics = (profile.languages, profile.topics) if profile is not None else ([], [])
        let_go, last = self._let_go.get(person, set()), None
        for item_id in chain(again, self._lanes.ids(person, desk, filters, languages, topics)):
            case, stage = self._cases[item_id], self._standings[item_id].stage
            if filters.choice not in ("", case.item.choice) and stage != "return":
                continue
            if self.free(person, item_id):
                if item_id in let_go:
                    last = last or case
                    continue
                gold = stage == "annotate" and item_id not in first
                return (self._pick_gold(person, filters, languages, topics) if gold else None) or case
        return last

    def let_go(self, person: str, item_id: str) -> None:
        """They gave it back: somebody else may have it."""
        self.leases.drop(item_id, person)
        self._let_go.setdefault(person, set()).add(item_id)

    def waiting(self, person: str = "", profile: Profile | None = None) -> Waiting:
        """How many wait at each desk; for a person, those that they could be given."""
        returned = (one for one in self._standings.values() if one.stage == "return")
        return Waiting(
            annotate=self._count("annotate", person, profile),
            returned=sum(not person or one.whose == person for one in returned),
            review=self._count("review", person, profile),
            expert=self._count("expert", person, profile),
        )

    def forget(self, item_ids: Iterable[str]) -> None:
        """These are here no longer: closed, withdrawn or erased."""
        for item_id in item_ids:
            case = self._cases.pop(item_id, None)
            if case is None:
                continue
            self._lanes.remove(case.item, self._standings.pop(item_id))
            self._of_turns[case.item.turn_id].discard(item_id)
            if not self._of_turns[case.item.turn_id]:
                del self._of_turns[case.item.turn_id]
            for person in list(self._met) if item_id in self._gold else case.people:
                self._met[person].discard(item_id)
            self._gold.discard(item_id)
            for given_back in self._let_go.values():
                given_back.discard(item_id)
            self.leases.drop_item(item_id)

    def forget_turns(self, turn_ids: Iterable[str]) -> None:
        """These turns were taken out of the store."""
        for turn_id in turn_ids:
            self.forget(list(self._of_turns.get(turn_id, ())))

    def forget_person(self, person: str) -> None:
        """What this person said was taken out of the store: items stand where they would without it."""
        self.leases.drop_person(person)
        for item_id in self._met.pop(person, set()) - self._gold:
            case = self._cases[item_id]
            self._met[person] = {item_id}  # `forget` takes it out of there
            self.put(
                Case(
                    item=case.item,
                    annotations=tuple(one for one in case.annotations if one.annotator != person),
                    reviews=tuple(one for one in case.reviews if one.person != person),
                    skips=tuple(one for one in case.skips if one.person != person),
                )
            )
        self._met.pop(person, None)

    def _pick_gold(self, person: str, filters: Filters, languages: list[str], topics: list[str]) -> Case | None:
        """An item of gold that they have not seen, now and then, in place of another."""
        if self._draw() >= self._rules.gold_share:
            return None
        for item_id in sorted(self._gold - self._met.get(person, set())):
            item = self._cases[item_id].item
            if (
                filters.project in ("", item.project)
                and wanted(item.language, filters.language, languages)
                and wanted(item.topic, filters.topic, topics)
            ):
                return self._cases[item_id]
        return None

    def _count(self, desk: Desk, person: str, profile: Profile | None) -> int:
        """All that are there, less those that others have and those that the person may not take."""
        languages, topics = (profile.languages, profile.topics) if profile is not None else ([], [])
        total = self._lanes.count(desk, Filters(), languages, topics)
        if not person:
            return total
        held = {held.lease.item_id for held in self.leases.all(now()) if held.person != person} - self._gold
        return total - sum(
            self._is_for(item_id, desk, languages, topics)
            and (item_id in held or not may_take(person, self._cases[item_id], self._standings[item_id]))
            for item_id in (held | self._met.get(person, set())) - self._gold
        )

    def _is_for(self, item_id: str, desk: Desk, languages: list[str], topics: list[str]) -> bool:
        case = self._cases.get(item_id)
        if case is None:
            return False
        stage = self._standings[item_id].stage
        able = wanted(case.item.language, "", languages) and wanted(case.item.topic, "", topics)
        return stage != "return" and DESKS[stage] == desk and able
