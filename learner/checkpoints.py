"""Checkpoints: where a killed training goes on, exactly.

A checkpoint holds the adapter, the best adapter so far, the optimiser's moments and the position. Nothing else is
needed: the learning rate, the data order and the random numbers of dropout are functions of the position and the seed.
It is written into a part folder, synced, and renamed, so a checkpoint is whole or not there; the newest two are kept,
and one that no longer has its hash is passed over for the one before it.

Ray could keep checkpoints too, and does not here: its record of them is written in place (a kill can leave half of it),
and refuses to be read by another Ray version, both of which would turn "resume" into "start over".
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec
import torch
from safetensors.torch import load_file, save_file

from feedback.files import replace_file, sha256_file, sync_folder

KEPT = 2
TENSORS, STATE = "tensors.safetensors", "state.json"

Tensors = dict[str, torch.Tensor]


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """How far a training has come."""

    step: int = 0
    """Optimiser steps done."""
    epoch: int = 0
    """Epochs finished."""
    index: int = 0
    """Steps done of the epoch under way."""
    best_epoch: int = 0
    """The epoch, from 1, after which the best adapter was kept; 0: none yet."""
    best_loss: float | None = None
    stale: int = 0
    """Epochs since the best one."""
    first_loss: float | None = None
    """Validation loss before the first step."""
    train_tokens: int = 0
    seconds: float = 0.0
    attempts: int = 0
    """Times that a worker began or took up the run before this checkpoint."""


class _State(msgspec.Struct, frozen=True, kw_only=True):
    position: Position
    sha256: str


def save_checkpoint(folder: Path, position: Position, tensors: Tensors) -> Path:
    """Write `folder/step-<n>/`, whole or not at all, and delete all but the newest two."""
    name = f"step-{position.step:06d}-{position.epoch:03d}"
    part = folder / f".{name}.{os.getpid()}.part"
    if part.exists():
        shutil.rmtree(part)
    part.mkdir(parents=True)
    save_file(tensors, part / TENSORS)
    _sync(part / TENSORS)
    state = _State(position=position, sha256=sha256_file(part / TENSORS))
    replace_file(part / STATE, msgspec.json.encode(state))
    final = folder / name
    if final.exists():  # a run that passed over a damaged checkpoint makes it anew
        shutil.rmtree(final)
    os.replace(part, final)
    sync_folder(folder)
    _sweep(folder)
    return final


def latest_checkpoint(folder: Path) -> tuple[Position, Tensors] | None:
    """The newest whole checkpoint; none where there is none."""
    for path in reversed(sorted(folder.glob("step-*"))):
        try:
            state = msgspec.json.decode((path / STATE).read_bytes(), type=_State)
            if sha256_file(path / TENSORS) == state.sha256:
                return state.position, load_file(path / TENSORS)
        except (OSError, msgspec.DecodeError):
            continue  # damaged: the one before it is the newest whole one
    return None


def _sweep(folder: Path) -> None:
    for old in sorted(folder.glob("step-*"))[:-KEPT]:
        shutil.rmtree(old)
    for part in folder.glob(".step-*.part"):  # left by a worker that was killed while it wrote
        shutil.rmtree(part)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
