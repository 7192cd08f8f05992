"""What a composition is given and what it keeps."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, cast

from torch import Tensor, nn

from miras.composition.tree import detached
from miras.gate import Gate
from miras.state import State


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
    copies: int = 1  # states of one cell that lie beside each other in its batch

    def floats(self) -> int:
        """Numbers kept per sequence."""
        kept = sum(cast(Stateful, cell).floats() for cell in self.cells)
        return self.copies * kept + sum(leaf[0].numel() for leaf in self.own.values())

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


def inside(tensors: Mapping[str, Tensor], place: int) -> dict[str, Tensor]:
    """What belongs to one cell, by the names that the cell knows."""
    prefix = f"{place}."
    return {
        name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)
    }
