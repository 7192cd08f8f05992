"""Stored pairs that change: keys that are turned and values that are corrected."""

from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import torch
from pydantic import Field
from torch import Tensor

from miras.architecture.kv import KeyValue
from miras.definition import Prepared
from miras.optimizer.closed_form import ClosedForm
from miras.plans import Plan
from miras.plans.attention import hidden, log_fading
from miras.plans.chunked import Carried, Piece, chunked
from miras.plans.reach import Reach
from miras.plans.span import Sides, Span, laid_out, of_channels

if TYPE_CHECKING:
    from miras.memory import Memory
    from miras.state import State


class Pairs(Plan):
    """All pairs, chunk by chunk, each chunk by products of matrices.

    Values that are stored without what the memory answers to their key solve one unit-triangular
    system over the sequence, u_i + step_i sum_j<i softmax_j(s k_i . k_j) u_j = v_i: block after
    block, the blocks before it by one product.

    A transition k_j <- k_j - (k_j . e) b of all stored keys makes them the rows of a matrix memory
    to which row j is written at token j. What is taken from the keys is then one triangular solve
    per chunk, as in the delta rule (UT transform); logits and the keys after the chunk are products
    with that.

    Source: DeltaFormer (arXiv 2505.19488), its parallel form; PaTH (arXiv 2505.16381), section 3,
    the UT transform, here with keys carried from chunk to chunk.
    """

    kind: Literal["pairs"] = "pairs"
    chunk: int = Field(default=64, ge=1, description="tokens per chunk")
    complexity: ClassVar[str] = "O(pairs kept (key_dim + value_dim + chunk))"

    def fits(self, memory: "Memory") -> bool:
        architecture, retention = memory.architecture, memory.retention
        optimizer = memory.optimizer
        if not (isinstance(architecture, KeyValue) and architecture.plain and memory.bias.plain):
            return False
        # Keys that differ from query to query are no matrix to fit or repeat.
        fixed = retention.decays != "key" and not retention.removes
        simple = architecture.slope == "none" and architecture.iterations == 1
        return (
            optimizer.literal
            and (optimizer.takes_off or isinstance(optimizer, ClosedForm))
            and (optimizer.takes_off or bool(retention.removes))  # others change no pair
            and (retention.plain or bool(retention.removes))
            and (simple or fixed)
            and not memory.recurrent
        )

    def cost(self, memory: "Memory", key_dim: int, value_dim: int) -> float:
        return 1e3

    def run(self, memory: "Memory", inputs: Prepared, state: "State") -> tuple[Tensor, "State"]:
        tokens, constants = laid_out(inputs)
        own = inputs.constants  # as the architecture takes them

        def step(piece: Piece, carried: Carried) -> tuple[Tensor, Carried]:
            whole = {name: piece[name][:, 0] for name in own}
            return _piece(memory, piece, whole, *carried)

        names = ("keys", "values", "log_kept")
        start = tuple(state.weights[name] for name in names)
        output, after = chunked(step, tokens, constants, start, self.chunk)
        weights = dict(zip(names, after, strict=True))
        position = state.position + inputs.key.shape[1]
        return output.transpose(1, 2), state._replace(position=position, weights=weights)


def _piece(
    memory: "Memory",
    piece: Piece,
    constants: dict[str, Tensor],
    keys: Tensor,
    values: Tensor,
    log_kept: Tensor,
) -> tuple[Tensor, Carried]:
    """Outputs of a chunk, and the pairs after it."""
    architecture = memory.architecture
    assert isinstance(architecture, KeyValue)
    query, key = piece["query"], piece["key"]
    past, present = keys.shape[-2], key.shape[-2]
    size = memory.retention.capacity or past + present
    factor = architecture.factor(key.shape[-1])
    sink = constants["sink"][:, None, None] if architecture.sink else None
    seen = _Seen(memory, piece, keys)

    bias = torch.cat((log_kept, torch.zeros_like(key[..., 0])), dim=-1)[..., None, :]
    if "decay" in piece:
        bias = bias + log_fading(past, piece["decay"])
    unseen = hidden(present, past + present, size, key.device)
    if memory.optimizer.takes_off:
        early = hidden(present, past + present, size, key.device, before=True)
        if past == 0:
            early[0, 0] = False  # a first token sees nothing; what it sees of itself is not used
        weight = architecture.weigh(_masked(seen.logits(key) * factor + bias, early), sink)
        missing = -torch.ones_like(key[..., :1])
        weight = weight * memory.optimizer.stored(torch.zeros_like(missing), missing, piece)
        target = piece["value"] - weight[..., :past] @ values
        solver = cast(Any, torch.linalg.solve_triangular)
        stored = solver(weight[..., past:], target, upper=False, unitriangular=True)
    else:
        stored = piece["value"]
    values = torch.cat((values, stored), dim=-2)

    after = seen.after()
    for _ in range(architecture.iterations - 1):
        logits = _masked(seen.logits(query) * factor + bias, unseen)
        query = architecture.weigh(logits, sink) @ after
    weight = architecture.weigh(_masked(seen.logits(query) * factor + bias, unseen), sink)
    output = architecture.fit(weight, after, values, query, constants)
    kept = bias[..., -1, :].expand(*key.shape[:2], past + present)
    return output, (after[..., -size:, :], values[..., -size:, :], kept[..., -size:])


class _Seen:
    """The keys of a chunk and before it, as each token finds them."""

    def __init__(self, memory: "Memory", piece: Piece, keys: Tensor) -> None:
        retention, self.key = memory.retention, piece["key"]
        fade = of_channels(piece["decay_key"]) if "decay_key" in piece else Span()
        fading = Sides(Span(), fade)
        self.reach, self.along = Reach([(keys, fading)], fading), None
        if retention.removes:
            address, self.along = retention.gone(self.key, piece)
            asked = fading.delayed() if retention.removes == "together" else fading
            before = Reach([(keys, asked)], asked).start(address)
            own = asked.columns.pairs(address, self.key).tril(-1)
            gram = asked.columns.pairs(address, self.along)
            solver = cast(Any, torch.linalg.solve_triangular)
            known = torch.cat((before, own), dim=-1)
            self.taken = solver(gram, -known, upper=False, unitriangular=True)

    def logits(self, x: Tensor) -> Tensor:
        """x_i . k_j of x `[..., C, key_dim]` and all keys, of any number above the diagonal."""
        columns = self.reach.written.columns
        found = torch.cat((self.reach.start(x), columns.pairs(x, self.key)), dim=-1)
        if self.along is None:
            return found
        return found + columns.pairs(x, self.along) @ self.taken

    def after(self) -> Tensor:
        """All keys at the end of the chunk."""
        ((keys, fading),) = self.reach.starts
        kept = torch.cat((fading.through(keys), fading.columns.to_end(self.key)), dim=-2)
        if self.along is None:
            return kept
        return kept + self.taken.mT @ fading.columns.to_end(self.along)


def _masked(logits: Tensor, unseen: Tensor) -> Tensor:
    return logits.masked_fill(unseen, -torch.inf)
