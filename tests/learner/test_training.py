"""The loop: the loss is the model's own, the end is the same however often it was killed, and N workers are one."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import msgspec
import pytest
import torch
import torch.distributed as dist

from learner.base import Base
from learner.checkpoints import latest_checkpoint
from learner.model import LoraModel, Place
from learner.packing import pack_rows, total_weight
from learner.runs import Progress, TrainingFailed
from learner.settings import RecipeSettings
from learner.tokens import ChatTokens, Sample, TokenRow
from learner.training import Outcome, Plan, learning_rate, train
from tests.fakes.tiny_snapshot import tiny_messages, tiny_reply

RECIPE = RecipeSettings(
    lora_rank=4, lora_alpha=8, epochs=3, batch_rows=4, checkpoint_steps=3, patience_epochs=0, learning_rate=3e-3
)


GOLDEN_LOSSES = [6.3812, 6.3213, 5.3141, 5.3783, 4.5073, 4.4916, 3.9117, 4.0402, 3.6389, 3.5793, 3.2058, 3.3961]
GOLDEN_VALIDATION = [6.6939, 5.0175, 4.0514, 3.8735]
"""Pinned: a change that moves them changes what every run learns, and has to say so."""


class Killed(Exception):
    """Stands for kill -9: nothing of the run catches it, nothing is saved on the way out."""


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def rows(tiny_base: Base) -> list[TokenRow]:
    samples = [
        Sample(row_id=str(n), messages=tiny_messages(n), reply=tiny_reply(n), weight=1.0 if n % 3 else 0.5)
        for n in range(20)
    ]
    return ChatTokens.load(tiny_base.folder).encode_all(samples, 512).rows


def plan_of(base: Base, rows: list[TokenRow], folder: Path, recipe: RecipeSettings = RECIPE) -> Plan:
    return Plan(base=base.folder, train=rows[:14], validation=rows[14:], recipe=recipe, checkpoints=folder)


def told(plan: Plan, place: Place | None = None) -> tuple[Outcome, list[Progress]]:
    seen: list[Progress] = []
    return train(plan, place or Place(), seen.append), seen


def shaken(base: Base) -> LoraModel:
    """A model whose adapter does something: B is zero at first."""
    model = LoraModel(base.folder, RECIPE, Place())
    torch.manual_seed(3)
    with torch.no_grad():
        for name, each in model.parameters.items():
            if "lora_B" in name:
                each.normal_(0, 0.2)
    return model


def gradients(model: LoraModel) -> dict[str, torch.Tensor]:
    found = {name: each.grad.clone() for name, each in model.parameters.items() if each.grad is not None}
    for each in model.parameters.values():
        each.grad = None
    return found


def test_a_pack_has_the_loss_and_gradient_of_its_rows_one_by_one_as_transformers_has_them(
    tiny_base: Base, rows: list[TokenRow]
) -> None:
    model = shaken(tiny_base)
    packs = pack_rows(rows[:6], 4, 512)
    assert len(packs) == 2 and packs[0].segments[0] == 0, "rows share a beginning here"
    packed = sum(model.loss(pack) for pack in packs)
    assert isinstance(packed, torch.Tensor)
    packed.backward()
    ours = gradients(model)
    total = torch.zeros(())
    for row in rows[:6]:
        ids = torch.tensor([row.ids])
        labels = ids.clone()
        labels[0, : row.prompt] = -100
        mean = model._peft(input_ids=ids, labels=labels).loss
        total = total + mean * (len(row.ids) - row.prompt) * row.weight
    total.backward()
    theirs = gradients(model)
    assert packed.item() == pytest.approx(total.item(), rel=1e-5)
    assert len(ours) == len(theirs) == 2 * 7 * 2, "seven linear layers of two blocks, A and B"
    for name, gradient in ours.items():
        torch.testing.assert_close(gradient, theirs[name], rtol=1e-3, atol=1e-4)


def test_bfloat16_is_near_and_the_weights_that_learn_stay_in_fp32(tiny_base: Base, rows: list[TokenRow]) -> None:
    exact = shaken(tiny_base)
    half = LoraModel(tiny_base.folder, RECIPE, Place(precision="bf16"))
    half.load_adapter(exact.adapter())
    [pack] = pack_rows(rows[:6], 8, 512)
    weight = total_weight(rows[:6])
    assert half.loss(pack).item() / weight == pytest.approx(exact.loss(pack).item() / weight, rel=0.02)
    assert {each.dtype for each in half.parameters.values()} == {torch.float32}


def test_golden_losses(tiny_base: Base, rows: list[TokenRow], tmp_path: Path) -> None:
    outcome, seen = told(plan_of(tiny_base, rows, tmp_path))
    losses = [each.loss for each in seen if each.loss is not None]
    validation = [each.validation_loss for each in seen if each.validation_loss is not None]
    assert losses == pytest.approx(GOLDEN_LOSSES, rel=2e-3)
    assert validation == pytest.approx(GOLDEN_VALIDATION, rel=2e-3)
    assert (outcome.stopped, outcome.position.step, outcome.position.epoch) == ("epochs", 12, 3)
    assert outcome.position.train_tokens == 3 * sum(len(row.ids) for row in rows[:14])
    assert seen[-1].share == 1.0


@pytest.mark.parametrize(
    ("dies_at", "goes_on_at"),
    [(3, 1), (5, 5), (12, 10)],  # checkpoints: after steps 3, 4 (an epoch's end), 6, 8 (an epoch's end), 9
)
def test_a_run_that_is_killed_ends_with_the_same_weights(
    tiny_base: Base, rows: list[TokenRow], tmp_path: Path, dies_at: int, goes_on_at: int
) -> None:
    recipe = msgspec.structs.replace(RECIPE, lora_dropout=0.1)
    whole, _ = told(plan_of(tiny_base, rows, tmp_path / "whole", recipe))

    def die(progress: Progress) -> None:
        if progress.step == dies_at:
            raise Killed

    with pytest.raises(Killed):
        train(plan_of(tiny_base, rows, tmp_path / "killed", recipe), Place(), die)
    resumed, seen = told(plan_of(tiny_base, rows, tmp_path / "killed", recipe))
    assert all(torch.equal(resumed.weights[name], each) for name, each in whole.weights.items())
    assert resumed.position.best_loss == whole.position.best_loss
    assert resumed.position.attempts == (1 if goes_on_at == 1 else 2), "before its first checkpoint it starts over"
    assert min(each.step for each in seen if each.loss is not None) == goes_on_at
    assert len(list((tmp_path / "killed").iterdir())) == 2, "the newest two checkpoints are kept"


def test_a_damaged_checkpoint_is_passed_over_for_the_one_before(
    tiny_base: Base, rows: list[TokenRow], tmp_path: Path
) -> None:
    told(plan_of(tiny_base, rows, tmp_path))
    before, last = sorted(tmp_path.iterdir())
    tensors = last / "tensors.safetensors"
    tensors.write_bytes(tensors.read_bytes()[:-1] + b"\xff")
    found = latest_checkpoint(tmp_path)
    assert found is not None and before.name == f"step-{found[0].step:06d}-{found[0].epoch:03d}"


def test_training_stops_when_validation_no_longer_gains_and_keeps_the_best_epoch(
    tiny_base: Base, rows: list[TokenRow], tmp_path: Path
) -> None:
    eager = msgspec.structs.replace(RECIPE, learning_rate=1e-2, epochs=9, patience_epochs=2)
    others = ChatTokens.load(tiny_base.folder).encode_all(
        [Sample(row_id=str(n), messages=tiny_messages(n), reply="Quite other words!") for n in range(6)], 512
    )  # the better the training rows are known, the less likely these
    plan = msgspec.structs.replace(plan_of(tiny_base, rows, tmp_path, eager), validation=others.rows)
    outcome, seen = told(plan)
    losses = [each.validation_loss for each in seen if each.validation_loss is not None][1:]
    assert outcome.stopped == "patience" and len(losses) < 9
    assert outcome.position.best_loss == min(losses)
    assert outcome.position.best_epoch == losses.index(min(losses)) + 1 == len(losses) - 2
    model = LoraModel(tiny_base.folder, eager, Place())
    model.load_adapter(outcome.weights)
    [pack] = pack_rows(others.rows, 8, 512)
    assert model.loss(pack).item() / total_weight(others.rows) == pytest.approx(min(losses), rel=1e-4)


def test_no_steps_give_an_untrained_adapter(tiny_base: Base, rows: list[TokenRow], tmp_path: Path) -> None:
    control = msgspec.structs.replace(RECIPE, max_steps=0)
    outcome, seen = told(plan_of(tiny_base, rows, tmp_path, control))
    assert (outcome.stopped, outcome.position.step, len(seen)) == ("max-steps", 0, 1)
    zero = {name: bool((each == 0).all()) for name, each in outcome.weights.items()}
    assert all(value == ("lora_B" in name) for name, value in zero.items())


def test_few_steps_end_in_the_middle_of_an_epoch(tiny_base: Base, rows: list[TokenRow], tmp_path: Path) -> None:
    outcome, _ = told(plan_of(tiny_base, rows, tmp_path, msgspec.structs.replace(RECIPE, max_steps=2)))
    assert (outcome.stopped, outcome.position.step, outcome.position.best_epoch) == ("max-steps", 2, 1)


def test_a_loss_that_is_no_number_fails_the_run(tiny_base: Base, rows: list[TokenRow], tmp_path: Path) -> None:
    broken = [msgspec.structs.replace(row, weight=float("nan")) for row in rows]
    with pytest.raises(TrainingFailed, match="loss of step 1 is nan"):
        told(plan_of(tiny_base, broken, tmp_path))


def test_the_rate_warms_up_to_its_peak_and_falls_to_nothing() -> None:
    rates = [learning_rate(step, 100, RecipeSettings(learning_rate=1.0, warmup_share=0.1)) for step in range(100)]
    assert rates[:10] == pytest.approx([0.1 * step for step in range(1, 11)])
    assert rates[9:] == sorted(rates[9:], reverse=True) and rates[-1] < 0.001
    assert learning_rate(0, 1, RecipeSettings(learning_rate=1.0)) == 1.0


def test_two_workers_do_what_one_does_with_twice_the_rows(
    tiny_base: Base, rows: list[TokenRow], tmp_path: Path
) -> None:
    one, seen = told(plan_of(tiny_base, rows, tmp_path / "one", msgspec.structs.replace(RECIPE, batch_rows=8)))
    context = multiprocessing.get_context("spawn")
    plan = plan_of(tiny_base, rows, tmp_path / "two")
    workers = [
        context.Process(target=work_beside, args=(plan, rank, tmp_path / "meet", tmp_path / f"{rank}.pt"))
        for rank in range(2)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    two = [torch.load(tmp_path / f"{rank}.pt") for rank in range(2)]
    assert [found["losses"] for found in two] == [two[0]["losses"]] * 2, "all workers are told the same"
    assert two[0]["losses"] == pytest.approx([each.loss for each in seen if each.loss is not None], rel=1e-4)
    for name, each in one.weights.items():
        assert torch.equal(two[0]["weights"][name], two[1]["weights"][name])
        torch.testing.assert_close(two[0]["weights"][name], each, rtol=1e-2, atol=1e-4)


def work_beside(plan: Plan, rank: int, meet: Path, out: Path) -> None:
    """One of two workers, in a process of its own."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=2)
    outcome, seen = told(plan, Place(rank=rank, workers=2))
    torch.save({"weights": outcome.weights, "losses": [each.loss for each in seen if each.loss is not None]}, out)
    dist.destroy_process_group()
