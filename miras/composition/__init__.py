"""Compositions: several memories under one roof, their wiring and their schedule.

MIRAS describes one memory. A composition is the level above: its cells are memories, or
compositions again, and it has the same contract as they have. `miras.run`, `miras.start`, a layer,
a checkpoint and `miras explain` take both.

Most compositions are *operators*: all their cells see one query, key and value, and `miras.run`
needs no layer for them. The tensors that a cell takes are named by its place, `0.decay` or
`1.step_key`; those of the composition itself have plain names. Compositions whose cells have
projections of their own are *layered*: they build a module (`build`), and `miras.run` refuses them.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Protocol, Union, cast

import torch
from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from torch import Tensor, nn

from miras import state as states
from miras.composition.tree import detached
from miras.gate import Gate, Signal
from miras.memory import Memory, Wiring
from miras.part import Part, SpecError, leaves, one_of
from miras.state import State

Weights = dict[str, Tensor]


class Stateful(Protocol):
    """The state of a cell, of a composition or of a layer."""

    def floats(self) -> int:
        """Numbers kept per sequence."""
        ...


class CompositionState(NamedTuple):
    """The state of a composition for a batch; every tensor is `[batch, ...]`."""

    position: int  # tokens read so far
    cells: tuple[Any, ...]  # states of cells; what stands where is the composition's own affair
    own: dict[str, Tensor]  # what the composition itself must keep
    first: tuple[Any, ...] = ()  # states to which cells go back: learned, not kept per sequence

    def floats(self) -> int:
        """Numbers kept per sequence."""
        kept = sum(cast(Stateful, cell).floats() for cell in self.cells)
        return kept + sum(leaf[0].numel() for leaf in self.own.values())

    def detach(self) -> "CompositionState":
        """The same numbers, cut from the graph of gradients."""
        return detached(self)


AnyState = State | CompositionState


class Sizes(NamedTuple):
    """What the state of a composition is made for."""

    batch: int
    heads: int
    key_dim: int
    value_dim: int


class Own(NamedTuple):
    """A gate of the composition itself, with `width` numbers per head and token (0: one, bare)."""

    name: str
    gate: Gate
    width: int
    low: float
    high: float
    meaning: str


class Place(NamedTuple):
    """A gate that a layer has to make, of a cell or of a composition."""

    name: str  # as `gates` calls it
    group: str  # the cell: gates of one cell share what they make on the way
    gate: Gate
    width: int
    low: float
    high: float
    chunk: int  # gradient chunk of the cell


class Inputs(NamedTuple):
    """A piece of a sequence as a composition sees it."""

    query: Tensor  # [batch, time, heads, key_dim]
    key: Tensor
    value: Tensor  # [batch, time, heads, value_dim]
    gates: Mapping[str, Tensor]
    per_token: frozenset[str]  # names of the gates that lead with batch and time

    def span(self, first: int, last: int) -> "Inputs":
        """The tokens from `first` up to, not including, `last`."""
        return self.over(lambda tensor: tensor[:, first:last])

    def over(self, change: Callable[[Tensor], Tensor]) -> "Inputs":
        """The piece with every tensor that leads with batch and time changed."""
        gates = {
            name: change(gate) if name in self.per_token else gate
            for name, gate in self.gates.items()
        }
        query, key, value = (change(tensor) for tensor in self[:3])
        return Inputs(query, key, value, gates, self.per_token)

    def of(self, cell: int) -> dict[str, Tensor]:
        """The gates of a cell, by the names that the cell knows."""
        return inside(self.gates, cell)


class Run(Protocol):
    """`miras.run` with the plan chosen; compositions run their cells through it."""

    def __call__(
        self,
        memory: Any,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        gates: Mapping[str, Tensor],
        state: Any,
    ) -> tuple[Tensor, Any]:
        """Outputs `[batch, time, heads, value_dim]` and the state after the last token."""
        ...


class Ask(Protocol):
    """`miras.ask`: what a memory answers as it stands, nothing is written."""

    def __call__(
        self, memory: Any, query: Tensor, gates: Mapping[str, Tensor], state: Any, value_dim: int
    ) -> Tensor:
        """Answers `[batch, time, heads, value_dim]`."""
        ...


class Engine(NamedTuple):
    """What a composition needs from the level above it."""

    run: Run
    ask: Ask


class Shell(NamedTuple):
    """What a layered composition builds its module from."""

    dim: int
    heads: int
    conv: int
    layer: int
    layers: int
    plan: str
    build: Callable[[Any, int], nn.Module]  # a layer around a cell: (cell, taps of its convolution)


class Composition(Part, ABC):
    """Cells, wiring and schedule. Leaves alone declare `compose: Literal["name"] = "name"`."""

    layered: ClassVar[bool] = False  # cells have projections of their own

    name: str = ""
    paper: str = Field(default="", description="where it was published")
    equation: str = Field(default="", description="its reading, as the paper writes it")
    departures: tuple[str, ...] = Field(default=(), description="where this differs from the paper")
    wiring: Wiring | None = Field(
        default=None, description="how a layer feeds the cells; as the first cell asks if left out"
    )

    @model_validator(mode="after")
    def _own_gates_are_made_from_the_input(self) -> "Composition":
        for own in self.own():
            if own.gate.derived or own.gate.recurrent:
                raise SpecError(
                    f"{own.name} belongs to no single cell: make it from the input, with a gate"
                    " such as sigmoid, softplus or constant"
                )
        return self

    @property
    @abstractmethod
    def cells(self) -> tuple["AnyCell", ...]:
        """The memories under this roof, each once."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """Those of the cells, with their places."""
        return tuple(
            f"cell {place}: {warning}"
            for place, cell in enumerate(self.cells)
            for warning in cell.warnings
        )

    def own(self) -> list[Own]:
        """The gates of the composition itself."""
        return []

    def constants(self, heads: int, key_dim: int, value_dim: int) -> list[Signal]:
        """Learned tensors of the composition itself that do not change along the sequence."""
        return []

    def sizes(self, key_dim: int, value_dim: int) -> list[tuple[int, int]]:
        """Sizes of key and value as each cell sees them."""
        return [(key_dim, value_dim)] * len(self.cells)

    def gates(self, heads: int, key_dim: int, value_dim: int) -> dict[str, Signal]:
        """Every tensor that `miras.run` takes in `gates`, with shape and range."""
        found: dict[str, Signal] = {}
        for place, (cell, sizes) in enumerate(
            zip(self.cells, self.sizes(key_dim, value_dim), strict=True)
        ):
            for signal in cell.gates(heads, *sizes).values():
                name = f"{place}.{signal.name}"
                found[name] = signal._replace(name=name)
        for own in self.own():
            if own.gate.own:
                shape = (heads, own.width) if own.width else (heads,)
                found[own.name] = Signal(own.name, shape, own.low, own.high, True, own.meaning)
        return found | {each.name: each for each in self.constants(heads, key_dim, value_dim)}

    def filled(self, inputs: Inputs) -> Inputs:
        """The piece with own gates that are plain numbers filled in."""
        found = dict(inputs.gates)
        fixed = [own for own in self.own() if own.gate.fixed is not None]
        for own in fixed:
            shape = (*inputs.value.shape[:3], own.width) if own.width else inputs.value.shape[:3]
            found[own.name] = inputs.value.new_full(shape, cast(float, own.gate.fixed))
        names = frozenset(own.name for own in fixed)
        return inputs._replace(gates=found, per_token=inputs.per_token | names)

    def begin(self, cells: tuple[Any, ...], sizes: Sizes, like: Tensor) -> CompositionState:
        """The state before the first token, from those of the cells.

        `like` has the type and place of the tensors to be made.
        """
        return CompositionState(0, cells, {})

    @abstractmethod
    def forward(
        self, engine: Engine, inputs: Inputs, state: CompositionState
    ) -> tuple[Tensor, CompositionState]:
        """Outputs `[batch, time, heads, value_dim]` and the state after the last token."""

    @abstractmethod
    def ask(self, engine: Engine, inputs: Inputs, state: CompositionState) -> Tensor:
        """Answers to the queries as the state is; key and value of the inputs say only sizes."""

    def build(self, shell: Shell) -> nn.Module:
        """For layered compositions: a module `(x [batch, time, dim], state) -> (y, state)`.

        Its `start(x)` gives the state before the first token.
        """
        raise NotImplementedError(f"{type(self).__name__} is no layered composition")

    def formula(self) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
        """The wiring in writing: update, read, and what the symbols mean.

        `M_i(q)` stands for the read of cell i.
        """
        return (), (), ()


def run(
    memory: Composition,
    engine: Engine,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    gates: Mapping[str, Tensor],
    state: CompositionState,
) -> tuple[Tensor, CompositionState]:
    """A composition over a piece of a sequence; `miras.run` has checked the gates."""
    return memory.forward(engine, _inputs(memory, query, key, value, gates), state)


def ask(
    memory: Composition,
    engine: Engine,
    query: Tensor,
    gates: Mapping[str, Tensor],
    state: CompositionState,
    value_dim: int,
) -> Tensor:
    """What a composition answers as it stands; see `miras.ask`."""
    value = query.new_zeros(*query.shape[:3], value_dim)
    return memory.ask(engine, _inputs(memory, query, query, value, gates), state)


def _inputs(
    memory: Composition, query: Tensor, key: Tensor, value: Tensor, gates: Mapping[str, Tensor]
) -> Inputs:
    signals = memory.gates(key.shape[2], key.shape[3], value.shape[3])
    names = frozenset(name for name, signal in signals.items() if signal.per_token)
    return memory.filled(Inputs(query, key, value, gates, names))


def initial_weights(
    memory: "AnyCell", heads: int, key_dim: int, value_dim: int, seed: int = 0
) -> Weights:
    """Random initial weights `[heads, ...]` of all cells, the same for the same seed."""
    if isinstance(memory, Memory):
        return states.initial_weights(memory, heads, key_dim, value_dim, seed)
    return {
        f"{place}.{name}": leaf
        for place, (cell, sizes) in enumerate(
            zip(memory.cells, memory.sizes(key_dim, value_dim), strict=True)
        )
        for name, leaf in initial_weights(cell, heads, *sizes, seed + place).items()
    }


def learned(memory: "AnyCell", name: str) -> bool:
    """Whether a layer trains these initial weights; those of linear memories stay zero."""
    if isinstance(memory, Memory):
        return not memory.architecture.linear and not memory.architecture.stores_pairs
    place, _, inner = name.partition(".")
    return learned(memory.cells[int(place)], inner)


def start(
    memory: "AnyCell",
    batch: int,
    heads: int,
    key_dim: int,
    value_dim: int,
    weights: Weights | None = None,
    dtype: Any = None,
    device: Any = None,
) -> Any:
    """The state before the first token, of a cell or a composition.

    `weights [heads, ...]` are initial weights, named as `initial_weights` names them; cells of
    which none is given start from their own with seed 0.
    """
    if isinstance(memory, Memory):
        return states.start(memory, batch, heads, key_dim, value_dim, weights, dtype, device)
    cells = tuple(
        start(cell, batch, heads, *sizes, inside(weights or {}, place) or None, dtype, device)
        for place, (cell, sizes) in enumerate(
            zip(memory.cells, memory.sizes(key_dim, value_dim), strict=True)
        )
    )
    like = torch.zeros((), dtype=dtype, device=device)
    return memory.begin(cells, Sizes(batch, heads, key_dim, value_dim), like)


def inside(tensors: Mapping[str, Tensor], place: int) -> dict[str, Tensor]:
    """What belongs to one cell, by the names that the cell knows."""
    prefix = f"{place}."
    return {
        name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)
    }


def places(memory: "AnyCell", key_dim: int, value_dim: int, group: str = "") -> list[Place]:
    """Every gate that a layer has to make, of all cells and of the composition itself."""
    if isinstance(memory, Memory):
        step = memory.stepping
        widths = memory.widths(memory.architecture.features.width(key_dim), value_dim)
        return [
            Place(
                group + use.name,
                group,
                use.gate,
                sum(widths[use.width]),
                use.low,
                use.high,
                step.chunk if step else 1,
            )
            for use in memory.uses
            if use.gate.own
        ]
    found = [
        each
        for place, (cell, sizes) in enumerate(
            zip(memory.cells, memory.sizes(key_dim, value_dim), strict=True)
        )
        for each in places(cell, *sizes, f"{group}{place}.")
    ]
    found += [
        Place(group + own.name, group, own.gate, own.width, own.low, own.high, 1)
        for own in memory.own()
        if own.gate.own
    ]
    return found


def wiring(memory: "AnyCell") -> Wiring:
    """How a layer feeds a memory: as it says itself, or as its first cell does."""
    if memory.wiring is not None:
        return memory.wiring
    return wiring(memory.cells[0])


def keyed(memory: "AnyCell") -> bool:
    """Whether any cell looks at query and key."""
    if isinstance(memory, Memory):
        return memory.architecture.keyed
    return any(keyed(cell) for cell in memory.cells)


def basic(memory: "AnyCell") -> tuple[Memory, ...]:
    """The memories at the bottom, in order."""
    if isinstance(memory, Memory):
        return (memory,)
    return tuple(inner for cell in memory.cells for inner in basic(cell))


def kind(composition: Composition) -> str:
    """The name of a composition, as it is written in YAML."""
    return str(getattr(composition, "compose", type(composition).__name__))


def _expand(entry: Any) -> Any:
    from miras.known import expand

    return expand(entry)


def _tag(entry: Any) -> str:
    composed = isinstance(entry, Composition) or (isinstance(entry, Mapping) and "compose" in entry)
    return "composition" if composed else "cell"


if TYPE_CHECKING:
    AnyComposition = Composition
    AnyCell = Memory | Composition
else:
    AnyComposition = one_of(__name__, "compose")
    AnyCell = Annotated[
        Union[Annotated[Memory, Tag("cell")], Annotated[AnyComposition, Tag("composition")]],  # noqa: UP007
        Discriminator(_tag),
        BeforeValidator(_expand),
    ]
    for _leaf in leaves(__name__, "compose").values():
        # A composition may hold compositions: the name of them all is known only now.
        _leaf.model_rebuild(force=True, _types_namespace={"AnyCell": AnyCell})
