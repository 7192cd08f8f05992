"""Times of several programs that do the same work, in one run, so that their ratios mean something.

Other programs on the machine make it slower for minutes at a time. The programs are therefore run
in turns (A B C A B C ...), and a matmul of known work runs in every turn with them: its best rate
is the peak that the machine showed while they ran.
"""

import time
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from miras.kernels import without

Role = Literal["plan", "layer", "definition", "peer"]

MATMULS = (1024, 2048)
"""Sizes of the square matmuls whose best rate counts as the peak."""


class Entrant(NamedTuple):
    """One program: a forward pass, and what it is differentiated by."""

    name: str
    role: Role
    forward: Callable[[], Tensor]
    leaves: list[Tensor]
    factor: float | None = 1.0  # its output times this is the plan's; None: another function
    note: str = ""


class Timing(NamedTuple):
    """Seconds of every repeat, forward without gradients and forward with backward."""

    forward: list[float]
    both: list[float]

    @property
    def medians(self) -> tuple[float, float]:
        return median(self.forward), median(self.both)


class Round(NamedTuple):
    """What one run of entrants in turns gave."""

    timings: dict[str, Timing]
    differences: dict[str, float | None]  # greatest difference from the first, over its greatest
    peak: float  # floating-point operations per second of the best matmul


def in_turns(entrants: Sequence[Entrant], repeats: int, matmuls: Sequence[int] = MATMULS) -> Round:
    """Run every entrant once to warm up, then all of them `repeats` times in turns.

    An entrant that is there more than once runs as often in every turn. The definition is not
    warmed up: it has no libraries of its own to load, and it is slow.
    """
    outputs = [_output(entrant) for entrant in entrants]
    upstreams = [torch.randn_like(output) for output in outputs]
    differences = {
        entrant.name: _difference(outputs[0], output, entrant.factor)
        for entrant, output in zip(entrants, outputs, strict=True)
    }
    del outputs
    for entrant, upstream in zip(entrants, upstreams, strict=True):
        if entrant.role != "definition":
            _both(entrant, upstream)
    timings = {entrant.name: Timing([], []) for entrant in entrants}
    peak = 0.0
    device = upstreams[0].device
    for _ in range(repeats):
        for entrant, upstream in zip(entrants, upstreams, strict=True):
            timing = timings[entrant.name]
            timing.forward.append(seconds(lambda e=entrant: _output(e), device))
            timing.both.append(seconds(lambda e=entrant, u=upstream: _both(e, u), device))
        peak = max([peak, *(rate(size, device) for size in matmuls)])
    return Round(timings, differences, peak)


def seconds(action: Callable[[], object], device: torch.device) -> float:
    """How long an action takes, until the device has done all of it."""
    _wait(device)
    before = time.perf_counter()
    action()
    _wait(device)
    return time.perf_counter() - before


def rate(size: int, device: torch.device, best_of: int = 3) -> float:
    """Floating-point operations per second of a square matmul in float32, the best of some."""
    left, right = torch.ones(2, size, size, device=device)
    out = torch.empty(size, size, device=device)
    fastest = min(
        seconds(lambda: torch.mm(left, right, out=out), device) for _ in range(best_of + 1)
    )
    return 2 * size**3 / fastest


class Operations(NamedTuple):
    """Floating-point operations in products of matrices."""

    forward: int
    both: int  # forward with backward
    seen: int  # of these, what is executed where kernels are in use


def operations(entrant: Entrant) -> Operations:
    """What a program multiplies, counted by `FlopCounterMode` on what it executes in PyTorch.

    Two for each multiply-add of mm, bmm, addmm, baddbmm and their in-place forms, and n² m for a
    triangular solve of n by n with m columns. Recomputation in backward counts, since it is
    executed. Elementwise work, sums and copies do not. Nothing is seen inside a compiled kernel:
    so ours are turned off for the count, and what is counted is the plan's route in PyTorch, which
    a kernel follows with the size of chunk that suits it. Kernels of others, such as attention's on
    a CPU, stay unseen.
    """
    ones = torch.ones_like(_output(entrant))
    with _counter() as counter:
        _both(entrant, ones)
    seen = counter.get_total_flops()
    with without():
        with _counter() as counter:
            output = _output(entrant)
        forward = counter.get_total_flops()
        with _counter() as counter:
            _both(entrant, torch.ones_like(output))
    return Operations(forward, counter.get_total_flops(), seen)


def _counter() -> FlopCounterMode:
    aten = torch.ops.aten
    own: dict[Any, Any] = {
        aten.addmm_: _product,
        aten.baddbmm_: _product,
        aten.linalg_solve_triangular: _solve,
    }
    return FlopCounterMode(display=False, custom_mapping=own)


def _product(into: Any, left: Sequence[int], right: Sequence[int], **more: Any) -> int:
    total = 2 * right[-1]
    for size in left:
        total *= size
    return total


def _solve(matrix: Sequence[int], columns: Sequence[int], **more: Any) -> int:
    total = matrix[-1]
    for size in columns:
        total *= size
    return total


def _output(entrant: Entrant) -> Tensor:
    with torch.no_grad():
        return entrant.forward()


def _both(entrant: Entrant, upstream: Tensor) -> None:
    torch.autograd.grad(entrant.forward(), entrant.leaves, upstream, allow_unused=True)


def _difference(ours: Tensor, theirs: Tensor, factor: float | None) -> float | None:
    if factor is None:
        return None
    theirs = theirs.reshape(ours.shape) * factor
    return ((theirs - ours).abs().max() / ours.abs().max()).item()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
