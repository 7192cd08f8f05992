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
from miras.plans.span import Sides, Span, laid_out, spans
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
        tokens, constants = laid_out(inputs)

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
    # z is one more row below A: both are asked at once.
    both = torch.cat((matrix, total[..., None, :]), dim=-2)

    start = Reach([(both, asked)], asked).start(key)
    gram = asked.columns.pairs(key, key).tril(-1)
    square = key.square().sum(-1, keepdim=True)
    new = _new(architecture, gram, start[..., -1:], square)
    known = start[..., -1:] + gram @ new

    sensitivity = architecture.sensed(known, square)[..., 0]
    steps = step_sizes(step, piece, sensitivity, key.shape[-1])
    size, along = steps.get(""), key * steps["key"] if "key" in steps else key

    def written(span: Span, x: Tensor, pairs: Tensor) -> Tensor:
        """What a row that A was written adds to its product with x, from x . k of the pairs."""
        pairs = pairs if along is key else span.pairs(x, along)
        return pairs if size is None else pairs * size[..., None, :]

    gates = {use.name: piece[use.name] for use in bias.uses()}
    gates |= {signal.name: piece[signal.name] for signal in bias.constants(1, 1, 1)}
    target = piece["value"]
    if not bias.residual:
        target = bias.written(target, gates)
    else:
        rows = Rows(key, along, target, gates, size, guard(memory, steps, sensitivity))
        share = known + architecture.epsilon
        before = start[..., :-1] / share
        solver: Outer = Delta() if bias.linear else Substitution()
        target = solver.solve(memory, rows, written(asked.columns, key, gram) / share, before)

    span = fading.columns
    pairs, start = span.pairs(query, key), Reach([(both, fading)], fading).start(query)
    seen = start[..., -1:] + pairs @ new + architecture.epsilon
    output = (start[..., :-1] + written(span, query, pairs) @ target) / seen
    kept = fading.through(both)
    row = target if size is None else target * size[..., None]
    if along is key:
        kept = kept + torch.cat((row, new), dim=-1).mT @ span.to_end(key)
        return output, (kept[..., :-1, :], kept[..., -1, :])
    count = (new * span.to_end(key)).sum(-2)
    return output, (kept[..., :-1, :] + row.mT @ span.to_end(along), kept[..., -1, :] + count)


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
