"""Whole cycles over real files: killed at every step in turn they end the same way, and never with two versions."""

import fcntl
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from feedback.errors import CycleRunning, NothingToLearn
from learner.cycle import Stopped, cycle_lock, lock_holder, run_cycle
from learner.deploy import champion_of, promote
from learner.desk import Desk, Handed
from learner.journal import deaths
from learner.records import STEPS, CycleState, Step, read_cycle
from learner.report import read_report
from learner.steps import STEP_FUNCTIONS
from learner.upstream import Upstream
from learner.workshop import LearnerTables, Workshop
from tests.fakes.ollama import FakeOllama
from tests.fakes.world import HELDOUT, LEARNT, Killed, answers, dying, tables_of, workshop

CYCLE = "cycle-0000000000010000000000000000000000"[:38]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("learner.deploy.GRACE_S", 0.01)
    monkeypatch.setattr("learner.upstream.PAUSES_S", (0.01, 0.01))


@pytest.fixture
def fake() -> Iterator[FakeOllama]:
    with FakeOllama(models=[], answers=answers) as server:
        yield server


@pytest.fixture
def shop(fake: FakeOllama, tmp_path: Path) -> Iterator[Workshop]:
    with Upstream(fake.url, timeout_s=5.0) as upstream:
        yield workshop(tables_of(tmp_path, fake.url), upstream)


def versions(shop: Workshop) -> list[str]:
    return [one.version for one in shop.registry.list("assistant")]


def check_ended_well(shop: Workshop, state: CycleState) -> None:
    """What every good cycle comes to, however it got there."""
    assert state.status == "finished", state.outcome
    assert set(state.done) == set(STEPS)
    assert versions(shop) == ["1.0.0", "1.1.0"]
    made = shop.registry.get("assistant", "1.1.0")
    run = "run-" + state.cycle.removeprefix("cycle-")
    assert (made.cycle, made.run, made.parent, made.adapter_scale) == (state.cycle, run, "1.0.0", 0.6)
    assert made.scores is not None and made.scores.heldout == 1.0 and made.scores.heldout_items == HELDOUT
    assert made.champion_scores is not None and made.champion_scores.heldout == 0.0
    shop.registry.verify(made)
    alias = champion_of(shop.site)
    assert alias is not None
    assert (alias.champion.tag, alias.reason) == ("assistant:1.1.0", state.cycle)
    assert [one.tag for one in alias.previous] == ["assistant:1.0.0"]
    assert set(shop.upstream.tags()) == {"assistant:1.0.0", "assistant:1.1.0"}  # no candidate is left
    assert shop.upstream.loaded() == ["assistant:1.1.0"]
    assert [path.name for path in (shop.data_dir / "runs").iterdir()] == [run]
    assert list((shop.data_dir / "runs" / run).glob("candidate*")) == []


def test_a_cycle_goes_round_from_snapshot_to_alias(shop: Workshop) -> None:
    state = run_cycle(shop, CYCLE, "asked for")
    check_ended_well(shop, state)
    outcome = state.outcome
    assert outcome["verdict"]["outcome"] == "promote" and outcome["version"] == "1.1.0" and outcome["deployed"]
    assert 0 < outcome["flip_ms"] < 50
    assert state.reason == "asked for"


def test_once_a_version_serves_only_its_predecessor_is_unloaded(shop: Workshop, fake: FakeOllama) -> None:
    run_cycle(shop, CYCLE, "asked for")
    warmed = max(at for at, seen in enumerate(fake.history) if seen.body.get("model") == "assistant:1.1.0")
    unloaded = [seen.body["model"] for seen in fake.history[warmed:] if seen.body.get("keep_alive") == 0]
    assert unloaded == ["assistant:1.0.0"]


def test_a_host_that_lost_its_models_during_training_gets_the_champion_again(shop: Workshop, fake: FakeOllama) -> None:
    def lost(desk: Desk) -> Handed:
        handed = STEP_FUNCTIONS["train"](desk)
        fake.library.models.clear()
        fake.library.blobs.clear()
        return handed

    check_ended_well(shop, run_cycle(shop, CYCLE, "asked for", {**STEP_FUNCTIONS, "train": lost}))


