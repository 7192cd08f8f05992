"""A language model of memory layers: embedding, blocks in any pattern, head."""

import os
from collections.abc import Iterator, Sequence
from typing import Literal, cast

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor, nn

from miras.composition import AnyCell
from miras.composition.either import wiring
from miras.fused import rms_norm, swiglu
from miras.layer import Layer, LayerState, Places
from miras.part import Part, SpecError

ModelState = tuple[LayerState, ...]


class Shell(Part):
    """Everything of a model but its memories: the same for all candidates of a study."""

    dim: int = Field(default=64, ge=1, le=65_536, description="width of the model")
    layers: int = Field(default=2, ge=1, le=1_000, description="number of blocks")
    heads: int = Field(default=2, ge=1, le=1_024, description="memories per layer")
    conv: int = Field(default=4, ge=0, le=64, description="taps of the short convolution; 0: none")
    mlp: Literal["swiglu", "gelu", "none"] = "swiglu"
    mlp_width: int | None = Field(
        default=None,
        ge=1,
        le=1_048_576,
        description="hidden numbers of the MLP; if out 8/3 dim, gelu 4 dim",
    )
    tie: bool = Field(default=True, description="one matrix for embedding and head")


class ModelSpec(Shell):
    """A shell with its memories: the pattern is repeated until every layer has one."""

    pattern: tuple[AnyCell, ...] = Field(min_length=1)
    bare: bool = Field(
        default=False, description="memories one after the other: no norm, residual or MLP"
    )
    head_bias: bool = Field(default=False, description="a bias in the head")
    embedding_std: float | None = Field(
        default=None, gt=0.0, description="spread of embeddings at the start; 1 / sqrt(dim) if out"
    )
    positions: int = Field(
        default=0, ge=0, le=1_048_576, description="rows of a table of learned positions; 0: none"
    )
    positions_std: float = Field(
        default=1.0, ge=0.0, description="spread of these positions at the start"
    )

    @classmethod
    def of(cls, shell: Shell, pattern: Sequence[AnyCell]) -> "ModelSpec":
        """A shell filled with memories."""
        return cls(
            **{name: getattr(shell, name) for name in Shell.model_fields}, pattern=tuple(pattern)
        )

    def memory(self, layer: int) -> AnyCell:
        """The memory of a layer, counted from 0."""
        return self.pattern[layer % len(self.pattern)]


class ModelFile(Part):
    """What a model file holds: `model: {dim: 64, ..., pattern: [gated-deltanet]}`."""

    model: ModelSpec
    learning_rate: float | None = Field(
        default=None, gt=0.0, description="the rate at which it was found to work"
    )


