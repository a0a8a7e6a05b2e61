"""The training loop, once, top to bottom: LoRA fine-tuning of a base on the replies of rows.

One worker and N workers run the same lines. Each knows the whole order of the data, takes its share of every step, and
adds its gradients to the others'; the loss is divided by the weight of the whole step, so N workers do exactly what one
would with N times the rows in a step. Ray is not seen here: progress goes out through a callable.

Must never depend on anything but rows, recipe and position: a run killed anywhere and taken up from its checkpoint ends
with the same weights (on a processor to the bit).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import torch
import torch.distributed as dist

from learner.checkpoints import Position, latest_checkpoint, save_checkpoint
from learner.model import LoraModel, Place
from learner.packing import epoch_steps, pack_rows, steps_in_epoch, total_weight
from learner.runs import Progress, TrainingFailed
from learner.settings import RecipeSettings
from learner.tokens import TokenRow

Stopped = Literal["epochs", "patience", "max-steps"]


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to train on, and where to keep checkpoints."""

    base: Path
    train: list[TokenRow]
    validation: list[TokenRow]
    recipe: RecipeSettings
    checkpoints: Path


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a training ended. `weights` is the best epoch's adapter, or the last one's where nothing validates."""

    position: Position
    stopped: Stopped
    weights: dict[str, torch.Tensor]
    config: object
    """PEFT's LoraConfig."""


def train(plan: Plan, place: Place, report: Callable[[Progress], None]) -> Outcome:
    """Train from the last checkpoint, or from the start, to the end.

    `report` is called on every worker, equally often. Raises TrainingFailed where the loss is no number any more.
    """
    recipe = plan.recipe
    model = LoraModel(plan.base, recipe, place)
    optimizer = torch.optim.AdamW(
        model.parameters.values(), lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )
    last_step = _last_step(plan, place)
    best = model.adapter()
    position = Position(attempts=1)
    if found := latest_checkpoint(plan.checkpoints):
        position, best = found[0], _part(found[1], "best")
        position = msgspec.structs.replace(position, attempts=position.attempts + 1)
        model.load_adapter(_part(found[1], "adapter"))
        _load_moments(optimizer, found[1])
    else:
        first = _validate(model, plan.validation, recipe) if last_step else None
        position = msgspec.structs.replace(position, first_loss=first)
        report(Progress(step=0, of=last_step, epoch=0, validation_loss=first))

    while (stopped := _why_stop(position, recipe, last_step)) is None:
        steps = epoch_steps(len(plan.train), recipe, position.epoch, place.workers)
        for numbers in steps[position.index :]:
            began = time.perf_counter()
            rows = [plan.train[number] for number in numbers]
            rate = learning_rate(position.step, last_step, recipe)
            loss = _step(model, optimizer, rows, rate, position.step, recipe)
            position = msgspec.structs.replace(
                position,
                step=position.step + 1,
                index=position.index + 1,
                train_tokens=position.train_tokens + sum(len(row.ids) for row in rows),
                seconds=position.seconds + time.perf_counter() - began,
            )
            report(_progress(position, last_step, loss=loss, rate=rate))
            if position.step == last_step:
                break
            if position.step % recipe.checkpoint_steps == 0 and position.index < len(steps):
                _save(plan, place, model, optimizer, position, best)
        began = time.perf_counter()
        validation = _validate(model, plan.validation, recipe)
        better = validation is None or position.best_loss is None or validation < position.best_loss
        position = msgspec.structs.replace(
            position,
            epoch=position.epoch + 1,
            index=0,
            best_epoch=position.epoch + 1 if better else position.best_epoch,
            best_loss=validation if better else position.best_loss,
            stale=0 if better else position.stale + 1,
            seconds=position.seconds + time.perf_counter() - began,
        )
        best = model.adapter() if better else best
        report(_progress(position, last_step, validation=validation))
        _save(plan, place, model, optimizer, position, best)
    return Outcome(position=position, stopped=stopped, weights=best, config=model.config)


def learning_rate(step: int, last_step: int, recipe: RecipeSettings) -> float:
    """The rate of a step (from 0): up to its peak in a straight line over the warm-up, then down to 0 by a cosine.
    A function of the step alone, so there is no scheduler to save."""
    warm = max(1, round(recipe.warmup_share * last_step))
    if step < warm:
        return recipe.learning_rate * (step + 1) / warm
    return recipe.learning_rate * (1 + math.cos(math.pi * (step - warm) / max(1, last_step - warm))) / 2


