"""What the rewrite rules share: altered copies of parts, and a few questions about a memory."""

from typing import Any, TypeVar

from miras.bias import Bias
from miras.memory import Memory
from miras.optimizer import Stepping
from miras.optimizer.gd import GradientDescent
from miras.part import Part
from miras.retention import Decaying

P = TypeVar("P", bound=Part)
B = TypeVar("B", bound=Bias)
S = TypeVar("S", bound=Stepping)


def edit(part: P, /, **fields: Any) -> P:
    """The part with other fields, unchecked: a rewrite of a valid memory is valid."""
    values: dict[str, Any] = {name: getattr(part, name) for name in type(part).model_fields}
    return type(part).model_construct(**(values | fields))


def stepping(memory: Memory, /, **fields: Any) -> Memory:
    """The memory with other fields of its optimizer."""
    return edit(memory, optimizer=edit(memory.optimizer, **fields))


def neutral(part: Part, *names: str) -> dict[str, Any]:
    """The defaults of fields that have no effect."""
    return {name: type(part).model_fields[name].get_default() for name in names}


def shared(step: Stepping, kind: type[S], /, **fields: Any) -> S:
    """Another optimizer with the settings that all of them have."""
    common: dict[str, Any] = {name: getattr(step, name) for name in Stepping.model_fields}
    return kind.model_construct(**(common | fields))


def descent(step: Stepping, /, **fields: Any) -> GradientDescent:
    """Gradient descent with the settings of another optimizer."""
    return shared(step, GradientDescent, **fields)


def compared(bias: Bias, kind: type[B], /, **fields: Any) -> B:
    """Another loss with the target and the window of a bias."""
    shared: dict[str, Any] = {name: getattr(bias, name) for name in Bias.model_fields}
    return kind(**(shared | fields))


def fixed_decay(memory: Memory) -> float | None:
    """The retention gate, if it is a number."""
    retention = memory.retention
    return retention.gate.fixed if isinstance(retention, Decaying) else None


def decay_is_read(memory: Memory) -> bool:
    """Whether anything but the retention itself takes the retention gate."""
    step = memory.stepping
    return memory.architecture.features.needs_decay or (step is not None and step.step.derived)


def unit_keys(memory: Memory) -> bool:
    """Whether a unit step moves the prediction by the whole error."""
    return memory.architecture.features.unit_norm or not memory.architecture.keyed
