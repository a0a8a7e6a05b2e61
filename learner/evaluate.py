"""Asking a served model many questions and keeping every answer.

What is judged is what will be served: the quantised file, through the upstream's API, with its template. Greedy
(temperature 0, fixed seed), a few questions at a time, because the upstream answers some in parallel. Each answer is a
line in the run's answers.jsonl as soon as it is there: the report quotes them, and an evaluation that was killed asks
only what is missing. What must never happen: an answer of one model counted as another's (the key is the model's
digest and the exact words sent), or a question left out of a score because its answer failed.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import msgspec

from feedback.errors import CycleFailed
from feedback.files import drop_cut_line, whole_lines
from learner.records import Scores
from learner.scoring import Fault, fault_of, score
from learner.suite import Question
from learner.upstream import Upstream

Result = TypeVar("Result")

SEED = 1
Progress = Callable[[int, int], None]
"""Called with how many are done, and of how many."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """One line of answers.jsonl."""

    model: str
    """The model's digest at the upstream: of weights, template and parameters together."""
    tag: str
    item: str
    asked: str
    """The question's fingerprint."""
    prompt: str
    reply: str
    done_reason: str
    reply_tokens: int
    score: float
    fault: Fault


class Abandoned(Exception):
    """The answers are not wanted any more: another part of the step failed, or the cycle was asked to stop."""


class AnswerFile:
    """A run's answers.jsonl: what is there is known, what is new is appended. For several threads of one process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        drop_cut_line(path)
        self._known = {(one.model, one.item, one.asked): one for one in read_answers(path)}
        self._file = path.open("ab")
        self._lock = threading.Lock()
        self.abandoned = False
        """Whether nobody waits for further answers."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()

    def find(self, model: str, question: Question) -> Answered | None:
        return self._known.get((model, question.item, question.fingerprint))

    def keep(self, answered: Answered) -> None:
        """Append one. Flushed, not synced: kill -9 loses nothing, and a power cut costs asking a few again."""
        with self._lock:
            self._known[answered.model, answered.item, answered.asked] = answered
            self._file.write(msgspec.json.encode(answered) + b"\n")
            self._file.flush()


def ask_all(
    upstream: Upstream,
    tag: str,
    questions: Sequence[Question],
    answers: AnswerFile,
    *,
    parallel: int = 4,
    progress: Progress | None = None,
) -> list[Answered]:
    """Ask what is not answered yet and give every answer, in the questions' order.

    Raises CycleFailed where the upstream has no such model, Abandoned, and what asking raises: no answer is left out.
    """
    model = digest_of(upstream, tag)
    there = {one.item: found for one in questions if (found := answers.find(model, one)) is not None}
    with ThreadPoolExecutor(max_workers=max(parallel, 1), thread_name_prefix="ask") as pool:
        asked = [pool.submit(_ask, upstream, tag, model, one) for one in questions if one.item not in there]
        try:
            for future in as_completed(asked):
                answered = future.result()
                answers.keep(answered)
                there[answered.item] = answered
                if progress:
                    progress(len(there), len(questions))
                if answers.abandoned:
                    raise Abandoned
        finally:
            pool.shutdown(wait=True, cancel_futures=True)
    # Scored anew: an answer from before a mended scoring rule or accept list counts as it would now.
    return [_scored(there[one.item], one) for one in questions]


def side_by_side(jobs: Sequence[Callable[[], Result]], most: int, answers: AnswerFile) -> list[Result]:
    """Run jobs that ask, so many at a time, and give their results in order. Where one fails, or this thread is asked
    to stop, the others are abandoned, and the first error is raised."""
    with ThreadPoolExecutor(max_workers=max(most, 1), thread_name_prefix="model") as pool:
        running = [pool.submit(job) for job in jobs]
        try:
            for future in as_completed(running):
                future.result()
        except BaseException:  # Stopped is none of Exception's, and must end the others just as well
            answers.abandoned = True
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        return [future.result() for future in running]


def digest_of(upstream: Upstream, tag: str) -> str:
    """What tells this model from every other at the upstream. Raises CycleFailed where it isn't there."""
    digest = upstream.tags().get(tag)
    if digest is None:
        raise CycleFailed(f"{upstream.url} has no model {tag}.", "Push it again: run the cycle's step anew.")
    return digest or tag


def read_answers(path: Path) -> list[Answered]:
    """Every answer in a run's file, oldest first."""
    return [msgspec.json.decode(line, type=Answered) for line in whole_lines(path)]


def mean_score(answered: Sequence[Answered]) -> float:
    """The mean score, 0 to 1; 0 where nothing was asked."""
    return sum(one.score for one in answered) / len(answered) if answered else 0.0


def scores_of(heldout: Sequence[Answered], general: Sequence[Answered]) -> Scores:
    """What the gate weighs."""
    return Scores(
        heldout=mean_score(heldout), heldout_items=len(heldout), general=mean_score(general), general_items=len(general)
    )


def _ask(upstream: Upstream, tag: str, model: str, question: Question) -> Answered:
    options = {"temperature": 0, "seed": SEED, "num_predict": question.reply_tokens}
    answer = upstream.chat(tag, question.messages, options=options)
    answered = Answered(
        model=model, tag=tag, item=question.item, asked=question.fingerprint, prompt=question.prompt, reply=answer.text,
        done_reason=answer.done_reason, reply_tokens=answer.reply_tokens, score=0.0, fault="",
    )  # fmt: skip
    return _scored(answered, question)


def _scored(answered: Answered, question: Question) -> Answered:
    value = score(answered.reply, question.accept, question.reference)
    return msgspec.structs.replace(answered, score=value, fault=fault_of(answered.reply))
