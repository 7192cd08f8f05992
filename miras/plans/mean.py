"""Linear memories that are read and corrected as means."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from miras.architecture.weighted_mean import WeightedMean
from miras.definition import Prepared
from miras.plans import Plan
from miras.plans.chunked import Carried, Piece, chunked
from miras.plans.delta import Delta
from miras.plans.outer import Outer
from miras.plans.reach import Reach
from miras.plans.rows import Rows
from miras.plans.span import Sides, Span, heads_first, spans
from miras.plans.substitution import Substitution
from miras.surprise import guard, step_sizes

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Mean(Plan):
    """M(k) = A k / (z . k + epsilon): first the counts, then a matrix memory in chunks.

    How much of a key is new depends on z alone: one clipped number per token, which a chunk finds
    by few triangular systems and, as in the definition, without a gradient. With it z . k of all
    tokens is a product of matrices. Then A is the delta rule, or any other error in chunks, asked
    at k / (z . k + epsilon) and written along k.

    Source: own derivation from ARMT (arXiv 2407.04841), equations 4-7, and the chunks of the delta
    rule (arXiv 2406.06484).
    """

    kind: Literal["mean"] = "mean"
    chunk: int = Field(default=32, ge=1, description="tokens per chunk")
    complexity: ClassVar[str] = "O(chunk (chunk + key_dim + value_dim) + key_dim value_dim)"

    def fits(self, memory: "Memory") -> bool:
        step, bias, retention = memory.stepping, memory.bias, memory.retention
        return (
            isinstance(memory.architecture, WeightedMean)
            and step is not None
            and step.plain
            and step.literal
            and (step.every, step.chunk) == (1, 1)
            and step.step_axis in ("scalar", "key")
            and bias.plain
            and retention.plain
            and retention.identity_link
            and retention.decays in (None, "scalar", "key")
            and not memory.recurrent
        )

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 1e4

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        tokens = {"query": inputs.query, "key": inputs.key, "value": inputs.value} | inputs.gates
        tokens = {name: heads_first(tensor) for name, tensor in tokens.items()}
        constants = {name: constant[:, None] for name, constant in inputs.constants.items()}

        def step(piece: Piece, carried: Carried) -> tuple[Tensor, Carried]:
            return _piece(memory, piece, *carried)

        start = (state.weights["matrix"], state.weights["total"])
        output, (matrix, total) = chunked(step, tokens, constants, start, self.chunk)
        position = state.position + inputs.key.shape[1]
        weights = {"matrix": matrix, "total": total}
        return output.transpose(1, 2), state._replace(position=position, weights=weights)


def _piece(memory: "Memory", piece: Piece, matrix: Tensor, total: Tensor) -> tuple[Tensor, Carried]:
    """Outputs of a chunk, and A and z after it."""
    architecture, step, bias = memory.architecture, memory.stepping, memory.bias
    assert isinstance(architecture, WeightedMean) and step is not None
    query, key = piece["query"], piece["key"]
    found = spans(piece)
    fading = Sides(Span(), found.get("key", found.get("", Span())))
    asked = fading if step.gradient_at == "retained" else fading.delayed()

    counts = Reach([(total[..., None, :], fading)], fading)
    earlier = Reach([(total[..., None, :], asked)], asked)
    gram = asked.columns.pairs(key, key).tril(-1)
    start = earlier.start(key)
    square = key.square().sum(-1, keepdim=True)
    new = _new(architecture, gram, start, square)
    known = start + gram @ new

    sensitivity = architecture.sensed(known, square)[..., 0]
    steps = step_sizes(step, piece, sensitivity, key.shape[-1])
    along = key
    for axis, size in steps.items():
        along = along * (size if axis == "key" else size[..., None])
    gates = {use.name: piece[use.name] for use in bias.uses()}
    gates |= {signal.name: piece[signal.name] for signal in bias.constants(1, 1, 1)}
    target = piece["value"]
    if not bias.residual:
        target = -bias.error(torch.zeros_like(target), target, gates)
    else:
        address = key / (known + architecture.epsilon)
        limit = guard(memory, steps, sensitivity)
        rows = Rows(address, key, target, gates, steps.get(""), limit)
        at = Reach([(matrix, asked)], asked)
        solver: Outer = Delta() if bias.linear else Substitution()
        target = solver.solve(memory, rows, asked.columns.pairs(address, along), at.start(address))
    seen = counts.read(query, key, new) + architecture.epsilon
    now = Reach([(matrix, fading)], fading)
    output = now.read(query / seen, along, target)
    return output, (now.after(along, target), counts.after(key, new)[..., 0, :])


@torch.no_grad()
def _new(architecture: WeightedMean, gram: Tensor, start: Tensor, square: Tensor) -> Tensor:
    """How much of each key is new `[..., C, 1]`, from what the tokens before it counted.

    As long as nothing is clipped that is a triangular system. What its solution clips is held
    there and the rest solved again: each time at least one more row is right, from the first on,
    and mostly all of them are at once.
    """
    if not architecture.correction:
        return torch.ones_like(start)
    gram, first = gram / (square + architecture.epsilon), architecture.unclipped(start, square)
    new = first.clamp(0, 1)
    free = torch.ones_like(first, dtype=torch.bool)
    solver = cast(Any, torch.linalg.solve_triangular)
    for _ in range(first.shape[-2]):
        known = torch.where(free, first, new)
        new = solver(gram * free, known, upper=False, unitriangular=True)
        raw = first - gram @ new
        new = raw.clamp(0, 1)
        before, free = free, (raw >= 0) & (raw <= 1)
        if bool((before == free).all()):
            break
    return new
