"""Whether a candidate takes the champion's place: numbers in, a verdict with every reason out. Pure.

Three questions, each answered in the reasons whether it speaks for or against: is there enough evidence, did the
held-out score rise enough, was the general ability kept. A candidate that forgot too much is refused however little was
asked of it on the held-out side; one that forgot nothing but was asked too little is not promoted either, and says so.
What must never happen: a promotion on fewer questions than the rule asks, or on a comparison of unlike sets.
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from feedback.errors import InvalidInput
from learner.records import Scores, Verdict
from learner.settings import LearnerSettings

Outcome = Literal["promote", "refuse", "not-enough-evidence"]

SLACK = 1e-9
"""A gain of exactly `min_gain` passes although 0.35 - 0.3 is a hair less in floating point."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate has to reach."""

    min_heldout: int
    """Fewest held-out questions for a verdict."""
    min_gain: float
    """Least rise of the held-out score, absolute."""
    retention_floor: float
    """Least share of the champion's general score that is kept."""
    gain_standard_errors: float
    """How many of its standard errors the rise must reach, to be more than luck."""


def rule_of(settings: LearnerSettings) -> Rule:
    """The rule that the settings give."""
    return Rule(
        min_heldout=settings.min_heldout,
        min_gain=settings.min_gain,
        retention_floor=settings.retention_floor,
        gain_standard_errors=settings.gain_standard_errors,
    )


def judge(candidate: Scores, champion: Scores, rule: Rule) -> Verdict:
    """The verdict on a candidate, with every reason for and against. Raises InvalidInput for scores outside 0 to 1."""
    for name, scores in (("candidate", candidate), ("champion", champion)):
        _check(name, scores)
    gain = candidate.heldout - champion.heldout
    retention = retention_of(candidate.general, champion.general)
    lacking, evidence = _evidence(candidate, champion, rule)
    gained = gain >= rule.min_gain - SLACK
    lucky = gained and gain < rule.gain_standard_errors * _standard_error(candidate, champion)
    kept = retention >= rule.retention_floor - SLACK
    reasons = [*evidence, _gain_reason(candidate, champion, gain, rule, gained)]
    if lucky:
        reasons.append(
            f"Against: a rise of {gain:.3f} may be luck: it is less than {rule.gain_standard_errors:g} of its standard "
            "errors. More held-out questions would tell."
        )
    if champion.general_items and candidate.general_items:
        reasons.append(_retention_reason(candidate, champion, retention, rule, kept))
    outcome = _outcome(lacking or lucky, gained, kept, comparable=_general_is_comparable(candidate, champion))
    return Verdict(outcome=outcome, reasons=reasons, gain=gain, retention=retention)


def retention_of(candidate: float, champion: float) -> float:
    """The share of the champion's general score that the candidate kept; 1 where the champion had none to lose."""
    return candidate / champion if champion > 0 else 1.0


def _outcome(lacking: bool, gained: bool, kept: bool, *, comparable: bool) -> Outcome:
    if comparable and not kept:
        return "refuse"
    if lacking:
        return "not-enough-evidence"
    return "promote" if gained else "refuse"


def _general_is_comparable(candidate: Scores, champion: Scores) -> bool:
    return candidate.general_items == champion.general_items > 0


def _evidence(candidate: Scores, champion: Scores, rule: Rule) -> tuple[bool, list[str]]:
    """Whether evidence is lacking, and the reasons that say so or say that it isn't."""
    against = []
    asked = min(candidate.heldout_items, champion.heldout_items)
    if candidate.heldout_items != champion.heldout_items:
        against.append(
            f"Against: the candidate answered {candidate.heldout_items} held-out questions and the champion "
            f"{champion.heldout_items}: their scores can't be compared."
        )
    if asked < max(rule.min_heldout, 1):
        against.append(f"Against: {asked} held-out questions are fewer than the {max(rule.min_heldout, 1)} asked for.")
    if not _general_is_comparable(candidate, champion):
        against.append(
            f"Against: the candidate answered {candidate.general_items} general questions and the champion "
            f"{champion.general_items}: what was kept can't be told."
        )
    enough = f"For: both answered the same {asked} held-out questions, at least the {rule.min_heldout} asked for."
    return bool(against), against or [enough]


def _gain_reason(candidate: Scores, champion: Scores, gain: float, rule: Rule, gained: bool) -> str:
    moved = f"{'rose' if gain > 0 else 'fell'} by {abs(gain):.3f}" if gain else "stayed the same"
    side, relation = ("For", "at least") if gained else ("Against", "less than")
    return (
        f"{side}: the held-out score {moved} ({champion.heldout:.3f} → {candidate.heldout:.3f}, standard error "
        f"{_standard_error(candidate, champion):.3f}), {relation} the {rule.min_gain:+.3f} asked for."
    )


def _retention_reason(candidate: Scores, champion: Scores, retention: float, rule: Rule, kept: bool) -> str:
    if champion.general <= 0:
        return "For: the champion has no general ability on this suite that could be lost."
    side, relation = ("For", "at least") if kept else ("Against", "less than")
    return (
        f"{side}: {retention:.3f} of the champion's general ability is kept ({champion.general:.3f} → "
        f"{candidate.general:.3f}, {candidate.general_items} questions), {relation} the {rule.retention_floor:.3f} "
        "asked for."
    )


def _standard_error(candidate: Scores, champion: Scores) -> float:
    """Of the difference, as if the answers were independent: an upper bound, since both answer the same questions.

    Each share is drawn towards a half by two answers more of either kind (Agresti and Coull 1998): of few questions, a
    score of 0 or 1 would else seem certain, and one right answer more than none would pass for learning.
    """
    return math.sqrt(sum(_variance(one.heldout, one.heldout_items) for one in (candidate, champion)))


def _variance(share: float, items: int) -> float:
    drawn = (share * items + 2) / (items + 4)
    return drawn * (1 - drawn) / max(items, 1)


def _check(name: str, scores: Scores) -> None:
    for what, value in (("held-out", scores.heldout), ("general", scores.general)):
        if not 0.0 <= value <= 1.0:  # false for NaN too
            raise InvalidInput(f"The {name}'s {what} score is {value}, outside 0 to 1.", "Score the answers anew.")
