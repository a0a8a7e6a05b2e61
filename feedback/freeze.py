"""Freezing the pool: from turns and verdicts to a snapshot, in steps that count what they let through and why not.

    admission (and cleaning) → split → exact copies → near copies → rows → snapshot

Held-out items are the yardstick by which models are judged, so trained people make them: a turn on that side that only
users judged is used for nothing. Nothing near a held-out question is trained or validated on, nor anything near a text
that the caller guards (the retention suite), nor is anything near a validation row trained on. Kept away from is every
held-out turn that a trained person has judged, whatever came of it; not those that only users touched, or else anybody
could keep a question from being learnt by asking it once in the right conversation.
"""

from __future__ import annotations

import datetime as dt
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from feedback.errors import InvalidSettings, NothingToLearn
from feedback.judgement import JUDGES
from feedback.mint import now as current_time
from feedback.near_copies import NearCopies, shape_of
from feedback.pool import Cursor, Sample, admit, candidates, unjudged
from feedback.quality.standing import ALL_ALIKE, Standing
from feedback.sample_rows import rows_of
from feedback.settings import PoolSettings
from feedback.snapshot import Origin, Parents, SnapshotManifest, StepCount, write_snapshot
from feedback.split import Side, opening_of, prompt_of, split_of
from feedback.tokens import TokenCounter

Sides = dict[Side, list[Sample]]


def freeze(
    cursor: Cursor,
    rules: PoolSettings,
    snapshots_dir: Path,
    tokenizer: Path | None,
    guard: Sequence[str] = (),
    now: dt.datetime | None = None,
    base_model: str = "",
    standing: Standing = ALL_ALIKE,
) -> SnapshotManifest:
    """Freeze what can be learnt now into `snapshots_dir/<id>/`. The same content gives the same snapshot again.

    Args:
        cursor: a reader's, so that all queries see one state of the store.
        rules: see table [pool].
        snapshots_dir: made where it is missing.
        tokenizer: the base model's tokenizer.json; none estimates lengths, and the manifest says so.
        guard: texts that nothing near is trained or validated on.
        now: for ages and the manifest's time; none takes the clock's.
        base_model: what the rows are meant for; noted in the manifest.
        standing: whose verdicts count how much (`feedback.quality.trust.standing_of`); the manifest says which.

    Raises:
        NothingToLearn: fewer than `rules.min_train_rows` training rows; says how many were lost where.
        InvalidSettings: shares or similarity out of range.
        UnknownTokenizer: no such file, or not a tokenizer.
        SnapshotCorrupt: this content was frozen before, and its folder is no longer whole.
    """
    _check(rules)
    at = now or current_time()
    counter = TokenCounter.load(tokenizer)
    pool = gather(cursor, rules, at, counter, standing)
    steps = pool.steps
    sides = split(pool.samples, rules, steps)
    sides = without_copies(sides, steps)
    sides = kept_apart(sides, pool, guard, rules, steps)
    if len(sides["train"]) < rules.min_train_rows:
        raise NothingToLearn(*_too_few(len(sides["train"]), rules, steps))
    origin = Origin(
        created_at=at,
        rules=rules,
        tokenizer=counter.name,
        base_model=base_model,
        steps=steps,
        parents=_parents(cursor),
        trust=standing.used(),
    )
    return write_snapshot(snapshots_dir, rows_of(sides), origin)


def pool_counts(
    cursor: Cursor, rules: PoolSettings, now: dt.datetime | None = None, standing: Standing = ALL_ALIKE
) -> dict[str, int]:
    """What a freeze would find now, before copies are taken out; lengths are estimated.

    Keys: `turns`, `in`, `out`; each reason, `in:…` and `out:…` (a turn that is out may have several); and
    `side:train`, `side:validation`, `side:heldout`.
    """
    pool = gather(cursor, rules, now or current_time(), TokenCounter(), standing)
    sides = split(pool.samples, rules, pool.steps)
    admission, _, parted = pool.steps
    return {
        "turns": admission.rows_in,
        "in": parted.rows_out,
        "out": admission.rows_in - parted.rows_out,
        **dict(sorted((admission.reasons | parted.reasons).items())),
        **{f"side:{side}": len(samples) for side, samples in sides.items()},
    }


