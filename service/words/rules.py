"""What a filter is made of: rules, the options of the list that they stand in, and a set of them ready to compile.

Lists, policies and the API make these structs; `compiled` makes a filter of them. A rule is named by list and line, so
that a log can say which one hit without any text. Nothing here may read a file or know how matching is done.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from typing import Literal, get_args

import msgspec

Direction = Literal["in", "out"]
Action = Literal["block", "mask", "replace", "flag", "allow"]
Match = Literal["overlap", "longest", "shortest"]
ACTIONS: tuple[Action, ...] = get_args(Action)
MATCHES: tuple[Match, ...] = get_args(Match)
DEFAULT_ACTION: Action = "mask"
DEFAULT_CATEGORY = "words"
DETECTORS = ("email", "url", "ipv4", "ipv6", "phone", "id_cn", "bank_card", "api_key", "iban")
"""Detectors by name; there is also `digits:N`, a run of at least N digits in any digit form."""
MAX_WORD = 256
"""Longest word, in characters after folding: what one stream may have to hold back is bounded by it."""
MAX_WITHIN = 1_000
"""Widest window of a combination rule, in characters."""
MAX_PATTERN_SPAN = 512
"""Longest hit of a regular expression or detector, in characters: what a stream holds for one is bounded by it."""

_DIGITS = re.compile(r"digits:([1-9]\d{0,2})")


class Folding(msgspec.Struct, frozen=True, kw_only=True):
    """Which differences of writing do not count. Words and texts are folded the same way."""

    case: bool = True
    width: bool = True
    """`ｆ` as `f`."""
    style: bool = True
    """Circled, parenthesised, superscript and mathematical letters: `Ⓕ`, `⒡`, `𝓯` as `f`."""
    simplified: bool = True
    """Traditional as Simplified Chinese."""
    digits: bool = True
    """Every form of a digit as that digit: `⓿`, `二`, `肆`, `⑸`."""
    invisible: bool = True
    """Zero-width, tag and combining characters as not there; `é` as `e`."""
    confusables: bool = False
    """Cyrillic `а` as Latin `a`."""
    leet: bool = False
    """`4` and `@` as `a`, `3` as `e`."""
    pinyin: bool = False
    """Chinese characters as their pinyin, so that homophones are one."""
    radicals: bool = False
    """Chinese characters as the parts that people split them into: `弓虽` and `强` are one, `氵` and `水` too. Not with
    `pinyin`."""


class ListOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How the rules of one list are matched."""

    folding: Folding = Folding()
    noise: bool = False
    """Punctuation, symbols and spaces between the characters of a word don't count: `毛---主---席`."""
    repeat: bool = False
    """A repeated character counts as often as the word needs it: `fuuuck`."""
    whole_word: bool = False
    """Where a hit begins or ends with a Latin letter or a digit, none may stand beside it."""
    match: Match = "overlap"
    """Which of the overlapping hits of one list and action are reported. What is hidden does not depend on it."""


class Rule(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One line of a list: exactly one of `word`, `regex`, `detector` and `both` is given."""

    rule: str
    """`<list>:<line>`."""
    word: str = ""
    regex: str = ""
    """RE2 syntax. Of the foldings, case and width (letters and digits) apply."""
    detector: str = ""
    """A name in DETECTORS, or `digits:N`."""
    both: tuple[str, str] | None = None
    """A combination: two words, in either order, of which the second begins at most `within` characters after the
    first one's end. The hit is everything from the first to the last of them."""
    within: int = 20
    category: str = DEFAULT_CATEGORY
    action: Action = DEFAULT_ACTION
    """`allow` makes a phrase in which no other rule hits."""
    action_out: Action | None = None
    """What is done in replies, where it is not what is done in prompts."""
    only: Direction | None = None
    """The one direction in which it holds; none: both. In the other it is as if it were not listed: it neither hits
    nor holds anything of a stream back (a pattern would hold MAX_PATTERN_SPAN characters)."""
    replacement: str | None = None
    """What stands for a hit: the label of `mask` (none: `*` a character; a detector's own is `[NAME]`), the text of
    `replace`."""
    severity: int = 0
    note: str = ""
    valid_from: dt.date | None = None
    """First day on which it holds, UTC."""
    valid_until: dt.date | None = None
    """Last day on which it holds, UTC."""
    options: ListOptions = ListOptions()

    @property
    def list_name(self) -> str:
        """The list that it stands in."""
        return self.rule.rpartition(":")[0] or self.rule

    def holds(self, day: dt.date) -> bool:
        """Whether it is in force on a day (UTC)."""
        return (self.valid_from is None or self.valid_from <= day) and (
            self.valid_until is None or day <= self.valid_until
        )

    def holds_in(self, direction: Direction) -> bool:
        """Whether it is in force in a direction."""
        return self.only is None or self.only == direction

    def act(self, direction: Direction) -> Action:
        """What is done in a direction in which it holds."""
        return self.action_out or self.action if direction == "out" else self.action


class RuleSet(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a filter is compiled from. Allowed phrases are rules with the action `allow`."""

    rules: Sequence[Rule]
    """A list, or `blocks.Rules`."""
    drop_hidden: bool = True
    """Leave out of what is shown the tag characters (U+E0000–U+E007F) with which text is smuggled past people's eyes;
    those that make a flag stay."""


def known_detector(name: str) -> bool:
    """Whether a detector of that name exists."""
    return name in DETECTORS or _DIGITS.fullmatch(name) is not None
