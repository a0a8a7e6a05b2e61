"""Personal data and secrets by their form, and by their check digits where they have some.

Each detector is a pattern for a whole token (all digits of a run, not eleven out of sixteen), and a check of what the
token is. What a detector hides is shown as its label, `[EMAIL]`.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Callable

from service.words.patterns import Pattern, Seen
from service.words.rules import Folding

Span = tuple[int, int]
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "CH": 21, "CY": 28,
    "CZ": 28, "DE": 22, "DK": 18, "EE": 20, "EG": 29, "ES": 24, "FI": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23,
    "GR": 27, "HR": 21, "HU": 28, "IE": 22, "IL": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28,
    "LI": 21, "LT": 20, "LU": 20, "LV": 21, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MT": 31, "NL": 18, "NO": 15,
    "PK": 24, "PL": 28, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SE": 24, "SI": 19, "SK": 24, "SM": 27,
    "TN": 24, "TR": 26, "UA": 29, "VG": 24,
}  # fmt: skip
ID_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
ID_CHECKS = "10X98765432"

_TOKEN = r"[0-9](?:[ \-.]?[0-9])*"
_KEYS = "|".join(
    (
        r"sk-[A-Za-z0-9_\-]{20,200}",
        r"[rsp]k_(?:live|test)_[A-Za-z0-9]{16,128}",
        r"(?:AKIA|ASIA)[A-Z0-9]{16}",
        r"AIza[A-Za-z0-9_\-]{35}",
        r"gh[oprsu]_[A-Za-z0-9]{36,200}",
        r"github_pat_[A-Za-z0-9_]{22,200}",
        r"glpat-[A-Za-z0-9_\-]{20,64}",
        r"xox[abeprs]-[A-Za-z0-9\-]{10,200}",
        r"hf_[A-Za-z0-9]{30,64}",
        r"LTAI[A-Za-z0-9]{12,30}",
        r"eyJ[A-Za-z0-9_\-]{10,160}\.eyJ[A-Za-z0-9_\-]{10,160}\.[A-Za-z0-9_\-]{10,160}",
    )
)
_NUMBER = re.compile(r"[0-9]+[Xx]?")
_PHONE = re.compile(r"(?:(?:0086|86)?)(1[3-9]\d{9})")


def detector(name: str, folding: Folding) -> Pattern:
    """The pattern of a detector by name (`rules.known_detector`)."""
    wide: Seen = "width" if folding.width else "written"
    form: Seen = "digits" if folding.digits else wide
    if name.startswith("digits:"):
        return Pattern(f"[0-9]{{{int(name[7:])},}}", seen=form)
    if name in _DIGITAL:
        last = "[Xx]?" if name == "id_cn" else ""
        return Pattern(_TOKEN + last, seen=form, narrow=functools.partial(_numbers, _DIGITAL[name]))
    text, narrow = _TEXTUAL[name]
    return Pattern(text, seen=wide, narrow=narrow)


def label(name: str) -> str:
    """What is shown for what a detector hides."""
    return f"[{name.partition(':')[0].upper()}]"


def is_card(number: str) -> bool:
    """A bank card's number: 13 to 19 digits, the first as issuers have them, the last Luhn's."""
    if not (13 <= len(number) <= 19 and number.isdigit()) or len(set(number)) == 1:
        return False
    if number[0] not in "34569" and not "2200" <= number[:4] <= "2720":
        return False
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(number))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def is_id_cn(number: str) -> bool:
    """A resident identity number of mainland China: a date of birth and a check digit."""
    if len(number) != 18 or not number[:17].isdigit():
        return False
    if not ("1800" <= number[6:10] <= "2199" and "01" <= number[10:12] <= "12" and "01" <= number[12:14] <= "31"):
        return False
    total = sum(int(digit) * weight for digit, weight in zip(number, ID_WEIGHTS, strict=False))
    return ID_CHECKS[total % 11] == number[17].upper()


def is_phone(number: str) -> bool:
    """A mobile number of mainland China, with or without 86."""
    return _PHONE.fullmatch(number) is not None


def is_iban(number: str) -> bool:
    """An IBAN without spaces: its country's length and the remainder."""
    if IBAN_LENGTHS.get(number[:2]) != len(number):
        return False
    return int("".join(str(int(char, 36)) for char in number[4:] + number[:4])) % 97 == 1


def _numbers(counts: Callable[[str], bool], text: str, start: int, end: int) -> list[Span]:
    """Of a token's groups of digits, the longest rows of neighbouring ones that make such a number, from the left."""
    groups = [(start + match.start(), start + match.end()) for match in _NUMBER.finditer(text[start:end])]
    spans: list[Span] = []
    first = 0
    while first < len(groups):
        row, whole = "", None
        for last in range(first, len(groups)):
            row += text[slice(*groups[last])]
            if len(row) > 19:
                break
            if counts(row):
                whole = last
        if whole is None:
            first += 1
        else:
            spans.append((groups[first][0], groups[whole][1]))
            first = whole + 1
    return spans


def _email(text: str, start: int, end: int) -> list[Span]:
    last = text[start:end].rpartition(".")[2]
    return [(start, end)] if len(last) >= 2 and last.isalpha() else []


def _url(text: str, start: int, end: int) -> list[Span]:
    whole = text[start:end].rstrip(".,;:!?'\"")
    if whole.endswith(")") and whole.count("(") < whole.count(")"):
        whole = whole[:-1]
    return [(start, start + len(whole))] if "." in whole[:-1] or "localhost" in whole else []


def _ipv4(text: str, start: int, end: int) -> list[Span]:
    parts = text[start:end].split(".")
    right = len(parts) == 4 and all(len(part) <= 3 and int(part) <= 255 for part in parts)
    return [(start, end)] if right else []


def _ipv6(text: str, start: int, end: int) -> list[Span]:
    if start and (text[start - 1].isalnum() or text[start - 1] == ":"):
        return []
    whole = text[start:end].rstrip(".")
    whole = whole if whole.endswith("::") else whole.rstrip(":")
    try:
        ipaddress.IPv6Address(whole)
    except ValueError:
        return []
    return [(start, start + len(whole))] if any(map(str.isdigit, whole)) else []


def _iban(text: str, start: int, end: int) -> list[Span]:
    wanted = IBAN_LENGTHS.get(text[start : start + 2], 0)
    number, place = "", start
    while place < end and len(number) < wanted:
        number += text[place].strip()
        place += 1
    return [(start, place)] if wanted and is_iban(number) else []


_DIGITAL: dict[str, Callable[[str], bool]] = {"phone": is_phone, "id_cn": is_id_cn, "bank_card": is_card}
_TEXTUAL: dict[str, tuple[str, Callable[[str, int, int], list[Span]] | None]] = {
    "email": (r"[A-Za-z0-9._%+\-]{1,64}@[A-Za-z0-9\-]{1,63}(?:\.[A-Za-z0-9\-]{1,63}){1,6}", _email),
    "url": (r"(?:(?i:https?|ftp)://|www\.)[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]+", _url),
    "ipv4": (r"[0-9]+(?:\.[0-9]+)*", _ipv4),
    "ipv6": (r"[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:.]{1,60}", _ipv6),
    "api_key": (_KEYS, None),
    "iban": (r"[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}", _iban),
}
