"""How long what lies in a slot stays: lives of contents, ended, or cut off with the text."""

from collections import Counter
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

CHANGED = 0.5
"""A content counts as overwritten once its cosine with what stands there is below this."""


WRITTEN = 0.1
"""A life begins with a change of this share of the largest one to any slot of the sequence."""


class Life(NamedTuple):
    """One content of one slot."""

    tokens: int  # it was seen to last
    ended: bool  # overwritten; else the sequence ended first


def lives(contents: Float[Tensor, "time slots numbers"]) -> list[Life]:
    """The lives of all slots of one sequence, whose contents after each token these are.

    A life begins when a slot is written to and ends when it is overwritten or emptied: when the
    cosine of the slot with what it was at the beginning falls below a half. What is scaled stays
    the same. What lies in a slot before the first token was not written by one and is not counted,
    nor is an empty slot, nor a trace: what a change far smaller than the largest has left.
    """
    unit = F.normalize(contents, dim=-1, eps=1e-12)
    empty = contents.square().sum(-1) == 0
    moved = contents.diff(dim=0).square().sum(-1).sqrt()
    real = moved > WRITTEN * moved.max() if len(moved) else moved > 0
    found: list[Life] = []
    for slot in range(contents.shape[1]):
        rows = unit[:, slot]
        begun = 0 if bool(empty[0, slot]) else None  # None: still what it was at the start
        base = rows[0]
        for t in range(1, len(rows)):
            if float(rows[t] @ base) >= CHANGED:
                continue
            written = bool(real[t - 1, slot])
            if begun is not None and bool(base.any()):
                found.append(Life(t - begun, True))
            elif begun is not None and not written:
                continue
            begun, base = t, rows[t] if written else torch.zeros_like(base)
        if begun is not None and bool(base.any()):
            found.append(Life(len(rows) - 1 - begun, False))
    return [life for life in found if life.tokens > 0]


def counted(found: list[Life]) -> dict[str, tuple[float, ...]]:
    """How many lives ended, and how many were cut off, after each number of tokens."""
    ended = Counter(life.tokens for life in found if life.ended)
    cut = Counter(life.tokens for life in found if not life.ended)
    times = sorted({*ended, *cut})
    return {
        "tokens": tuple(float(time) for time in times),
        "overwritten": tuple(float(ended[time]) for time in times),
        "cut off": tuple(float(cut[time]) for time in times),
    }
