"""The transition from one token to the next: its eigenvalues, from the definition itself."""

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor

from miras.composition.tree import leaves_of, tree
from miras.layer import Layer, LayerState
from miras.look.watching import Call
from miras.part import SpecError

LARGEST = 1100
"""Numbers of one head whose transition is written out as a matrix."""

DIGITS = 3
"""Eigenvalues that agree to so many decimals are shown as one."""


class Eigenvalue(NamedTuple):
    """One eigenvalue of the transition at a token, and how often it occurs."""

    token: int
    real: float
    imaginary: float
    times: int


def spectrum(layer: Layer, head: int, calls: list[Call], at: list[int]) -> list[Eigenvalue]:
    """Eigenvalues of d state_t / d state_(t-1) of one head, at some tokens of a watched sequence.

    The state is all numbers that a memory carries along, buffers included. Of a linear memory this
    is the transition itself, whatever the state; of others it is the derivative where they are.
    """
    exact = deepcopy(layer).double()
    exact.plan = "definition"
    found: list[Eigenvalue] = []
    for t in at:
        values = cast(Any, torch.linalg).eigvals(transition(exact, head, calls[t])).tolist()
        counts = Counter((_rounded(value.real), _rounded(value.imag)) for value in values)
        found += [Eigenvalue(t, *value, count) for value, count in sorted(counts.items())]
    return found


def transition(layer: Layer, head: int, call: Call) -> Tensor:
    """The matrix d state_t / d state_(t-1) of one head, in the order of the state's tensors.

    `layer` is in double precision. Raises SpecError for a state that is large, or that grows.
    """
    x, before = call.x.double(), tree(torch.Tensor.double, call.before)
    own = [leaf[0, head] for leaf in leaves_of(before.memory)]
    after = [leaf[0, head].shape for leaf in leaves_of(call.after.memory)]
    flat = torch.cat([leaf.reshape(-1) for leaf in own])
    if [leaf.shape for leaf in own] != after:
        raise SpecError(
            "a state that grows with the tokens has no transition matrix: look at a memory of fixed"
            " size, or further into the sequence"
        )
    if len(flat) > LARGEST:
        raise SpecError(
            f"the state of a head has {len(flat)} numbers, and its transition as many rows and"
            f" columns: at most {LARGEST}. Use smaller heads"
        )

    def moved(numbers: Tensor) -> Tensor:
        cut: Any = cast(Any, numbers).split([leaf.numel() for leaf in own])
        pieces: Iterator[Tensor] = iter(cut)

        def put(leaf: Tensor) -> Tensor:
            piece = next(pieces).reshape(leaf[:, head].shape)
            return torch.cat((leaf[:, :head], piece[:, None], leaf[:, head + 1 :]), dim=1)

        _, reached = layer(x, LayerState(tree(put, before.memory), before.conv))
        return torch.cat([leaf[0, head].reshape(-1) for leaf in leaves_of(reached.memory)])

    with torch.enable_grad():
        return cast(Any, torch.autograd.functional).jacobian(moved, flat)


def _rounded(number: float) -> float:
    return round(number, DIGITS) + 0.0  # no minus before a zero