def test_the_report_tells_scores_reasons_scales_lineage_and_one_question_before_and_after(shop: Workshop) -> None:
    state = run_cycle(shop, CYCLE, "asked for")
    run_dir = shop.data_dir / "runs" / str(state.outcome["run"])
    report = read_report(run_dir)
    assert (report.version, report.deployed, report.champion, report.trained_from) == ("1.1.0", True, "1.0.0", "1.0.0")
    assert report.verdict.gain == 1.0 and report.flip_ms == state.outcome["flip_ms"]
    assert {trial.scale: trial.general < 0.7 for trial in report.trials} == {1.0: True, 0.6: False}
    assert report.choice.scale == 0.6
    first = report.examples[0]
    assert (first.before, first.after) == ("I don't know.", LEARNT)
    assert report.snapshot_rows["sft-train.parquet"] == 8
    text = (run_dir / "report.md").read_text()
    for told in (LEARNT, "I don't know.", report.snapshot, report.run, "0.6 ←", "40 turns, 30 ratings", "Promoted"):
        assert told in text
    kept = (shop.registry.folder("assistant", "1.1.0") / "report.md").read_text()
    assert LEARNT in kept


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_it_goes_on_and_ends_the_same_way_with_one_version(shop: Workshop, step: Step) -> None:
    def die() -> None:
        raise Killed

    with pytest.raises(Killed):
        run_cycle(shop, CYCLE, "asked for", dying(step, "after", die))
    path = shop.journal_dir / f"{CYCLE}.jsonl"
    assert read_cycle(path).status == "running" and read_cycle(path).step == step
    with path.open("ab") as file:
        file.write(b'{"at":"2026-01-01T00:00:00Z","event":"do')  # the line that the kill cut
    state = run_cycle(shop, CYCLE, "another reason")
    check_ended_well(shop, state)
    assert state.reason == "asked for"
    assert [line["event"] for line in map(json.loads, path.read_text().splitlines())].count("resumed") == 1


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_step_in_one_cycle_it_still_ends_with_one_version(shop: Workshop, when: str) -> None:
    def die() -> None:
        raise Killed

    for step in STEPS:
        with pytest.raises(Killed):
            run_cycle(shop, CYCLE, "asked for", dying(step, when, die))
    check_ended_well(shop, run_cycle(shop, CYCLE, "asked for"))


def test_done_steps_are_not_done_again(shop: Workshop) -> None:
    ran: list[str] = []

    def counted(step: Step) -> object:
        def run(desk: Desk) -> Handed:
            ran.append(step)
            if step == "gate" and ran.count("gate") == 1:
                raise Killed
            return STEP_FUNCTIONS[step](desk)

        return run

    steps = {step: counted(step) for step in STEPS}
    with pytest.raises(Killed):
        run_cycle(shop, CYCLE, "asked for", steps)  # type: ignore[arg-type]
    run_cycle(shop, CYCLE, "asked for", steps)  # type: ignore[arg-type]
    assert ran == [*STEPS[:6], "gate", "register", "deploy"]


def test_a_finished_cycle_that_is_started_again_says_what_it_said(shop: Workshop) -> None:
    first = run_cycle(shop, CYCLE, "asked for")
    assert run_cycle(shop, CYCLE, "asked for") == first


def test_answers_that_are_there_are_not_asked_for_again(shop: Workshop, fake: FakeOllama) -> None:
    def die() -> None:
        raise Killed

    with pytest.raises(Killed):
        run_cycle(shop, CYCLE, "asked for", dying("evaluate", "after", die))
    before = len(fake.chats)
    state = run_cycle(shop, CYCLE, "asked for")
    asked = [seen for seen in fake.chats[before:] if seen.path == "/api/chat" and "_debug_render_only" not in seen.body]
    assert state.status == "finished"
    assert len(asked) == 1  # the smoke test


def test_two_cycles_make_two_versions_on_the_same_base(shop: Workshop) -> None:
    run_cycle(shop, CYCLE, "first")
    second = run_cycle(shop, CYCLE[:-1] + "1", "second")
    # The champion knows it all already, so nothing is gained.
    assert second.outcome["verdict"]["outcome"] == "refuse" and second.outcome["version"] is None
    assert versions(shop) == ["1.0.0", "1.1.0"]


def test_a_candidate_that_learnt_nothing_is_refused_and_the_champion_serves_on(tmp_path: Path) -> None:
    def as_before(model: str, messages: list[dict[str, str]]) -> str:
        return answers("assistant:1.0.0", messages)

    with FakeOllama(models=[], answers=as_before) as fake, Upstream(fake.url) as upstream:
        shop = workshop(tables_of(tmp_path, fake.url), upstream)
        state = run_cycle(shop, CYCLE, "asked for")
        assert state.status == "finished"
        assert state.outcome["verdict"]["outcome"] == "refuse" and not state.outcome["deployed"]
        assert versions(shop) == ["1.0.0"]
        alias = champion_of(shop.site)
        assert alias is not None and alias.champion.version == "1.0.0" and alias.previous == []
        assert set(upstream.tags()) == {"assistant:1.0.0"}
        report = read_report(shop.data_dir / "runs" / str(state.outcome["run"]))
        assert report.version is None and "Refused" in report.markdown()


