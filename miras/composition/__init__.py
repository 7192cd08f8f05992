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
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Union, cast

from pydantic import BeforeValidator, Discriminator, Field, Tag, model_validator
from torch import Tensor, nn

from miras.composition.contract import (
    AnyState,
    CompositionState,
    Engine,
    Inputs,
    Own,
    Shell,
    Sizes,
)
from miras.gate import Signal
from miras.memory import Memory, Wiring
from miras.part import Part, SpecError, leaves, one_of

__all__ = [
    "AnyCell",
    "AnyComposition",
    "AnyState",
    "Composition",
    "CompositionState",
    "Engine",
    "Inputs",
    "Layered",
    "Own",
    "Shell",
    "Sizes",
]


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


class Layered(Composition, ABC):
    """A composition whose cells have projections of their own: it is a module, not an operator."""

    layered: ClassVar[bool] = True

    def forward(
        self, engine: Engine, inputs: Inputs, state: CompositionState
    ) -> tuple[Tensor, CompositionState]:
        raise SpecError(
            f"the cells of compose {kind(self)} have projections of their own: build a layer"
            " (miras.Layer) instead of running it on queries, keys and values"
        )

    def ask(self, engine: Engine, inputs: Inputs, state: CompositionState) -> Tensor:
        return self.forward(engine, inputs, state)[0]

    @abstractmethod
    def build(self, shell: Shell) -> nn.Module: ...


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
