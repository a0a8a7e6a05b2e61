"""What the store has of items, people and guidelines, for the desks: looked up where the board no longer has it."""

from __future__ import annotations

import asyncio
import datetime as dt

from feedback.annotations import Annotation, AnnotationInput
from feedback.errors import BlockedText
from feedback.labelling.board import Board
from feedback.labelling.loading import cases_of
from feedback.labelling.records import Item, Profile, Review, Skip, Stage
from feedback.labelling.showing import LATEST, today_of
from feedback.labelling.task import ReviewInput, Today
from feedback.labelling.workflow import standing_of
from feedback.settings import LabellingSettings
from feedback.store.database import Store
from feedback.store.tables import ANNOTATIONS, ITEMS, PROFILES, REVIEWS, SKIPS
from service.corrections import words_in_annotation, words_in_note
from service.labelling.inputs import UnknownItem
from service.words.book import WordBook

LAST = "ORDER BY created_at DESC LIMIT 1"
SAID = ("accuracy", "fluency", "corrected_reply", "accept", "note", "category", "flags")
"""What an annotator says, of an annotation's fields."""


async def item_of(store: Store, board: Board, item_id: str) -> Item:
    """The item, open or not. Raises UnknownItem."""
    case = board.case(item_id)
    if case is not None:
        return case.item
    found = await asyncio.to_thread(store.rows, ITEMS, "WHERE item_id = ? LIMIT 1", [item_id])
    if not found:
        raise UnknownItem(f"There is no item {item_id[:64]!r}.", "Take the id from what POST /queue/next gave.")
    return found[0]


async def had_to_do(store: Store, board: Board, item_id: str, person: str) -> bool:
    """Whether this person has said something of the item."""
    case = board.case(item_id)
    if case is None or case.item.annotators == 0:
        found = await asyncio.to_thread(cases_of, store, [item_id])
        return any(person in one.people for one in found)
    return person in case.people


def profile_of(store: Store, person: str) -> Profile | None:
    """What this person is asked to look at; none: everything."""
    found = store.rows(PROFILES, f"WHERE person = ? {LAST}", [person])
    return found[0] if found else None


def guideline_of(store: Store, project: str) -> int:
    """The version of the project's guideline that holds; 0: there is none."""
    with store.reader() as cursor:
        query = "SELECT coalesce(max(version), 0) FROM guidelines WHERE project = ?"
        return int(cursor.execute(query, [project]).fetchall()[0][0])


async def same_annotation(
    store: Store, words: WordBook, person: str, item_id: str, given: AnnotationInput
) -> Annotation | None:
    """What is stored already where they send the same again; none: it is something else."""
    where = f"WHERE item_id = ? AND annotator = ? AND tier = 'annotator' {LAST}"
    found = await asyncio.to_thread(store.rows, ANNOTATIONS, where, [item_id, person])
    if not found:
        return None
    try:
        given = words_in_annotation(words, given, found[0].turn_id)
    except BlockedText:  # by a word that came since, or another text
        return None
    return found[0] if all(getattr(given, name) == getattr(found[0], name) for name in SAID) else None


async def same_review(store: Store, words: WordBook, person: str, item_id: str, given: ReviewInput) -> Review | None:
    """As `same_annotation`, of a decision."""
    found = await asyncio.to_thread(store.rows, REVIEWS, f"WHERE item_id = ? AND person = ? {LAST}", [item_id, person])
    if not found:
        return None
    known = found[0]
    same = (
        known.decision == given.decision
        and known.reason == words_in_note(words, given.reason, "reason", known.turn_id)
        and given.annotation_id in ("", known.annotation_id)
        and (given.decision not in ("mend", "decide") or await _same_grades(store, known, given))
    )
    return known if same else None


async def _same_grades(store: Store, known: Review, given: ReviewInput) -> bool:
    where = f"WHERE item_id = ? AND annotator = ? AND tier <> 'annotator' {LAST}"
    found = await asyncio.to_thread(store.rows, ANNOTATIONS, where, [known.item_id, known.person])
    return bool(found) and (found[0].accuracy, found[0].fluency) == (given.accuracy, given.fluency)


async def skipped(store: Store, person: str, item_id: str) -> bool:
    """Whether they have skipped it already."""
    return bool(await asyncio.to_thread(store.rows, SKIPS, "WHERE item_id = ? AND person = ?", [item_id, person]))


async def today(store: Store, board: Board, rules: LabellingSettings, person: str, since: dt.datetime) -> Today:
    """What they did since then."""
    annotations, reviews, skips = await asyncio.to_thread(_since, store, person, since)
    told = [
        *((one.created_at, one.item_id) for one in annotations),
        *((one.created_at, one.item_id) for one in reviews),
        *((one.created_at, one.item_id) for one in skips),
    ]
    stages: dict[str, Stage] = {}
    closed: list[str] = []
    for item_id in {item_id for _, item_id in sorted(told, reverse=True)[:LATEST]}:
        case, stage = board.case(item_id), board.stage(item_id)
        if case is None or stage is None:
            closed.append(item_id)
        elif case.item.annotators:  # gold looks done
            stages[item_id] = stage
    for case in await asyncio.to_thread(cases_of, store, closed) if closed else []:
        if case.item.annotators:
            stages[case.item.item_id] = standing_of(case, rules.skips_limit).stage
    return today_of(annotations, reviews, skips, stages)


def _since(store: Store, person: str, since: dt.datetime) -> tuple[list[Annotation], list[Review], list[Skip]]:
    values = [since.astimezone(dt.UTC).replace(tzinfo=None), person]
    return (
        store.rows(ANNOTATIONS, "WHERE created_at >= ? AND annotator = ? AND item_id <> ''", values),
        store.rows(REVIEWS, "WHERE created_at >= ? AND person = ?", values),
        store.rows(SKIPS, "WHERE created_at >= ? AND person = ?", values),
    )
