"""Whose work it is: a person's name for everything that is stored under one.

With keys it is the key's subject, and nothing else. On a gateway without keys, where anybody on the machine is its
operator, people say who they are: a page in a cookie, a program in a header, both percent-encoded UTF-8.
"""

from __future__ import annotations

from feedback.errors import InvalidInput
from service.callers import PERSON_LIMIT, caller_of, decoded_name, is_name
from service.parts import AnyRequest

HEADER, COOKIE = "x-person", "ratchet_person"
NAME_LIMIT = PERSON_LIMIT
"""Characters of a name."""


class NoPerson(InvalidInput):
    code = "no-person"


def person_of(request: AnyRequest) -> str:
    """Who works here. Raises NoPerson where nobody can tell."""
    caller = caller_of(request)
    if caller.key_id:
        if not caller.subject:
            raise NoPerson(
                "This key has no subject, so nobody could tell whose work it is.",
                "Make a key for one person: ratchet keys create --role annotator --subject NAME.",
            )
        return caller.subject
    name = decoded_name(request.headers.get(HEADER, "") or request.cookies.get(COOKIE, ""))
    if not name:
        raise NoPerson(
            "This gateway has no keys, and the request does not say who works.",
            f"Send your name in the header X-Person or the cookie {COOKIE}, percent-encoded.",
        )
    if not is_name(name):
        raise NoPerson("The name is none.", f"Send up to {NAME_LIMIT} characters that can be printed.")
    return name


def name_of(request: AnyRequest) -> str:
    """Who works here, where that may stay unsaid: empty where nobody can tell."""
    try:
        return person_of(request)
    except NoPerson:
        return ""