def _step(
    model: LoraModel,
    optimizer: torch.optim.Optimizer,
    rows: Sequence[TokenRow],
    rate: float,
    step: int,
    recipe: RecipeSettings,
) -> float:
    """One optimiser step on the rows of all workers. Returns the step's mean loss per reply token, in nats."""
    place, weight = model.place, total_weight(rows)
    # Dropout's random numbers are a function of seed, step and worker too, so there is no generator to save.
    torch.manual_seed((recipe.seed * 1_000_003 + step) * 1_009 + place.rank)
    total = torch.zeros((), device=place.device)
    for pack in pack_rows(rows[place.rank :: place.workers], recipe.batch_rows, place.pack_tokens):
        loss = model.loss(pack) / weight
        loss.backward()  # type: ignore[no-untyped-call]
        total += loss.detach()
    _add_gradients(model)
    value = _sum(total, place)
    if not math.isfinite(value):
        raise TrainingFailed(
            f"The loss of step {step + 1} is {value}.", "Lower recipe.learning_rate, or look at the rows' weights."
        )
    torch.nn.utils.clip_grad_norm_(model.parameters.values(), recipe.max_grad_norm)
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    return value


@torch.no_grad()
def _validate(model: LoraModel, rows: Sequence[TokenRow], recipe: RecipeSettings) -> float | None:
    """The mean loss per reply token of the validation rows, in nats; none where there are none."""
    if not rows:
        return None
    place, total = model.place, torch.zeros((), device=model.place.device)
    model.training(False)
    for pack in pack_rows(rows[place.rank :: place.workers], recipe.batch_rows, place.pack_tokens):
        total += model.loss(pack)
    model.training(True)
    return _sum(total, place) / total_weight(rows)


def _why_stop(position: Position, recipe: RecipeSettings, last_step: int) -> Stopped | None:
    """Why training ends here; none while it goes on."""
    if position.step >= last_step:
        return "max-steps" if 0 <= recipe.max_steps == position.step else "epochs"
    if recipe.patience_epochs and position.stale >= recipe.patience_epochs:
        return "patience"
    return None


def _last_step(plan: Plan, place: Place) -> int:
    full = plan.recipe.epochs * steps_in_epoch(len(plan.train), plan.recipe, place.workers)
    return full if plan.recipe.max_steps < 0 else min(full, plan.recipe.max_steps)


def _progress(
    position: Position, of: int, *, loss: float | None = None, rate: float = 0.0, validation: float | None = None
) -> Progress:
    return Progress(
        step=position.step,
        of=of,
        epoch=position.epoch + (position.index > 0),
        loss=loss,
        learning_rate=rate,
        tokens_per_s=position.train_tokens / position.seconds if position.seconds else 0.0,
        validation_loss=validation,
    )


def _add_gradients(model: LoraModel) -> None:
    """Sum the workers' gradients. By hand rather than through DDP: an adapter's are few, one flat buffer carries them,
    and a worker whose share of the last step is empty takes part with zeros."""
    if model.place.workers == 1:
        return
    for each in model.parameters.values():
        if each.grad is None:
            each.grad = torch.zeros_like(each)
    gradients = [each.grad for each in model.parameters.values() if each.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    start = 0
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
        start += gradient.numel()


def _sum(value: torch.Tensor, place: Place) -> float:
    """The sum of a scalar over all workers; the same number on each, so that all take the same decisions."""
    if place.workers > 1:
        dist.all_reduce(value)
    return value.item()


def _save(
    plan: Plan,
    place: Place,
    model: LoraModel,
    optimizer: torch.optim.Optimizer,
    position: Position,
    best: dict[str, torch.Tensor],
) -> None:
    if place.rank != 0:
        return
    tensors = {f"best.{name}": each for name, each in best.items()}
    tensors |= {f"adapter.{name}": each for name, each in model.adapter().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"moment.{number:05d}.{name}": each.cpu().contiguous() for name, each in state.items()}
    save_checkpoint(plan.checkpoints, position, tensors)


def _load_moments(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    state: dict[int, dict[str, torch.Tensor]] = {}
    for name, each in _part(tensors, "moment").items():
        number, key = name.split(".")
        state.setdefault(int(number), {})[key] = each
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _part(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {name.removeprefix(f"{prefix}."): each for name, each in tensors.items() if name.startswith(f"{prefix}.")}
