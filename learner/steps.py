"""The steps of a cycle, one function each, top to bottom in the order in which they run.

Each takes the cycle's desk and gives what later ones need. A step may be killed anywhere and entered again: it then
finds its own half-done work by name and ends the same way. What must never happen: a step that does its lasting work
twice, such as a second version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from feedback.errors import CycleFailed
from feedback.files import sha256_file
from feedback.snapshot import HeldoutItem, SftRow, load_snapshot
from learner.alias import Alias
from learner.base_file import base_file
from learner.bootstrap import registered_base
from learner.candidates import candidate_file, candidate_tag, drop_candidate, drop_candidates, serve_candidate
from learner.deploy import ChampionMoved, bootstrap, champion_of, promote
from learner.desk import Desk, Handed, Rounds
from learner.evaluate import AnswerFile, digest_of, mean_score, read_answers, scores_of, side_by_side
from learner.gate import judge, rule_of
from learner.records import Scores, Step, Verdict
from learner.registry import Trained
from learner.report import make_report, read_report, write_report
from learner.runs import Progress, TrainingJob
from learner.scales import Trial, choose
from learner.suite import Name, Question, guarded_texts, question_of, suite_questions
from learner.templates import Served, served_for

Row = TypeVar("Row", HeldoutItem, SftRow)


def base(desk: Desk) -> Handed:
    """Convert the base for training, register it, and see that something serves to be compared with."""
    shop = desk.shop
    gguf = base_file(desk.settings)
    desk.progress(0.0, f"preparing {gguf.name}")
    ready = shop.parts.prepare_base(gguf, desk.settings.cache_dir)
    manifest = registered_base(shop.site, ready.sha256)
    bootstrap(shop.site, manifest)
    return {
        "gguf": str(gguf), "sha256": ready.sha256, "folder": str(ready.folder),
        "tokenizer": str(ready.tokenizer_file), "version": manifest.version,
        "served": msgspec.to_builtins(served_for(gguf, desk.settings)),
    }  # fmt: skip


def snapshot(desk: Desk) -> Handed:
    """Have the gateway freeze the pool."""
    desk.progress(0.0, "the gateway freezes the pool")
    given = desk.done["base"]
    manifest = desk.shop.parts.freeze(
        Path(given["tokenizer"]), guarded_texts(desk.shop.parts.suite), Path(given["gguf"]).name
    )
    frozen = load_snapshot(desk.shop.data_dir / "snapshots" / str(manifest["id"])).manifest
    return {
        "snapshot": frozen.id, "rows": {name: file.rows for name, file in frozen.files.items()},
        "parents": msgspec.to_builtins(frozen.parents),
    }  # fmt: skip


def train(desk: Desk) -> Handed:
    """Train an adapter, or go on from the run's last checkpoint."""
    job = TrainingJob(
        run_id=desk.run, run_dir=desk.run_dir, base=Path(desk.done["base"]["folder"]), snapshot=desk.snapshot_dir,
        recipe=desk.recipe,
    )  # fmt: skip
    desk.progress(0.0, "starting Ray")
    result = desk.shop.parts.train(job, lambda at: desk.progress(at.share, _training_words(at)))
    kept = msgspec.to_builtins(result, enc_hook=str)
    return {"run": desk.run, "adapter_dir": str(result.adapter_dir), "training": kept}


def export(desk: Desk) -> Handed:
    """Merge the adapter at each scale, ask validation data of each, and keep the one that `scales.choose` names."""
    champion = _champion(desk)
    general = _general_questions(desk, "general-validation")
    task = _validation_questions(desk)
    scales = sorted(set(desk.settings.adapter_scales), reverse=True)
    rounds = Rounds(desk, len(general) + len(scales) * (len(task) + len(general)))
    with AnswerFile(desk.answers) as answers:
        first, *trials = side_by_side(
            [
                partial(_ask_champion, desk, champion, general, answers, rounds),
                *(partial(_try_scale, desk, scale, task, general, answers, rounds) for scale in scales),
            ],
            desk.settings.evaluation_models,
            answers,
        )
    choice = choose(trials, first.general, desk.settings.retention_floor)
    for scale in scales:
        if scale != choice.scale:
            drop_candidate(desk, scale)
    file = candidate_file(desk, choice.scale)
    return {
        "gguf": str(file), "sha256": sha256_file(file), "tag": candidate_tag(desk, choice.scale),
        "choice": msgspec.to_builtins(choice), "trials": msgspec.to_builtins(trials),
        "champion_general": first.general,
    }  # fmt: skip


def evaluate(desk: Desk) -> Handed:
    """Ask candidate and champion the held-out questions and the retention suite, through the serving API."""
    champion = _champion(desk)
    heldout = _heldout_questions(desk)
    asked = [*heldout, *_general_questions(desk, "general")]
    rounds = Rounds(desk, 2 * len(asked))
    tag = serve_candidate(desk, float(desk.done["export"]["choice"]["scale"]), rounds)
    tags = {"candidate": tag, "champion": champion.champion.tag}
    with AnswerFile(desk.answers) as answers:
        jobs = [partial(desk.ask, one, asked, answers, rounds.named(f"the {name}")) for name, one in tags.items()]
        answered = side_by_side(jobs, desk.settings.evaluation_models, answers)
    scores = [scores_of(one[: len(heldout)], one[len(heldout) :]) for one in answered]
    return {
        "candidate": msgspec.to_builtins(scores[0]), "champion": msgspec.to_builtins(scores[1]),
        "models": {name: digest_of(desk.shop.upstream, one) for name, one in tags.items()},
        "champion_version": champion.champion.version, "heldout": [one.item for one in heldout],
    }  # fmt: skip