class Model(nn.Module):
    """`model(tokens, state) -> (logits, state)`; pre-norm blocks of memory and MLP."""

    def __init__(self, spec: ModelSpec, vocabulary: int, plan: str = "auto") -> None:
        super().__init__()
        smallest = wiring(spec.memory(0)).heads or spec.heads
        if isinstance(smallest, int) and spec.dim % smallest:
            raise SpecError(f"dim {spec.dim} is not a multiple of heads {smallest}: change one")
        self.spec, self.vocabulary = spec, vocabulary
        self.embedding = nn.Embedding(vocabulary, spec.dim)
        nn.init.normal_(self.embedding.weight, std=spec.embedding_std or spec.dim**-0.5)
        self.position: nn.Parameter | None = None
        if spec.positions:
            self.position = nn.Parameter(torch.randn(spec.positions, spec.dim) * spec.positions_std)
        self.blocks = nn.ModuleList(_Block(spec, layer, plan) for layer in range(spec.layers))
        widths = [cast(_Block, block).memory.width for block in self.blocks]
        if (not spec.bare and set(widths) != {spec.dim}) or set(widths[:-1]) - {spec.dim}:
            raise SpecError(
                f"a memory answers with {max(widths)} numbers where {spec.dim} go on: use bare:"
                " true with this memory last, or project: true in it"
            )
        if spec.tie and widths[-1] != spec.dim:
            raise SpecError(
                f"the head reads {widths[-1]} numbers, an embedding has {spec.dim}: use tie: false"
            )
        self.norm = None if spec.bare else _Norm(spec.dim, eps=1e-5)
        self.head = nn.Linear(widths[-1], vocabulary, bias=spec.head_bias)
        if spec.tie:
            self.head.weight = self.embedding.weight

    def forward(
        self,
        tokens: Int64[Tensor, "batch time"],
        state: ModelState | None = None,
        scored: Bool[Tensor, "batch time"] | None = None,
    ) -> tuple[Float[Tensor, "*positions vocabulary"], ModelState]:
        """Logits at every position, or at the `scored` ones only (row by row), and the new state.

        Where the loss looks at few positions, `scored` saves most of the work of the head, and of
        the last block all that comes after its memory.
        """
        x = self._placed(self.embedding(tokens), state[0].memory.position if state else 0)
        after: list[LayerState] = []
        at = None if scored is None else scored.nonzero(as_tuple=True)
        for index, block in enumerate(self.blocks):
            last = index == len(self.blocks) - 1
            x, layer_state = block(x, state[index] if state else None, at if last else None)
            after.append(layer_state)
        return self.head(x if self.norm is None else self.norm(x)), tuple(after)

    def _placed(self, x: Tensor, before: int) -> Tensor:
        """Tokens with their positions; `before` of them were read earlier."""
        if self.position is None:
            return x
        end = before + x.shape[1]
        if end > len(self.position):
            raise SpecError(
                f"token {end} has no place in a table of {len(self.position)} positions: give"
                " positions: a larger number, or 0 for none"
            )
        return x + self.position[before:end]

    def generate(
        self,
        prompt: Int64[Tensor, "batch time"],
        tokens: int,
        temperature: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Iterator[Tensor]:
        """Yield `tokens` times one next token per sequence `[batch]`; temperature 0: the best."""
        scored = torch.zeros_like(prompt, dtype=torch.bool)
        scored[:, -1] = True
        with torch.no_grad():
            logits, state = self(prompt, scored=scored)
        for _ in range(tokens):
            if temperature == 0:
                token = logits.argmax(-1)
            else:
                odds = (logits / temperature).softmax(-1)
                token = torch.multinomial(odds, 1, generator=generator)[:, 0]
            yield token
            with torch.no_grad():
                step, state = self(token[:, None], state)
            logits = step[:, 0]

    def parameters_count(self) -> int:
        """Numbers that training changes, shared ones counted once."""
        return sum(parameter.numel() for parameter in self.parameters())

    @torch.no_grad()
    def state_floats(self, time: int) -> int:
        """Numbers kept per sequence and layer after `time` tokens: the largest layer's."""
        tokens = torch.zeros(1, time, dtype=torch.int64, device=self.embedding.weight.device)
        _, state = self(tokens)
        return max(layer.floats() for layer in state)


def skeleton(spec: ModelSpec, vocabulary: int) -> Model:
    """The model without its numbers: names and shapes, which cost nothing."""
    with torch.device("meta"):
        return Model(spec, vocabulary)


def refuse_giants(spec: ModelSpec, vocabulary: int) -> None:
    """Raise SpecError for a model whose weights alone are more than the memory of this machine."""
    count = skeleton(spec, vocabulary).parameters_count()
    size, room = count * torch.get_default_dtype().itemsize / 2**30, physical_memory() / 2**30
    if size > room:
        raise SpecError(
            f"this model has {count:,} parameters, {size:,.0f} GiB, of {room:,.0f} GiB that the"
            " machine has: make dim, layers or the memory smaller"
        )


def physical_memory() -> float:
    """Bytes of memory of this machine; infinite where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, OSError, ValueError):
        return float("inf")


class _Block(nn.Module):
    def __init__(self, spec: ModelSpec, layer: int, plan: str) -> None:
        super().__init__()
        memory = spec.memory(layer)
        self.before = None if spec.bare else _Norm(spec.dim, eps=1e-5)
        self.memory = Layer(memory, spec.dim, spec.heads, spec.conv, layer, spec.layers, plan)
        mixes = spec.mlp != "none" and not spec.bare
        self.between = _Norm(spec.dim, eps=1e-5) if mixes else None
        self.mlp = _Mlp(spec) if mixes else None

    def forward(
        self, x: Tensor, state: LayerState | None, at: Places | None
    ) -> tuple[Tensor, LayerState]:
        if self.before is None:
            return self.memory(x, state, at)
        change, after = self.memory(self.before(x), state, at)
        x = (x if at is None else x[at]) + change
        if self.mlp is not None and self.between is not None:
            x = x + self.mlp(self.between(x))
        return x, after


class _Norm(nn.RMSNorm):
    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.weight, 1e-5)


class _Mlp(nn.Module):
    def __init__(self, spec: ModelSpec) -> None:
        super().__init__()
        self.gated = spec.mlp == "swiglu"
        # 8/3 with a gate and 4 without cost the same; multiples of 8 suit every vector unit.
        hidden = spec.mlp_width or 8 * max(1, round((8 / 3 if self.gated else 4) * spec.dim / 8))
        self.inner = nn.Linear(spec.dim, hidden * (2 if self.gated else 1), bias=False)
        self.outer = nn.Linear(hidden, spec.dim, bias=False)
        nn.init.normal_(self.outer.weight, std=(2 * spec.layers * hidden) ** -0.5)

    def forward(self, x: Tensor) -> Tensor:
        if not self.gated:
            return self.outer(F.gelu(self.inner(x)))
        return self.outer(swiglu(self.inner(x)))
