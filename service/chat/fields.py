"""Every text inside a message or a JSON value through the word filter, each hit with the field that it stood in.

A chat carries text in more places than `content`: `thinking`, a tool's name and result, the arguments of tool calls in
the history, descriptions in the tools and in a wanted format. What was forgotten here would reach the model, or a
client, unfiltered; so everything is walked and only what is named is left out.
"""

from __future__ import annotations

from typing import Any

from feedback.errors import MalformedBody, UpstreamBroke
from feedback.turns import FilterHit
from service.words.filter import Hit, WordFilter
from service.words.rules import Direction

NOT_TEXT = frozenset({"role", "images"})
"""Fields of a message that are no text of anybody's; images were looked at when they were decoded."""
ARGUMENTS = "arguments"
"""Below it a key is text like any other: the model chose it. Elsewhere keys are the dialect's own words."""
NAMING = frozenset({"properties", "patternproperties", "$defs", "definitions"})
"""In a schema the keys right below these are names that its author chose."""
NO_KEYS, THESE_KEYS, ALL_KEYS = range(3)
"""Which keys of an object are text: none, its own, or its own and those of all objects in it."""
SHOWN_KEYS = frozenset({"content", "thinking", "tool_calls", "function", "name", "tool_name", "description", ARGUMENTS})
"""Keys that a field's name may quote; any other may be somebody's text, and stands as `*`."""
DEPTH_LIMIT = 100
"""How deep a JSON value may be nested; far below what the interpreter's stack takes."""


class Fields:
    """Filters texts in one direction and keeps what hit."""

    def __init__(self, words: WordFilter, direction: Direction, *, keep_texts: bool = False) -> None:
        """`keep_texts` remembers the original of every text that hit, for a log that was asked to show it."""
        self.hits: list[FilterHit] = []
        self.blocked = False
        self.texts: dict[str, str] = {}
        """Field → original text, of fields that hit; empty unless asked for."""
        self._words = words
        self._direction = direction
        self._keep_texts = keep_texts

    def text(self, text: str, field: str) -> str:
        """A text as it may go on."""
        if not text:
            return text
        checked = self._words.check(text, self._direction)
        if checked.hits:
            self.hits.extend(named(checked.hits, field))
            self.blocked = self.blocked or checked.blocked
            if self._keep_texts:
                self.texts[field] = text
        return checked.text

    def message(self, message: dict[str, Any], field: str) -> dict[str, Any]:
        """A message with all its texts filtered. Raises as `value` does."""
        found: dict[str, Any] = {}
        for key, item in message.items():
            if key in NOT_TEXT:
                found[key] = item
                continue
            name = f"{field}.{key if key in SHOWN_KEYS else '*'}"
            found[key] = self.text(item, name) if isinstance(item, str) else self.value(item, name)
        return found

    def value(self, value: Any, field: str) -> Any:
        """Every string inside a JSON value, filtered whole. Raises MalformedBody (in) or UpstreamBroke (out) where it
        is nested deeper than DEPTH_LIMIT.
        """
        return self._value(value, field, keys=NO_KEYS, depth=0)

    def _value(self, value: Any, field: str, *, keys: int, depth: int) -> Any:
        if isinstance(value, str):
            return self.text(value, field)
        if depth > DEPTH_LIMIT:
            raise self._too_deep(field)
        if isinstance(value, list):
            return [
                self._value(item, f"{field}[{number}]", keys=keys, depth=depth + 1) for number, item in enumerate(value)
            ]
        if isinstance(value, dict):
            found: dict[str, Any] = {}
            for key, item in value.items():
                inner = f"{field}.{key}" if key in SHOWN_KEYS and not keys else f"{field}.*"
                name = self.text(key, f"{field}.*") if keys else key
                while name in found:  # two keys that look alike once masked stay two
                    name += "*"
                found[name] = self._value(item, inner, keys=_below(key, keys), depth=depth + 1)
            return found
        return value

    def _too_deep(self, field: str) -> MalformedBody | UpstreamBroke:
        where = field[:60]
        if self._direction == "in":
            return MalformedBody(f"{where}… is nested deeper than {DEPTH_LIMIT} levels.", "Send it flatter.")
        return UpstreamBroke(f"The upstream's {where}… is nested deeper than {DEPTH_LIMIT} levels.", "Ask again.")


def _below(key: str, keys: int) -> int:
    """Which keys are text below a key. Upper case is folded as the upstream folds it."""
    folded = key.casefold()
    if keys == ALL_KEYS or folded == ARGUMENTS:
        return ALL_KEYS
    return THESE_KEYS if keys == NO_KEYS and folded in NAMING else NO_KEYS


def named(hits: list[Hit], field: str) -> list[FilterHit]:
    """Hits as a turn keeps them: with the field that the text stood in."""
    return [
        FilterHit(
            rule=hit.rule, category=hit.category, action=hit.action, direction=hit.direction,
            field=field, start=hit.start, end=hit.end, severity=hit.severity,
        )
        for hit in hits
    ]  # fmt: skip
