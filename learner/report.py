"""A run's report: what was learnt, what was kept, what the gate said and why, and from whom it came.

`report.json` for programs, `report.md` for people; the version's folder keeps the latter beside its manifest. It quotes
questions with the answer before and after, verbatim: they are held-out turns, so the report is as private as the data
folder that it lies in.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from feedback.errors import CycleFailed
from feedback.files import replace_file
from learner.evaluate import Answered
from learner.records import Scores, Verdict, quoted
from learner.scales import Choice, Trial

EXAMPLES = 5


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """One held-out question and both answers, verbatim."""

    turn_id: str
    question: str
    before: str
    after: str
    score_before: float
    score_after: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """`report.json`."""

    model: str
    cycle: str
    reason: str
    run: str
    snapshot: str
    snapshot_rows: dict[str, int]
    """Rows of each of the snapshot's files."""
    snapshot_parents: dict[str, Any]
    """How many turns, ratings and annotations the pool held when it was frozen."""
    trained_from: str
    """The version whose weights the adapter was trained on."""
    champion: str
    """The version that the candidate was compared with."""
    version: str | None = None
    """The version that the candidate became; none where it was refused."""
    deployed: bool = False
    not_deployed: str = ""
    """Why a registered version was not put in the champion's place."""
    flip_ms: float | None = None
    scores: Scores
    champion_scores: Scores
    verdict: Verdict
    trials: list[Trial]
    choice: Choice
    faults: dict[str, dict[str, int]]
    """Empty and looping answers, by model."""
    training: dict[str, Any]
    examples: list[Example]
    """The questions that changed most, the best first."""

    def markdown(self) -> str:
        """The report for people."""
        return "\n".join([*self._head(), *self._scores(), *self._scales(), *self._examples(), *self._lineage()]) + "\n"

    def _head(self) -> list[str]:
        outcome = {
            "promote": "promoted",
            "refuse": "refused",
            "not-enough-evidence": "not promoted: too little evidence",
        }
        name = f"{self.model} {self.version}" if self.version else f"A candidate for {self.model}"
        lines = [f"# {name}", "", f"**{outcome[self.verdict.outcome].capitalize()}.**", ""]
        lines += [f"- {reason}" for reason in self.verdict.reasons]
        if self.not_deployed:
            lines += [f"- Not deployed: {self.not_deployed}"]
        if self.flip_ms is not None:
            lines += [f"- The alias was swapped in {self.flip_ms:.2f} ms."]
        return lines

    def _scores(self) -> list[str]:
        before, after = self.champion_scores, self.scores
        return [
            "", "## Scores", "",
            f"| | {self.champion} (champion) | candidate | questions |", "|---|---|---|---|",
            f"| held out | {before.heldout:.3f} | {after.heldout:.3f} | {after.heldout_items} |",
            f"| general | {before.general:.3f} | {after.general:.3f} | {after.general_items} |",
            "", f"Gain {self.verdict.gain:+.3f}, retention {self.verdict.retention:.3f}. "
            + "; ".join(f"{name}: {_faults(found)}" for name, found in self.faults.items()) + ".",
        ]  # fmt: skip

    def _scales(self) -> list[str]:
        lines = ["", "## The adapter's scale, on validation data", "", "| scale | learnt | kept |", "|---|---|---|"]
        for trial in self.trials:
            mark = " ←" if trial.scale == self.choice.scale else ""
            lines.append(f"| {trial.scale:g}{mark} | {trial.task:.3f} | {trial.general:.3f} |")
        counts = next(((one.task_items, one.general_items) for one in self.trials), (0, 0))
        return [*lines, "", f"On {counts[0]} rows and {counts[1]} general questions. Taken: {self.choice.reason}."]

    def _examples(self) -> list[str]:
        lines = ["", "## Before and after, verbatim"]
        for one in self.examples:
            lines += ["", f"**{quoted(one.question)}**", ""]
            lines += [f"- before ({one.score_before:.2f}): {quoted(one.before)}"]
            lines += [f"- after ({one.score_after:.2f}): {quoted(one.after)}"]
        return lines

    def _lineage(self) -> list[str]:
        rows = ", ".join(f"{count} in {name}" for name, count in self.snapshot_rows.items())
        parents = self.snapshot_parents
        pool = ", ".join(f"{parents[name]} {name}" for name in ("turns", "ratings", "annotations") if name in parents)
        return [
            "", "## Where it comes from", "", f"- cycle {self.cycle} ({self.reason})",
            f"- run {self.run}, trained from {self.trained_from}", f"- snapshot {self.snapshot}: {rows}",
            f"- of a pool of {pool}",
        ]  # fmt: skip