class Gathered(msgspec.Struct, frozen=True, kw_only=True):
    """The admitted turns, and what the yardstick must be kept apart from."""

    samples: list[Sample]
    yardstick_texts: set[str]
    """Prompts and openings of the held-out turns that a trained person judged, admitted or not."""
    yardstick_conversations: set[str]
    steps: list[StepCount]


def gather(
    cursor: Cursor, rules: PoolSettings, now: dt.datetime, counter: TokenCounter, standing: Standing = ALL_ALIKE
) -> Gathered:
    """Decide about every turn in the store."""
    samples: list[Sample] = []
    texts: set[str] = set()
    conversations: set[str] = set()
    turns, reasons = unjudged(cursor, rules, now)
    mended: Counter[str] = Counter()
    for candidate in candidates(cursor):
        turns += 1
        admission = admit(candidate, rules, now, counter, standing)
        reasons.update(admission.reasons)
        if admission.sample is not None:
            samples.append(admission.sample)
            mended.update(admission.sample.mended)
        turn = candidate.turn
        if candidate.annotations and split_of(opening_of(turn.messages), rules) == "heldout":
            texts |= {opening_of(turn.messages), prompt_of(turn.messages)}
            conversations.add(turn.conversation_id)
    steps = [
        StepCount(step="admission", rows_in=turns, rows_out=len(samples), reasons=dict(reasons)),
        StepCount(step="cleaning", rows_in=len(samples), rows_out=len(samples), reasons=dict(mended)),
    ]
    return Gathered(samples=samples, yardstick_texts=texts, yardstick_conversations=conversations, steps=steps)


def split(samples: Iterable[Sample], rules: PoolSettings, steps: list[StepCount]) -> Sides:
    """Each sample to its side; held-out ones that only users judged to none."""
    sides: Sides = {"train": [], "validation": [], "heldout": []}
    unfit = 0
    for sample in samples:
        side = split_of(sample.opening, rules)
        if side == "heldout" and sample.judged_by == "user":
            unfit += 1
        else:
            sides[side].append(sample)
    reasons = {"out:heldout-judged-by-users-only": unfit} if unfit else {}
    steps.append(StepCount(step="split", rows_in=_size(sides) + unfit, rows_out=_size(sides), reasons=reasons))
    return sides


def without_copies(sides: Sides, steps: list[StepCount]) -> Sides:
    """One of each prompt and target that differ only in case, width, spaces or closing punctuation: the one whose
    judge ranks highest, of those the one judged last. Copies of a prompt lie on one side, so none is missed."""
    kept: Sides = {}
    for side, samples in sides.items():
        best: dict[tuple[str, ...], Sample] = {}
        for sample in samples:
            key = _content(sample)
            if key not in best or _standing(sample) > _standing(best[key]):
                best[key] = sample
        kept[side] = list(best.values())
    copies = _size(sides) - _size(kept)
    reasons = {"out:exact-copy": copies} if copies else {}
    steps.append(StepCount(step="exact-copies", rows_in=_size(sides), rows_out=_size(kept), reasons=reasons))
    return kept


