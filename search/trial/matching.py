"""Equal means for all: the shell and the sizes of a candidate are solved for before it is trained.

A study with `match` trains every memory with as many parameters (embedding left out) and as many
state floats per layer as its target. The state is matched first, by what changes the least: by
nothing, the number of slots or the expansion of the memory itself, the number of heads, the size of
keys and values, last the width of the model. Then the width of the MLP takes up the parameters. All
counts are of real tensors.

Some states cannot be matched and count only from above. A memory without keys has as many numbers
as the model is wide: more would be another model around it. One whose state grows with the sequence
has the size of the longest training sequence; a baseline that is larger than that is the reference
that it is, and exempt. What cannot be matched is refused with a sentence.
"""

import math
from collections.abc import Callable
from contextvars import ContextVar
from itertools import islice
from typing import NamedTuple

from pydantic import Field, model_validator

from miras.composition.either import keyed
from miras.known import cells as known
from miras.model import Shell
from miras.part import Part, SpecError
from miras.stack import layers_of
from miras.tasks import Task

from ..space.derive import Candidate, Refusal
from .measuring import Count, measure
from .sizing import variants

NARROWEST, WIDEST = 0.25, 4.0
"""Width of the MLP as a share of its usual one: outside it is another kind of model."""

TRIALS = 24
"""Models that are built for one candidate at most."""


class Match(Part):
    """Equal parameters and equal state for all memories of a study, baselines included."""

    like: str | None = Field(default=None, description="known memory with the numbers wanted")
    parameters: int | None = Field(default=None, ge=1, description="wanted, without embedding")
    state_floats: int | None = Field(default=None, ge=1, description="wanted, per layer")
    parameters_within: float = Field(default=0.02, gt=0.0, lt=1.0, description="as a share")
    state_within: float | None = Field(
        default=0.1, gt=0.0, lt=1.0, description="as a share; null: the state stays as it is"
    )

    @model_validator(mode="after")
    def _something(self) -> "Match":
        if self.like is not None and self.like not in known():
            raise SpecError(f"match like {self.like}: there is no such memory, see miras ls known")
        if self.like is None and self.parameters is None:
            raise SpecError("match needs like: NAME of a known memory, or parameters: NUMBER")
        return self


class Fit(NamedTuple):
    """A candidate as it is to be trained."""

    shell: Shell
    candidate: Candidate
    sizes: Count


def target(match: Match, shell: Shell, length: int) -> tuple[int, int | None]:
    """Parameters and state floats that a study wants."""
    like = None if match.like is None else measure(known()[match.like], shell, length)
    parameters = match.parameters or (like.parameters if like else 0)
    state = match.state_floats or (like.state if like else None)
    return parameters, None if match.state_within is None else state


def length_of(tasks: tuple[Task, ...]) -> int:
    """The longest of the first training sequences of all tasks."""
    return max(
        batch.tokens.shape[1] for task in tasks for batch in islice(task.train_stream(0), 12)
    )


Solve = Callable[[Match, Candidate, Shell, int, bool], Fit | Refusal]

SOLVE: ContextVar[Solve | None] = ContextVar("SOLVE", default=None)
"""Who solves instead: a worker has it done in another process, within limits (see `apart`)."""


def solve(
    match: Match, candidate: Candidate, shell: Shell, length: int, reference: bool = False
) -> Fit | Refusal:
    """The candidate with shell and sizes that have the wanted numbers, or why there are none.

    `length` is that of the longest training sequence. A `reference` may keep a state that grows.
    """
    return (SOLVE.get() or solved)(match, candidate, shell, length, reference)


def solved(
    match: Match, candidate: Candidate, shell: Shell, length: int, reference: bool
) -> Fit | Refusal:
    """The same, here and now."""
    parameters, state = target(match, shell, length)
    best: str | None = None
    distance = math.inf
    below: Fit | None = None
    lone = all(not keyed(cell) for cell in layers_of(candidate))
    for changed, around in islice(variants(candidate, shell, state, length), TRIALS):
        try:
            count = measure(changed, around, length)
        except SpecError as error:
            best = best or str(error)
            continue
        free = state is None or (reference and count.grows)
        off = 0.0 if free or state is None else count.state / state - 1
        within = match.state_within or 1.0
        near = abs(off) <= within or (off < 0 and (lone or count.grows))
        if near or off < 0:
            fit = _mlp(match, changed, around, count, parameters)
            if isinstance(fit, str):
                best = fit
                continue
            if near:
                return fit
            below = fit if below is None or fit.sizes.state > below.sizes.state else below
        elif abs(off) < distance:
            distance = abs(off)
            best = _sentence(count, state or 0, length)
    if below is not None:
        best = _sentence(below.sizes, state or 0, length)
    return Refusal("match", best or "no shell takes it")


def _sentence(count: Count, state: int, length: int) -> str:
    after = f" after {length} tokens, and grows" if count.grows else ""
    return (
        f"its state has {count.state} floats per layer{after} where the study wants {state}: no"
        " number of slots, heads, keys or values comes close enough; raise state_within of match,"
        " or leave it out"
    )


def _mlp(match: Match, candidate: Candidate, shell: Shell, count: Count, wanted: int) -> Fit | str:
    """The shell with the MLP that brings the parameters to the wanted number."""
    off = wanted - count.parameters
    if abs(off) <= match.parameters_within * wanted / 8:
        return Fit(shell, candidate, count)
    each = shell.layers * shell.dim * (3 if shell.mlp == "swiglu" else 2)
    usual = (8 / 3 if shell.mlp == "swiglu" else 4) * shell.dim
    now = shell.mlp_width or 8 * max(1, round(usual / 8))
    width = now + round(off / each)
    if shell.mlp == "none" or not NARROWEST * usual <= width <= WIDEST * usual:
        if abs(off) <= match.parameters_within * wanted:
            return Fit(shell, candidate, count)
        how = "there is no MLP" if shell.mlp == "none" else f"an MLP {width} wide"
        return (
            f"it has {count.parameters} parameters without embedding where the study wants"
            f" {wanted}, and {how} would have to make up for it: widen parameters_within of match,"
            " or leave it out"
        )
    total = count.parameters + (width - now) * each
    if abs(total - wanted) > match.parameters_within * wanted:
        return f"{total} parameters without embedding is as close as the MLP comes to {wanted}"
    return Fit(
        shell.model_copy(update={"mlp_width": width}),
        candidate,
        count._replace(parameters=total),
    )
