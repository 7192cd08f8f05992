"""The fields of an explanation: plain data, ready for JSON."""

from pydantic import BaseModel, ConfigDict


class _Fields(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Choice(_Fields):
    """One of the four choices, or the wiring of a layer."""

    slot: str
    chosen: str  # the part and its settings, as YAML writes them
    title: str  # what it is, in a few words


class Gate(_Fields):
    """What multiplies, token by token: a tensor that the operator takes, or a number."""

    name: str
    written: str  # how the equations write it
    shape: str
    low: float
    high: float | None  # null: no bound
    made: str  # by the layer, from its input x; empty: nothing to make
    meaning: str


class Constant(_Fields):
    """A tensor that a layer learns and that is the same for all tokens."""

    name: str
    shape: tuple[int, ...]  # of one head
    meaning: str


class Relative(_Fields):
    """A known memory that this one equals, or nearly."""

    name: str
    how: str
    differences: tuple[str, ...] = ()


class Plan(_Fields):
    """A fast algorithm that is exact for this memory."""

    name: str
    complexity: str  # work per token and head
    chosen: bool


class Explanation(_Fields):
    """Everything that `miras explain` says."""

    name: str
    paper: str
    paper_equation: str
    key: str  # of the normal form: equal for memories that train the same model
    summary: str
    choices: tuple[Choice, ...]
    update: tuple[str, ...]
    read: tuple[str, ...]
    where: tuple[str, ...]
    symbols: tuple[str, ...]  # in update and read: those that occur, each with what it stands for
    pace: str  # when gradients are taken and weights are shown, in words
    gates: tuple[Gate, ...]
    constants: tuple[Constant, ...]
    heads: int
    key_dim: int
    value_dim: int
    state: dict[str, int]  # floats per sequence
    state_floats: int
    growth: int  # floats more per token; 0 for a memory of one size
    products: dict[str, int]  # multiply-adds per token
    multiply_adds: int
    plans: tuple[Plan, ...]
    equals: tuple[Relative, ...]
    nearest: Relative
    warnings: tuple[str, ...]
    departures: tuple[str, ...]