def kept_apart(
    sides: Sides, pool: Gathered, guard: Sequence[str], rules: PoolSettings, steps: list[StepCount]
) -> Sides:
    """Train and validation without what comes near the yardstick, train without what comes near validation."""
    similarity = rules.near_copy_similarity
    yardstick = NearCopies({*pool.yardstick_texts, *_texts(sides["heldout"])}, similarity)
    guarded = NearCopies(guard, similarity)
    reasons: Counter[str] = Counter()

    def apart(sample: Sample, validated: NearCopies | None = None) -> bool:
        shapes = [shape_of(text) for text in _texts([sample])]
        found = {
            "out:conversation-held-out": sample.conversation_id in pool.yardstick_conversations,
            "out:near-heldout": any(map(yardstick.near, shapes)),
            "out:near-guarded": any(map(guarded.near, shapes)),
            "out:near-validation": validated is not None and any(map(validated.near, shapes)),
        }
        reasons.update(reason for reason, holds in found.items() if holds)
        return not any(found.values())

    validation = [sample for sample in sides["validation"] if apart(sample)]
    validated = NearCopies(_texts(validation), similarity)
    train = [sample for sample in sides["train"] if apart(sample, validated)]
    kept: Sides = {"train": train, "validation": validation, "heldout": sides["heldout"]}
    steps.append(StepCount(step="near-copies", rows_in=_size(sides), rows_out=_size(kept), reasons=dict(reasons)))
    return kept


def _texts(samples: Iterable[Sample]) -> set[str]:
    return {text for sample in samples for text in (opening_of(sample.messages), prompt_of(sample.messages))}


def _content(sample: Sample) -> tuple[str, ...]:
    return (*(f"{one.role}\n{_plain(one.content)}" for one in sample.messages), _plain(sample.target))


def _plain(text: str) -> str:
    """For exact copies. Milder than the fold of the split, which may make one text of two questions."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(" .。!?…~")


def _standing(sample: Sample) -> tuple[int, dt.datetime, str]:
    return JUDGES.index(sample.judged_by), sample.judged_at, sample.turn_id


def _size(sides: Sides) -> int:
    return sum(map(len, sides.values()))


def _parents(cursor: Cursor) -> Parents:
    cursor.execute(
        """
        SELECT count(*), (SELECT count(*) FROM ratings), (SELECT count(*) FROM annotations),
               coalesce(min(turn_id), ''), coalesce(max(turn_id), '') FROM turns
        """
    )
    turns, ratings, annotations, first, last = cursor.fetchall()[0]
    return Parents(turns=turns, ratings=ratings, annotations=annotations, first_turn_id=first, last_turn_id=last)


_MENDS = {
    "out:too-short": "Lower pool.min_tokens, which most of them fall short of, or collect longer turns.",
    "out:too-long": "Raise pool.max_tokens, which most of them exceed, if the training can hold it.",
    "out:too-old": "Raise pool.max_age_days, which most of them exceed.",
    "out:rated-bad-no-correction": "Correct the replies that were rated bad: a bad reply alone teaches nothing.",
}


def _too_few(rows: int, rules: PoolSettings, steps: Sequence[StepCount]) -> tuple[str, str]:
    """The sentence and the mend of NothingToLearn, from the counts of the steps."""
    lost = Counter({reason: n for one in steps for reason, n in one.reasons.items() if reason.startswith("out:")})
    told = ", ".join(f"{reason.removeprefix('out:')} {n}" for reason, n in lost.most_common()) or "nothing left out"
    message = f"{rows} training rows from {steps[0].rows_in} turns, fewer than pool.min_train_rows = "
    judged = [reason for reason, _ in lost.most_common() if reason != "out:no-verdict"]
    mend = _MENDS.get(judged[0], "") if judged else ""
    return f"{message}{rules.min_train_rows} ({told}).", mend or "Rate or annotate more turns, then freeze again."


def _check(rules: PoolSettings) -> None:
    if not 0 < rules.near_copy_similarity <= 1:
        raise InvalidSettings(
            f"pool.near_copy_similarity is {rules.near_copy_similarity}, outside 0 to 1.", "Write 0.8, for example."
        )
    shares = (rules.heldout_percent, rules.validation_percent)
    if min(shares) < 0 or sum(shares) > 100:
        raise InvalidSettings(
            f"pool.heldout_percent and pool.validation_percent are {shares[0]} and {shares[1]}.",
            "Neither may be negative, and together they may be 100 at most.",
        )
