"""What the policy makes of rules: what happens with a category, by direction, whatever the lines of its lists say.

A pure function over what was read. A plain list has one category, so it is changed as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import overload

import msgspec

from feedback.errors import InvalidWords
from service.words.blocks import Part, WordBlock
from service.words.rules import Action, Rule

OPTIONS_FILE = "words.toml"
"""Where the policy stands, beside the lists."""


class PolicyTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"inward": "in"}):
    """Table [policy.CATEGORY] of words.toml. `allow` lets the category pass in that direction."""

    inward: Action | None = None
    out: Action | None = None
    replacement: str | None = None


@overload
def apply_policy(rules: list[Rule], policy: Mapping[str, PolicyTable], folder: Path | None = None) -> list[Rule]: ...


@overload
def apply_policy(rules: Part, policy: Mapping[str, PolicyTable], folder: Path | None = None) -> Part: ...


def apply_policy(rules: Part, policy: Mapping[str, PolicyTable], folder: Path | None = None) -> Part:
    """The rules with what the policy says of their categories; a phrase that is allowed stays allowed. Pure.

    Raises InvalidWords where a rule is to be replaced and nobody says by what.
    """
    if not policy:
        return rules
    if isinstance(rules, WordBlock):
        one = _under(rules[0], policy.get(rules.template.category), folder)
        return rules.like(one) if one is not None else []
    return [
        changed
        for rule in rules
        if (changed := _under(rule, policy.get(rule.category), folder)) is not None
    ]  # fmt: skip


def _under(rule: Rule, table: PolicyTable | None, folder: Path | None) -> Rule | None:
    """A rule under its category's policy; None where it holds nowhere."""
    if table is None or rule.action == "allow":
        return rule
    inward = table.inward or rule.act("in") if rule.holds_in("in") else "allow"
    out = table.out or rule.act("out") if rule.holds_in("out") else "allow"
    replacement = rule.replacement if rule.replacement is not None else table.replacement
    if "replace" in (inward, out) and replacement is None:
        raise InvalidWords(
            f"{folder}/{OPTIONS_FILE}, policy.{rule.category}: {rule.rule} is to be replaced, and nobody says by what.",
            "Give the policy a replacement.",
        )
    if inward == "allow" and out == "allow":
        return None
    if inward == "allow":
        return msgspec.structs.replace(rule, action=out, action_out=None, only="out", replacement=replacement)
    if out == "allow":
        return msgspec.structs.replace(rule, action=inward, action_out=None, only="in", replacement=replacement)
    return msgspec.structs.replace(rule, action=inward, action_out=out, replacement=replacement)
