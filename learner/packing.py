"""Which rows make a step, in which order, and how they lie in a forward pass. Pure functions of rows, seed and epoch,
so that a resumed run sees the same data in the same order, and N workers share it without talking.

Rows are packed, not padded. One pack is a single sequence: what all its rows begin with (the system prompt) stands in
it once, then each row's own tokens; the attention mask lets a row see that beginning and itself, and positions go on as
if it stood alone. Causal attention makes this exact: the loss and the gradient are those of the rows one by one. On
short chats it saves all the padding and 40 % of the tokens. (Grouping rows by length would save part of the padding
only, and make the order depend on lengths.)
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import msgspec

from learner.settings import RecipeSettings
from learner.tokens import TokenRow


class Pack(msgspec.Struct, frozen=True, kw_only=True):
    """One forward pass. All lists of tokens have the pack's length, all lists of targets their number."""

    ids: list[int]
    positions: list[int]
    """Each token's position in its own row."""
    segments: list[int]
    """Whose token it is: 0 for the beginning that all rows share, 1 … n for the rows."""
    sources: list[int]
    """For each target, the index in the pack of the token after which it is predicted."""
    targets: list[int]
    """Token ids that the loss falls on."""
    weights: list[float]
    """Each target's weight: its row's."""
    row_tokens: int
    """Tokens of the rows, each counted whole, as throughput is told."""


def steps_in_epoch(rows: int, recipe: RecipeSettings, workers: int) -> int:
    """Optimiser steps of one pass over the rows."""
    return math.ceil(rows / (recipe.batch_rows * recipe.accumulate * workers))


def epoch_steps(rows: int, recipe: RecipeSettings, epoch: int, workers: int) -> list[list[int]]:
    """The row numbers of each step of an epoch (from 0), all workers together; every row once."""
    order = list(range(rows))
    random.Random(recipe.seed * 1_000_003 + epoch).shuffle(order)
    size = recipe.batch_rows * recipe.accumulate * workers
    return [order[start : start + size] for start in range(0, rows, size)]


def total_weight(rows: Sequence[TokenRow]) -> float:
    """What the summed losses of these rows are divided by: their reply tokens, weighted."""
    return sum(row.weight * (len(row.ids) - row.prompt) for row in rows)


def pack_rows(rows: Sequence[TokenRow], max_rows: int, max_tokens: int) -> list[Pack]:
    """Pack rows in their order, at most `max_rows` and `max_tokens` in one pack; a longer row gets one by itself."""
    packs: list[Pack] = []
    group: list[TokenRow] = []
    for row in rows:
        if group and (len(group) == max_rows or _packed_tokens([*group, row]) > max_tokens):
            packs.append(_pack(group))
            group = []
        group.append(row)
    return [*packs, _pack(group)] if group else packs


def _packed_tokens(rows: Sequence[TokenRow]) -> int:
    shared = _shared(rows)
    return shared + sum(len(row.ids) - 1 - shared for row in rows)


def _shared(rows: Sequence[TokenRow]) -> int:
    """How many tokens all rows begin with, short of every row's last prompt token: each keeps one token of its own."""
    if len(rows) == 1:
        return 0
    limit = min(row.prompt for row in rows) - 1
    first, last = min(row.ids[:limit] for row in rows), max(row.ids[:limit] for row in rows)
    # What the least and the greatest have in common, all between them have too.
    return next((index for index in range(limit) if first[index] != last[index]), limit)


def _pack(rows: Sequence[TokenRow]) -> Pack:
    shared = _shared(rows)
    ids = list(rows[0].ids[:shared])
    positions, segments = list(range(shared)), [0] * shared
    sources: list[int] = []
    targets: list[int] = []
    weights: list[float] = []
    for number, row in enumerate(rows, 1):
        start = len(ids) - shared  # index in the pack = start + index in the row, beyond the shared beginning
        own = row.ids[shared:-1]  # nothing is predicted after the last token
        ids += own
        positions += range(shared, shared + len(own))
        segments += [number] * len(own)
        sources += range(start + row.prompt - 1, start + len(row.ids) - 1)
        targets += row.ids[row.prompt :]
        weights += [row.weight] * (len(row.ids) - row.prompt)
    return Pack(
        ids=ids,
        positions=positions,
        segments=segments,
        sources=sources,
        targets=targets,
        weights=weights,
        row_tokens=sum(len(row.ids) for row in rows),
    )
