"""Profiles: the languages and topics that somebody is asked to look at. One's own, or anybody's for an operator."""

from __future__ import annotations

import asyncio
import re

import msgspec
from litestar import get, put
from litestar.params import FromPath
from litestar.types import ControllerRouterHandler

from feedback.errors import InvalidInput, NotFound
from feedback.facets import Topics
from feedback.labelling.records import Profile
from feedback.mint import new_id, now
from feedback.settings import nearest
from feedback.store.tables import PROFILES
from service.callers import caller_of
from service.commits import committed
from service.labelling.past import profile_of
from service.labelling.people import NAME_LIMIT, name_of
from service.parts import AnyRequest, parts_of
from service.turns import decode

LANGUAGE = re.compile("[a-z]{2,8}")
MOST = 50
"""Languages, or topics, in a profile."""


class ProfileInput(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What somebody is to be asked; nothing named: everything."""

    languages: list[str] = []
    """`zh`, `en`, …: see `feedback.facets`."""
    topics: list[str] = []


class ProfileShown(msgspec.Struct, frozen=True, kw_only=True):
    """A profile, and what there is to choose from."""

    person: str
    languages: list[str] = []
    topics: list[str] = []
    known_topics: list[str] = []


@get("/profiles/{person:str}", summary="What somebody is asked to look at", allow="annotator")
async def read_profile(request: AnyRequest, person: FromPath[str]) -> ProfileShown:
    """Nothing named: everything."""
    _check_own(request, person)
    found, known = await asyncio.to_thread(profile_of, parts_of(request).store, person), _topics(request)
    if found is None:
        return ProfileShown(person=person, known_topics=known)
    return ProfileShown(person=person, languages=found.languages, topics=found.topics, known_topics=known)


@put("/profiles/{person:str}", summary="Say what somebody is asked to look at", allow="annotator")
async def put_profile(request: AnyRequest, person: FromPath[str]) -> ProfileShown:
    """Holds for the next item that they are given."""
    _check_own(request, person)
    given, known = decode(await request.body(), ProfileInput, InvalidInput), _topics(request)
    _check(given, person, known)
    profile = Profile(
        profile_id=new_id("profile"), created_at=now(), person=person, languages=given.languages, topics=given.topics
    )
    await committed(parts_of(request).store.add(PROFILES, profile))
    return ProfileShown(person=person, languages=given.languages, topics=given.topics, known_topics=known)


def _check_own(request: AnyRequest, person: str) -> None:
    """Raise NotFound unless it is the caller's own, or theirs to see as an operator."""
    if person != name_of(request) and not caller_of(request).may("operator"):
        raise NotFound("There is no such profile of yours.", "Name yourself as your key does, or ask an operator.")


def _check(given: ProfileInput, person: str, known: list[str]) -> None:
    if not person.strip() or len(person) > NAME_LIMIT or not person.isprintable():
        raise InvalidInput("The person's name is none.", "Name the subject of their key.")
    if max(len(given.languages), len(given.topics)) > MOST:
        raise InvalidInput("So many languages or topics are not a choice.", f"Name at most {MOST}.")
    if wrong := [one for one in given.languages if not LANGUAGE.fullmatch(one)]:
        raise InvalidInput(f"{wrong[0][:20]!r} is no language.", "Write zh, en, ja, …; latin and other are two more.")
    if wrong := [one for one in given.topics if one not in known]:
        raise InvalidInput(f"{wrong[0][:64]!r} is no topic.", nearest(wrong[0], known))


def _topics(request: AnyRequest) -> list[str]:
    return Topics(parts_of(request).labelling.topics or None).names


ROUTES: list[ControllerRouterHandler] = [read_profile, put_profile]