def gate(desk: Desk) -> Handed:
    """Judge, and write the run's report."""
    candidate, champion = _scores(desk)
    verdict = judge(candidate, champion, rule_of(desk.settings))
    report = make_report(
        model=desk.shop.model, cycle=desk.cycle, reason=desk.reason, run=desk.run, done=desk.done, verdict=verdict,
        answers=read_answers(desk.answers),
    )  # fmt: skip
    write_report(desk.run_dir, report)
    return {"verdict": msgspec.to_builtins(verdict)}


def register(desk: Desk) -> Handed:
    """A candidate that passed becomes a version; one that didn't stays a run with its report."""
    verdict = msgspec.convert(desk.done["gate"]["verdict"], Verdict)
    if verdict.outcome != "promote":
        return {"version": None}
    candidate, champion = _scores(desk)
    given, exported = desk.done["base"], desk.done["export"]
    trained = Trained(
        parent=given["version"], base_sha256=given["sha256"], cycle=desk.cycle, run=desk.run,
        snapshot=desk.done["snapshot"]["snapshot"], gguf=Path(exported["gguf"]), gguf_sha256=exported["sha256"],
        adapter_dir=Path(desk.done["train"]["adapter_dir"]), adapter_scale=exported["choice"]["scale"],
        quantisation=desk.settings.quantisation, served=msgspec.convert(given["served"], Served), scores=candidate,
        champion_scores=champion, verdict=verdict, report=read_report(desk.run_dir).markdown(),
    )  # fmt: skip
    return {"version": desk.shop.registry.register(desk.shop.model, trained).version}


def deploy(desk: Desk) -> Handed:
    """Take the candidates away, and put the version in the champion's place, unless another came to serve meanwhile."""
    version = desk.done["register"]["version"]
    handed: Handed = {"version": version, "deployed": False}
    # First, not last: Ollama has one runner for the same weights under two names, and unloads it by either.
    drop_candidates(desk)
    if version is not None:
        desk.progress(0.0, f"deploying {version}")
        try:
            deployed = promote(desk.shop.site, version, desk.cycle, expected=desk.done["evaluate"]["champion_version"])
            handed |= {"deployed": True, **msgspec.to_builtins(deployed)}
        except ChampionMoved as error:
            handed["not_deployed"] = str(error)
    report = msgspec.structs.replace(
        read_report(desk.run_dir), version=version, deployed=bool(handed["deployed"]), flip_ms=handed.get("flip_ms"),
        not_deployed=handed.get("not_deployed", ""),
    )  # fmt: skip
    write_report(desk.run_dir, report)
    return handed


STEP_FUNCTIONS: dict[Step, Callable[[Desk], Handed]] = {
    "base": base, "snapshot": snapshot, "train": train, "export": export, "evaluate": evaluate, "gate": gate,
    "register": register, "deploy": deploy,
}  # fmt: skip


def _ask_champion(
    desk: Desk, champion: Alias, general: Sequence[Question], answers: AnswerFile, rounds: Rounds
) -> Trial:
    """What the champion keeps of itself: all of it. The measure for the scales."""
    answered = desk.ask(champion.champion.tag, general, answers, rounds.named("the champion"))
    return Trial(scale=0.0, task=0.0, task_items=0, general=mean_score(answered), general_items=len(general))


def _try_scale(
    desk: Desk,
    scale: float,
    task: Sequence[Question],
    general: Sequence[Question],
    answers: AnswerFile,
    rounds: Rounds,
) -> Trial:
    tag = serve_candidate(desk, scale, rounds)
    answered = desk.ask(tag, [*task, *general], answers, rounds.named(f"scale {scale:g}"))
    desk.shop.upstream.unload(tag)
    return Trial(
        scale=scale, task=mean_score(answered[: len(task)]), task_items=len(task),
        general=mean_score(answered[len(task) :]), general_items=len(general),
    )  # fmt: skip


def _champion(desk: Desk) -> Alias:
    """The alias as it stands, its champion pushed and loaded: a host may have lost it since the first step."""
    alias = champion_of(desk.shop.site)
    if alias is None:
        raise CycleFailed(
            f"Nothing serves as {desk.shop.model}: alias.json lost it.", "Restore the file, or promote a version."
        )
    bootstrap(desk.shop.site, desk.shop.registry.get(desk.shop.model, alias.champion.version))
    return alias


def _general_questions(desk: Desk, name: Name) -> list[Question]:
    return suite_questions(name, desk.settings.general_reply_tokens, desk.shop.parts.suite)


def _heldout_questions(desk: Desk) -> list[Question]:
    tokens = desk.settings.max_reply_tokens
    return [
        question_of(item, accept=item.accept, reference=item.reference, reply_tokens=tokens)
        for item in _sample(desk.snapshot().heldout(), desk.settings.max_heldout)
    ]


def _validation_questions(desk: Desk) -> list[Question]:
    tokens = desk.settings.max_reply_tokens
    return [
        question_of(row, accept=[], reference=row.reply, reply_tokens=tokens)
        for row in _sample(desk.snapshot().sft("validation"), desk.settings.max_validation)
    ]


def _sample(rows: Sequence[Row], most: int) -> list[Row]:
    """At most so many, the same ones each time: those whose turn's id hashes lowest."""
    return sorted(rows, key=lambda row: hashlib.sha256(row.turn_id.encode()).digest())[:most]


def _scores(desk: Desk) -> tuple[Scores, Scores]:
    given = desk.done["evaluate"]
    return msgspec.convert(given["candidate"], Scores), msgspec.convert(given["champion"], Scores)


def _training_words(at: Progress) -> str:
    loss = "" if at.loss is None else f", loss {at.loss:.3f}"
    return f"step {at.step} of {at.of}, epoch {at.epoch}{loss}"