def test_a_champion_that_moved_meanwhile_is_not_pushed_aside(shop: Workshop) -> None:
    run_cycle(shop, CYCLE, "first")
    promote(shop.site, "1.0.0", "an operator went back")

    def moved(desk: Desk) -> Handed:
        handed = STEP_FUNCTIONS["register"](desk)
        promote(shop.site, "1.1.0", "an operator went forward")
        return handed

    state = run_cycle(shop, CYCLE[:-1] + "1", "second", {**STEP_FUNCTIONS, "register": moved})
    assert state.status == "finished"
    assert state.outcome["version"] == "1.2.0" and not state.outcome["deployed"]
    assert "ratchet promote 1.2.0" in state.outcome["not_deployed"]
    alias = champion_of(shop.site)
    assert alias is not None and alias.champion.version == "1.1.0"


def test_a_failure_is_journalled_with_code_message_and_mend_and_leaves_no_candidate(
    shop: Workshop, fake: FakeOllama
) -> None:
    def failing(desk: Desk) -> Handed:
        assert any("candidate" in tag for tag in shop.upstream.tags())
        raise NothingToLearn("There is nothing to learn.", "Wait for ratings.")

    state = run_cycle(shop, CYCLE, "asked for", {**STEP_FUNCTIONS, "evaluate": failing})
    assert state.status == "failed" and state.step == "evaluate"
    assert state.outcome == {
        "code": "nothing-to-learn", "message": "There is nothing to learn.", "mend": "Wait for ratings.",
    }  # fmt: skip
    assert set(shop.upstream.tags()) == {"assistant:1.0.0"}
    # Started again by hand it goes on where it stood, makes its candidate anew, and ends well.
    check_ended_well(shop, run_cycle(shop, CYCLE, "again"))


def test_an_unforeseen_error_is_journalled_without_its_text(shop: Workshop) -> None:
    def failing(desk: Desk) -> Handed:
        raise ValueError("somebody wrote this")

    state = run_cycle(shop, CYCLE, "asked for", {**STEP_FUNCTIONS, "gate": failing})
    assert state.outcome["code"] == "internal" and "ValueError" in state.outcome["message"]
    assert "somebody" not in (shop.journal_dir / f"{CYCLE}.jsonl").read_text()


@pytest.mark.parametrize("asked", [Stopped, KeyboardInterrupt])
def test_a_cycle_that_is_asked_to_stop_says_so_and_goes_on_later(shop: Workshop, asked: type[BaseException]) -> None:
    def stop() -> None:
        raise asked

    with pytest.raises(asked):
        run_cycle(shop, CYCLE, "asked for", dying("train", "before", stop))
    assert deaths(shop.journal_dir / f"{CYCLE}.jsonl") == 0
    state = read_cycle(shop.journal_dir / f"{CYCLE}.jsonl")
    assert (state.status, state.step) == ("running", "train")
    check_ended_well(shop, run_cycle(shop, CYCLE, "asked for"))


def test_one_cycle_at_a_time_and_a_dead_ones_lock_is_no_lock(shop: Workshop) -> None:
    with cycle_lock(shop.journal_dir, "cycle-other"):
        holder = lock_holder(shop.journal_dir)
        assert holder is not None and holder.cycle == "cycle-other"
        with pytest.raises(CycleRunning, match="cycle-other"):
            run_cycle(shop, CYCLE, "asked for")
    assert lock_holder(shop.journal_dir) is None
    (shop.journal_dir / "cycle.lock").write_text('{"pid": 1, "cycle": "cycle-dead"}')
    assert lock_holder(shop.journal_dir) is None
    check_ended_well(shop, run_cycle(shop, CYCLE, "asked for"))


def test_whoever_only_looks_at_the_lock_does_not_stop_a_cycle(shop: Workshop) -> None:
    shop.journal_dir.mkdir(parents=True)
    (shop.journal_dir / "cycle.lock").touch()
    with (shop.journal_dir / "cycle.lock").open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        timer = threading.Timer(0.2, lambda: fcntl.flock(looking, fcntl.LOCK_UN))
        timer.start()
        with cycle_lock(shop.journal_dir, CYCLE):
            pass
        timer.join()


def test_settings_go_to_a_child_and_come_back_the_same(tmp_path: Path) -> None:
    tables = tables_of(tmp_path, "http://127.0.0.1:1", min_gain=0.123)
    tables.write(tmp_path / "tables.json")
    assert LearnerTables.read(tmp_path / "tables.json") == tables
    assert msgspec.json.decode((tmp_path / "tables.json").read_bytes())["learner"]["min_gain"] == 0.123
