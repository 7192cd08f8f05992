"""A transformer that reads the input beside a memory and drives it, token by token."""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, cast

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from miras import info
from miras.composition import Composition, CompositionState, Engine, Inputs, Shell
from miras.part import SpecError

if TYPE_CHECKING:
    from miras.composition import AnyCell


class Controller(Composition):
    """At each token a transformer encoder sees the prefix and one memory token made from r.

        c_t = T([x_(t-n+1) + p_(t-n+1), .., x_t + p_t, W r_(t-1) + b]) at the last place
        read_t = norm(M(c_t)),   r_t = r_(t-1) + read_t   (sum)

    M is a layer around the memory `of`: its queries, keys, values and gates are made from c_t
    alone. `vector` says how reads are carried along: their sum, which grows with the length of the
    sequence, a leaky one (r_t = keep r_(t-1) + read_t), the last read, or none at all (r = 0). The
    answer is [c_t, r_(t-1)], twice as wide as x, or a projection of that. T is post-norm, without a
    mask, with gelu; p are learned positions from N(0, 1).

    With prefix `all` T reads the whole sequence again at every token, and the memory is not needed
    to remember anything. With a short prefix what is older can come from the memory alone.

    Three losses join the training loss: the input rebuilt from r_t (hallucination, mean squared
    error), and of the addresses of reads and writes that the memory notes, w log w summed over
    slots (sparsity: minus its mean; utilisation: that of the mean over tokens, summed over
    addresses).

    Source: MemNet (github.com/Ant1pozitive/memory-is-all-you-need, controller and train), written
    down from its code.
    """

    compose: Literal["controller"] = "controller"
    of: "AnyCell" = Field(description="the memory")
    layers: int = Field(default=4, ge=1, le=64, description="layers of the encoder")
    heads: int = Field(default=8, ge=1, le=64, description="heads of the encoder")
    feedforward: int = Field(default=512, ge=1, le=65_536, description="its hidden units")
    dropout: float = Field(default=0.1, ge=0.0, lt=1.0, description="its dropout in training")
    positions: int = Field(
        default=513, ge=0, le=1_000_000, description="rows of the table of positions; 0: none"
    )
    prefix: Literal["all"] | Annotated[int, Field(ge=1)] = Field(
        default=1, description="latest tokens that the encoder sees, or all"
    )
    vector: Literal["sum", "leaky", "last", "none"] = Field(
        default="leaky", description="how reads are carried to later tokens"
    )
    keep: float = Field(default=0.9, ge=0.0, lt=1.0, description="what a leaky vector keeps")
    project: bool = Field(default=True, description="answer as wide as the input")
    hallucination: float = Field(default=0.0, ge=0.0, description="weight of that loss")
    sparsity: float = Field(default=0.0, ge=0.0, description="weight of that loss")
    utilisation: float = Field(default=0.0, ge=0.0, description="weight of that loss")
    detached: bool = Field(
        default=False, description="cut addresses from their losses: these then have no gradient"
    )
    layered: ClassVar[bool] = True

    @property
    def cells(self) -> tuple["AnyCell", ...]:
        return (self.of,)

    def forward(
        self, engine: Engine, inputs: Inputs, state: CompositionState
    ) -> tuple[Tensor, CompositionState]:
        raise SpecError(_ALONE)

    def ask(self, engine: Engine, inputs: Inputs, state: CompositionState) -> Tensor:
        raise SpecError(_ALONE)

    def build(self, shell: Shell) -> nn.Module:
        return _Controller(self, shell)

    def formula(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        seen = "x_1" if self.prefix == "all" else f"x_{{t−{int(self.prefix) - 1}}}"
        seen = "x_t" if self.prefix == 1 else f"{seen}, .., x_t"
        carried = {
            "sum": "r_t = r_{t−1} + norm(M_0(c_t))",
            "leaky": f"r_t = {self.keep:g} r_{{t−1}} + norm(M_0(c_t))",
            "last": "r_t = norm(M_0(c_t))",
            "none": "r_t = 0",
        }[self.vector]
        update = (f"c_t = T([{seen}, W r_{{t−1}} + b])", carried)
        read = "W [c_t, r_{t−1}] + b" if self.project else "[c_t, r_{t−1}]"
        return update, (f"y_t = {read}",), (f"T: {self.layers} layers of attention and MLP",)


_ALONE = (
    "compose: controller makes queries and keys itself: use it in a layer or a model, and"
    " miras.run for the memory under of:"
)


class _Controller(nn.Module):
    """`(x [batch, time, dim], state) -> (y, state)`."""

    def __init__(self, spec: Controller, shell: Shell) -> None:
        super().__init__()
        dim = shell.dim
        if dim % spec.heads:
            raise SpecError(f"dim {dim} is not a multiple of heads {spec.heads}: change one")
        self.spec, self.width = spec, dim if spec.project else 2 * dim
        layer = nn.TransformerEncoderLayer(
            dim, spec.heads, spec.feedforward, spec.dropout, "gelu", batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, spec.layers, enable_nested_tensor=False)
        self.remember = nn.Linear(dim, dim)
        rows = spec.positions
        self.position = nn.Parameter(torch.randn(rows, dim)) if rows else None
        self.memory = shell.build(spec.of, 0)
        self.norm = nn.LayerNorm(dim)
        self.imagine = nn.Linear(dim, dim) if spec.hallucination else None
        self.out = nn.Linear(2 * dim, dim) if spec.project else None

    def start(self, x: Tensor) -> CompositionState:
        """The state before the first token of a batch like `x`."""
        cell = cast(Any, self.memory).start(x)
        own = {"prefix": x[:, :0], "vector": x.new_zeros(x.shape[0], x.shape[2])}
        return CompositionState(0, (cell,), own)

    def forward(self, x: Tensor, state: CompositionState) -> tuple[Tensor, CompositionState]:
        """Outputs for a piece of a sequence and the state for the next piece."""
        if not info.wanted():
            answers, _, state = self._read(x, state)
            return answers, state
        with info.collecting() as found:
            answers, vectors, state = self._read(x, state)
        for name, tensors in found.noted.items():
            for tensor in tensors:
                info.note(name, tensor)
        info.note("controller/vector", vectors)
        if self.imagine is not None:
            missed = F.mse_loss(self.imagine(vectors), x.detach())
            info.note("loss/hallucination", self.spec.hallucination * missed)
        self._note_addresses(found)
        return answers, state

    def _read(self, x: Tensor, state: CompositionState) -> tuple[Tensor, Tensor, CompositionState]:
        """Answers, carried vectors `[batch, time, dim]`, and the state."""
        spec, position = self.spec, state.position
        prefix, vector, cell = state.own["prefix"], state.own["vector"], state.cells[0]
        answers: list[Tensor] = []
        vectors: list[Tensor] = []
        for t in range(x.shape[1]):
            seen = torch.cat((prefix, x[:, t : t + 1]), dim=1)
            prefix = seen if spec.prefix == "all" else seen[:, seen.shape[1] + 1 - spec.prefix :]
            known = torch.cat((self._placed(seen, position), self.remember(vector)[:, None]), dim=1)
            thought = self.encoder(known)[:, -1]
            answers.append(torch.cat((thought, vector), dim=-1))
            read, cell = self.memory(thought[:, None], cell)
            vector = self._carried(vector, self.norm(read[:, 0]))
            vectors.append(vector)
            position += 1
        answer = torch.stack(answers, dim=1)
        answer = answer if self.out is None else self.out(answer)
        own = {"prefix": prefix, "vector": vector}
        state = state._replace(position=position, cells=(cell,), own=own)
        return answer, torch.stack(vectors, dim=1), state

    def _placed(self, seen: Tensor, position: int) -> Tensor:
        """The tokens up to the one of this index, with their positions."""
        if self.position is None:
            return seen
        rows = self.position.shape[0]
        if position >= rows:
            raise SpecError(
                f"token {position + 1} has no place in a table of {rows} positions: give"
                " positions: a larger number, or 0 for none"
            )
        return seen + self.position[position + 1 - seen.shape[1] : position + 1]

    def _carried(self, vector: Tensor, read: Tensor) -> Tensor:
        if self.spec.vector == "last":
            return read
        if self.spec.vector == "none":
            return vector
        return (1.0 if self.spec.vector == "sum" else self.spec.keep) * vector + read

    def _note_addresses(self, found: info.Info) -> None:
        """Losses of the addresses `[time, batch, heads, addresses, slots]` of reads and writes."""
        spec = self.spec
        if not (spec.sparsity or spec.utilisation):
            return
        sparse: list[Tensor] = []
        used: list[Tensor] = []
        for name in ("address/read", "address/write"):
            if name not in found.noted:
                raise SpecError(
                    "sparsity: and utilisation: weigh how slots are addressed, and the memory"
                    f" under of: notes no {name}: set both to 0, or use architecture graph"
                )
            weight = found[name].detach() if spec.detached else found[name]
            sparse.append(-(weight * (weight + 1e-6).log()).mean())
            mean = weight.mean((0, 1))
            used.append((mean * (mean + 1e-8).log()).sum())
        info.note("loss/sparsity", spec.sparsity * torch.stack(sparse).sum())
        info.note("loss/utilisation", spec.utilisation * torch.stack(used).sum())