def make_report(
    *,
    model: str,
    cycle: str,
    reason: str,
    run: str,
    done: dict[str, dict[str, Any]],
    verdict: Verdict,
    answers: Sequence[Answered],
) -> Report:
    """A cycle's report from what its steps handed on and its answers. Pure."""
    evaluated, exported = done["evaluate"], done["export"]
    heldout = set(evaluated["heldout"])
    by_model = {
        name: {one.item: one for one in answers if one.model == digest and _evaluated(one.item, heldout)}
        for name, digest in evaluated["models"].items()
    }
    return Report(
        model=model, cycle=cycle, reason=reason, run=run, snapshot=done["snapshot"]["snapshot"],
        snapshot_rows=done["snapshot"]["rows"], snapshot_parents=done["snapshot"]["parents"],
        trained_from=done["base"]["version"], champion=evaluated["champion_version"],
        scores=msgspec.convert(evaluated["candidate"], Scores),
        champion_scores=msgspec.convert(evaluated["champion"], Scores), verdict=verdict,
        trials=msgspec.convert(exported["trials"], list[Trial]), choice=msgspec.convert(exported["choice"], Choice),
        faults={name: _count_faults(found.values()) for name, found in by_model.items()},
        training=done["train"]["training"],
        examples=_examples(evaluated["heldout"], by_model["champion"], by_model["candidate"]),
    )  # fmt: skip


def write_report(run_dir: Path, report: Report) -> None:
    """Write both files; the one for programs last."""
    replace_file(run_dir / "report.md", report.markdown().encode())
    replace_file(run_dir / "report.json", msgspec.json.format(msgspec.json.encode(report), indent=2))


def read_report(run_dir: Path) -> Report:
    """The run's report. Raises CycleFailed where it is missing or spoilt."""
    try:
        return msgspec.json.decode((run_dir / "report.json").read_bytes(), type=Report)
    except (OSError, msgspec.DecodeError, msgspec.ValidationError) as error:
        raise CycleFailed(f"{run_dir / 'report.json'} can't be read.", "Start a new cycle.") from error


def _examples(items: Sequence[str], before: dict[str, Answered], after: dict[str, Answered]) -> list[Example]:
    """The held-out questions whose score moved most, risen ones first; of equals, in the order in which they stood."""
    found = [
        Example(
            turn_id=item, question=after[item].prompt, before=before[item].reply, after=after[item].reply,
            score_before=before[item].score, score_after=after[item].score,
        )
        for item in items
        if item in before and item in after
    ]  # fmt: skip
    return sorted(found, key=lambda one: one.score_before - one.score_after)[:EXAMPLES]


def _evaluated(item: str, heldout: set[str]) -> bool:
    """Whether the gate weighed it: the run's answers also hold those on validation data."""
    return item in heldout or (item.startswith("general-") and not item.startswith("general-validation-"))


def _count_faults(answers: Any) -> dict[str, int]:
    counts = {"empty": 0, "repeats": 0}
    for one in answers:
        if one.fault:
            counts[one.fault] += 1
    return counts


def _faults(found: dict[str, int]) -> str:
    return f"{found.get('empty', 0)} empty and {found.get('repeats', 0)} looping answers"
