"""A recurrent cell over a sequence, or a scan of channels, and its derivative.

Rows of numbers are read where they lie. The source is put together from text: `channels.hpp` says
what a channel does at a token, `cell.cpp` has the loop over tokens.
"""

import ctypes
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from miras.kernels import kernel, text
from miras.kernels.pages import empty

SOURCE = text("functions.hpp", "packed.hpp", "channels.hpp", "cell.cpp")

ROWS = 8
"""Sequences that one item takes together, at most."""

BAND = 32
"""Channels whose numbers fill a band of a packed matrix."""

TILE = 512
"""Channels of a scan that one item has."""

KINDS = ("none", "sigmoid", "exponential", "given", "fixed", "complement")
"""How a gate is made: of a row that sees the output, of a given row, or of the decay."""

CANDIDATES = ("plain", "tanh", "tanh with reset")


class Gate(NamedTuple):
    """How one gate is made."""

    kind: str = "none"
    row: int = 0  # among those that see the output, or those that are given
    number: float = 0.0


class Program(NamedTuple):
    """What a channel does at a token: w = keep w + size value, then what is read."""

    gates: tuple[Gate, Gate, Gate, Gate]  # decay, step, reset, output
    candidate: str
    candidate_row: int
    value_row: int
    bonus_row: int  # of exp(u), or -1
    residual: bool
    previous: bool
    implicit: bool
    normaliser: bool
    squash: bool
    floor: float
    divisor: float

    @property
    def bare(self) -> bool:
        """Whether what is read is the first state as it is."""
        shown = self.squash or self.normaliser or self.bonus_row >= 0
        return self.gates[3].kind == "none" and not shown

    def tables(
        self, seen: int, given: int, states: int, like: Tensor
    ) -> tuple[ctypes.Array[ctypes.c_int64], Tensor]:
        """The numbers that the kernel reads it from."""
        whole: Sequence[int] = (
            *(KINDS.index(gate.kind) for gate in self.gates),
            *(gate.row for gate in self.gates),
            *(seen, given, states, like.shape[-1], CANDIDATES.index(self.candidate)),
            *(self.candidate_row, self.value_row, self.bonus_row),
            *(self.residual, self.previous, self.implicit, self.normaliser, self.squash),
        )
        real = [*(gate.number for gate in self.gates), self.floor, self.divisor]
        return (ctypes.c_int64 * len(whole))(*whole), like.new_tensor(real)


class Rows(NamedTuple):
    """What goes in, `[batch, time, heads, size]` each; the numbers of a head lie side by side."""

    seen: tuple[Tensor, ...]  # to which R h is added
    given: tuple[Tensor, ...]
    matrix: Tensor  # [heads, size, seen * size], all R side by side
    start: Tensor  # [batch, heads, states, size]
    before: Tensor  # [batch, heads, size], the output before the first token


class Found(NamedTuple):
    """Tensors `[batch, time, heads, ...]`, but for the last states."""

    output: Tensor  # size
    end: Tensor  # [batch, heads, states, size]
    summed: Tensor  # seen, size
    states: Tensor  # states, size; empty where the output is the one state


def _table(rows: Sequence[Tensor]) -> ctypes.Array[ctypes.c_int64]:
    """Where rows lie."""
    found = [(row.data_ptr(), *row.stride()[:3]) for row in rows]
    flat = [number for place in found for number in place]
    return (ctypes.c_int64 * max(1, len(flat)))(*flat)


class _Split(NamedTuple):
    """How the work is split over threads."""

    sizes: ctypes.Array[ctypes.c_int64]
    items: int
    common: Tensor | None  # what threads that share items tell each other
    arrived: ctypes.Array[ctypes.c_int64]


def _split(rows: Rows, like: Tensor, back: bool) -> _Split:
    batch, time, heads, size = like.shape
    band, shared, threads = size, False, torch.get_num_threads()
    items = heads * -(-batch // ROWS)
    if not rows.seen:
        band = min(size, TILE)
        items = batch * heads * -(-size // band)
    elif items % threads and size >= threads * BAND and time > 1:
        band = -(-size // (threads * BAND)) * BAND
        shared, items = True, -(-size // band)
    count = 2 * ROWS * size * (items if back else 1)
    common = like.new_zeros(count) if shared else None
    sizes = (ctypes.c_int64 * 5)(time, batch, heads, band, shared)
    return _Split(sizes, items, common, (ctypes.c_int64 * 8)())


def forward(program: Program, rows: Rows) -> Found | None:
    """Outputs, states and sums of all tokens, or None where there is no kernel."""
    run = kernel(SOURCE, "forward", rows.matrix, *rows.seen, *rows.given)
    if run is None:
        return None
    like, states = (*rows.seen, *rows.given)[0], rows.start.shape[-2]
    batch, time, heads, size = like.shape
    output = empty(like.shape, like)
    summed = empty((*like.shape[:3], len(rows.seen), size), like)
    kept = 0 if program.bare else states
    kept = empty((batch, time, heads, kept, size), like)
    whole = output[..., None, :] if program.bare else kept
    split = _split(rows, like, back=False)
    run(
        *program.tables(len(rows.seen), len(rows.given), states, like),
        split.sizes,
        _table((*rows.seen, *rows.given)),
        *(each.contiguous() for each in rows[2:]),
        summed,
        None if program.bare else output,
        whole,
        split.common,
        split.arrived,
        items=split.items,
    )
    return Found(output, whole[:, -1].clone(), summed, kept)


def backward(
    program: Program, rows: Rows, found: Found, above: Tensor, carried: Tensor
) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
    """Gradients of sums, of given rows, of the states and of the output before the first token.

    `carried` is the gradient of the states after the last token.
    """
    like = above
    run = kernel(SOURCE, "backward", rows.matrix, *rows.seen, *rows.given)
    if run is None:
        raise RuntimeError("the kernel that ran forward is no longer there")
    if above.stride(-1) != 1:
        above = above.contiguous()
    batch, _, heads, size = above.shape
    to_summed = empty(found.summed.shape, like)
    to_given = [empty(like.shape, like) for _ in rows.given]
    carried = carried.clone(memory_format=torch.contiguous_format)
    reached = like.new_empty(batch, heads, size)
    split = _split(rows, like, back=True)
    run(
        *program.tables(len(rows.seen), len(rows.given), rows.start.shape[-2], like),
        split.sizes,
        _table((*rows.seen, *rows.given)),
        _table((*to_given, above)),
        rows.matrix.contiguous(),
        rows.start.contiguous(),
        found.summed,
        found.output if program.bare else found.states,
        to_summed,
        carried,
        reached,
        split.common,
        split.arrived,
        items=split.items,
    )
    return to_summed, to_given, carried, reached
