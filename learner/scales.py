"""The adapter's scale: which one goes on, chosen on validation data after training.

Scaling a trained adapter down is the cheapest cure for forgetting there is: it costs a merge and a few dozen questions,
and no training. `choose` is pure; `learner.export_step` does the merging and asking. What must never happen: a scale
chosen by held-out questions or by the retention suite, which would then no longer measure anything.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from feedback.errors import InvalidInput
from learner.gate import retention_of

MARGIN = 0.02
"""Retention beyond the floor that a scale must show on the few validation questions, to hold on the suite too."""


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What one scale scored on validation data."""

    scale: float
    task: float
    """Mean score on the snapshot's validation rows, 0 to 1."""
    task_items: int
    general: float
    """Mean score on the general validation questions, 0 to 1."""
    general_items: int


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """The scale that goes on, and why."""

    scale: float
    reason: str
    retention: float
    """Of the chosen scale, on the general validation questions."""


def choose(trials: Sequence[Trial], champion_general: float, floor: float) -> Choice:
    """The scale that learnt most among those that keep enough; where none does, the one that keeps most.

    Equal ones: the one that keeps more, then the smaller, which changes the model less. Without validation rows there
    is nothing to tell how much was learnt, so the largest scale that keeps enough goes on. Raises InvalidInput for no
    trials.
    """
    if not trials:
        raise InvalidInput("No scale was tried.", "Give learner.adapter_scales at least one.")
    need = min(floor + MARGIN, 1.0) if floor < 1 else floor
    kept = [trial for trial in trials if retention_of(trial.general, champion_general) >= need - 1e-9]
    if not kept:
        best = max(trials, key=lambda trial: (trial.general, -trial.scale))
        reason = f"no scale keeps {need:.2f} of the general ability; this one keeps most"
    elif all(trial.task_items == 0 for trial in trials):
        best = max(kept, key=lambda trial: trial.scale)
        reason = f"the largest that keeps {need:.2f} of the general ability; there are no validation rows to compare by"
    else:
        best = max(kept, key=lambda trial: (trial.task, trial.general, -trial.scale))
        reason = f"the best on the validation rows among those that keep {need:.2f} of the general ability"
    return Choice(scale=best.scale, reason=reason, retention=retention_of(best.general, champion_general))


def scale_tag(model: str, run: str, scale: float) -> str:
    """The upstream's name for a candidate at one scale: `assistant:candidate-<run>-s80`."""
    return f"{model}:candidate-{run}-s{round(scale * 100)}"
